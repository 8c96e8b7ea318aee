"""The recipe of the paper (appendix B.1): decoupled weight decay, gradient clipping, and the rest.

Reference: Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, arXiv 2010.11929.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from keras_vit.models.variants import get_variant
from keras_vit.optimizers.fused_adam import FusedAdamW
from studies.study.recipe import RATES, Recipe
from studies.training.schedule import WarmupDecay


def validation_points(steps: int, validations: int) -> list[int]:
    """The global steps after which a model is validated.

    Evenly spaced, rounded to whole steps, the last one being `steps`; with fewer steps than
    validations every step is a point.

    Args:
        steps: number of training steps, at least 1.
        validations: wanted number of points, at least 1.

    Example:
        >>> validation_points(10, 4)
        [3, 5, 8, 10]
    """
    # Half a step rounds up: Python's round() would send 2.5 to 2 and 3.5 to 4.
    points = {(2 * i * steps + validations) // (2 * validations) for i in range(1, validations + 1)}
    return sorted(points - {0})


def warmup_steps(recipe: Recipe) -> int:
    """Number of steps over which the learning rate rises; fewer than all, so that one may decay."""
    return min(recipe.steps - 1, math.floor(recipe.warmup_fraction * recipe.steps + 0.5))


@keras.saving.register_keras_serializable(package="studies")
class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy of integer labels and logits with label smoothing, which Keras' sparse loss lacks.

    Args:
        label_smoothing: share of the target spread evenly over all classes.
    """

    def __init__(self, label_smoothing: float, name: str = "smoothed_crossentropy", **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.label_smoothing = label_smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        log_probability = ops.log_softmax(y_pred, axis=-1)  # (B, C)
        target = ops.one_hot(y_true, y_pred.shape[-1], dtype=log_probability.dtype)
        right = -ops.sum(target * log_probability, axis=-1)
        spread = -ops.mean(log_probability, axis=-1)
        return (1.0 - self.label_smoothing) * right + self.label_smoothing * spread  # (B,)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


def rates(recipe: Recipe, base: str) -> dict[str, float]:
    """The recipe's rates of dropout and stochastic depth as arguments of `create_model`.

    Args:
        recipe: of a study, whatever its models are.
        base: name of a model; only a ViT or a hybrid has layers for them.
    """
    if get_variant(base).family != "vit":
        return {}
    wanted = {name: getattr(recipe, name) for name in RATES}
    return {name: rate for name, rate in wanted.items() if rate}


def make_schedule(recipe: Recipe) -> WarmupDecay:
    """The recipe's learning rate over its steps."""
    return WarmupDecay(recipe.learning_rate, recipe.steps, warmup_steps(recipe), recipe.schedule)


def make_optimizer(
    recipe: Recipe, model: keras.Model, schedule: WarmupDecay
) -> keras.optimizers.Optimizer:
    """The recipe's optimizer, with decoupled weight decay on the model's kernels alone.

    As everywhere in Keras the decay is multiplied by the learning rate of the step.

    Args:
        recipe: which optimizer, decay, betas or momentum and clipping.
        model: a built model; what of it trains decides what the optimizer is for.
        schedule: of the learning rate.
    """
    clip_norm = recipe.clip_norm or None
    if recipe.optimizer == "sgd":
        optimizer: keras.optimizers.Optimizer = keras.optimizers.SGD(
            schedule,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay or None,
            global_clipnorm=clip_norm,
        )
    else:
        optimizer = FusedAdamW(
            learning_rate=schedule,
            weight_decay=recipe.weight_decay,
            beta_1=recipe.beta_1,
            beta_2=recipe.beta_2,
            epsilon=1e-8,  # the authors' (Flax); Keras' own default is 1e-7
            global_clipnorm=clip_norm,
        )
    kept = [weight for weight in model.trainable_weights if not decays(weight)]
    if kept and optimizer.weight_decay is not None:
        optimizer.exclude_from_weight_decay(var_list=kept)
    return optimizer


def decays(weight: Any) -> bool:
    """Whether weight decay acts on a weight: on kernels, and on nothing that shifts or scales."""
    return weight.name.endswith("kernel") and len(weight.shape) > 1


def compile_model(model: keras.Model, recipe: Recipe) -> WarmupDecay:
    """Compile a model with the recipe, and build its optimizer so that a checkpoint can be put back.

    Returns:
        the schedule; of a recipe with several learning rates its peak may be set.
    """
    accuracy: keras.metrics.Metric = keras.metrics.SparseCategoricalAccuracy(name="top1")
    if (
        recipe.mixup or recipe.cutmix
    ):  # the labels are probabilities; the likeliest counts for top-1
        loss: keras.losses.Loss = keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=recipe.label_smoothing
        )
        accuracy = keras.metrics.CategoricalAccuracy(name="top1")
    elif recipe.label_smoothing:
        loss = SmoothedCrossentropy(recipe.label_smoothing)
    else:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return _compile(model, recipe, loss=loss, metrics=[accuracy])


def compile_masked_patches(model: keras.Model, recipe: Recipe) -> WarmupDecay:
    """Compile a `MaskedPatchModel`, whose loss and accuracy are its own, as `compile_model` does."""
    return _compile(model, recipe)


def _compile(model: keras.Model, recipe: Recipe, **measured: Any) -> WarmupDecay:
    schedule = make_schedule(recipe)
    optimizer = make_optimizer(recipe, model, schedule)
    model.compile(optimizer, **measured)
    model.optimizer.build(model.trainable_variables)
    if len(recipe.learning_rates) > 1:
        schedule.let_vary(model)
    return schedule
