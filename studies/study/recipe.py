"""How a model is trained, and what is measured of every trained model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from studies.evaluation import fewshot
from studies.study.strict import Neutral, Positive, Rate, Strict

RATES = ("dropout_rate", "attention_dropout_rate", "stochastic_depth_rate")  # of ViTs' layers


class Recipe(Strict):
    """How every model of a study is trained, the same for every size (after the paper's B.1).

    Args:
        steps: optimizer steps.
        max_epochs: fewer steps where there are so few images that the steps would go through them
            more often than this; no limit by default.
        batch_size: images a step.
        learning_rate: the highest one, reached at the end of the warmup.
        weight_decay: decoupled, in Keras' convention (multiplied by the learning rate).
        beta_1, beta_2: decay of Adam's moments.
        warmup_fraction: share of the steps in which the learning rate rises linearly.
        schedule: how the learning rate falls after it: by a cosine to zero, or linearly to 1e-5.
        clip_norm: largest global norm of the gradients; 0 switches clipping off.
        label_smoothing: of the training loss.
        augmentation: of the training images: nothing, random crops, or crops and mirror images.
        randaugment_layers: operations of RandAugment on each training image, drawn anew each time.
        randaugment_magnitude: their strength; 10 is AutoAugment's greatest, 30 the highest.
        mixup: alpha of the Beta distribution of shares in which pairs of training images and of their
            labels are mixed; 0: none.
        cutmix: the same of a box that is cut out of one and put into the other. With both, each batch
            has one of the two, by halves.
        random_erasing: probability of a training image to have a rectangle replaced by noise.
        dropout_rate, attention_dropout_rate, stochastic_depth_rate: of the models that have such layers,
            ViTs and hybrids; a ResNet is trained without, whatever they are. A model's own overrides come
            first.
        scramble: side in pixels of the cells into which all images are cut, to be put together in another
            order, the same for all images of a seed; 1: single pixels, 0: images stay whole.
        optimizer: Adam with decoupled weight decay, or SGD with momentum as in the paper's fine-tuning.
        momentum: of SGD; no other optimizer has it.
        learning_rates: tried one after another, each a training of its own; the one that is best on the
            validation images counts, and its images and compute alone. None are tried by default, and the
            learning rate above holds.
        validations: evenly spaced points at which the model is validated and kept if it is best.
        dtype: the dtype policy of Keras.

    Reference:
        Dosovitskiy et al., arXiv 2010.11929, appendix B.1; Adam with decoupled weight decay:
        Loshchilov and Hutter, arXiv 1711.05101.
    """

    steps: Positive = 10_000
    max_epochs: Annotated[Positive | None, Neutral(None)] = None
    batch_size: Positive = 128
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0), Neutral(0.0)] = 0.1
    beta_1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta_2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    warmup_fraction: Annotated[float, Field(ge=0, lt=1), Neutral(0.0)] = 0.1
    schedule: Literal["cosine", "linear"] = "cosine"
    clip_norm: Annotated[float, Field(ge=0), Neutral(0.0)] = 1.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1), Neutral(0.0)] = 0.0
    augmentation: Annotated[Literal["none", "crop", "crop_flip"], Neutral("none")] = "crop"
    randaugment_layers: Annotated[int, Field(ge=0), Neutral(0)] = 0
    randaugment_magnitude: Annotated[float, Field(ge=0, le=30), Neutral(10.0)] = 10.0
    mixup: Annotated[float, Field(ge=0), Neutral(0.0)] = 0.0
    cutmix: Annotated[float, Field(ge=0), Neutral(0.0)] = 0.0
    random_erasing: Annotated[float, Field(ge=0, le=1), Neutral(0.0)] = 0.0
    dropout_rate: Annotated[float, Field(ge=0, lt=1), Neutral(0.0)] = 0.0
    attention_dropout_rate: Annotated[float, Field(ge=0, lt=1), Neutral(0.0)] = 0.0
    stochastic_depth_rate: Annotated[float, Field(ge=0, lt=1), Neutral(0.0)] = 0.0
    scramble: Annotated[int, Field(ge=0), Neutral(0)] = 0
    optimizer: Annotated[Literal["adamw", "sgd"], Neutral("adamw")] = "adamw"
    momentum: Annotated[float, Field(ge=0, lt=1), Neutral(0.9)] = 0.9
    learning_rates: Annotated[tuple[Rate, ...], Neutral([])] = ()
    validations: Positive = 20
    dtype: Annotated[Literal["float32", "mixed_bfloat16", "mixed_float16"], Neutral("float32")] = (
        "float32"
    )

    def for_size(self, size: int) -> Recipe:
        """The recipe with the steps that a subset of `size` images gets, and no limit any more."""
        if self.max_epochs is None:
            return self
        limit = -(-self.max_epochs * size // self.batch_size)
        return self.model_copy(update={"steps": min(self.steps, limit), "max_epochs": None})

    def for_base(self, base: str) -> Recipe:
        """The recipe as it is for a model: without rates of layers that a ResNet does not have.

        Args:
            base: a name that `keras_vit.create_model` knows.
        """
        from keras_vit.models.variants import get_variant

        if get_variant(base).family == "vit":
            return self
        return self.model_copy(update=dict.fromkeys(RATES, 0.0))


class Evaluation(Strict, fewshot.Options):
    """What is measured once a trial is trained, besides top-1: few-shot linear accuracy.

    Args:
        shots: numbers of labelled images a class; those beyond the smallest class are left out.
        fewshot_seeds: draws of the labelled images, over which few-shot accuracy is averaged.
        l2: weight of the penalty of few-shot's ridge regression.
    """
