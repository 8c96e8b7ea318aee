"""Masked patch prediction: pre-training without labels (paper, sections 4.6 and B.1.2)."""

import functools
import inspect
import math

import keras
import numpy as np
from keras import ops

from keras_vit.layers.initial_values import StartsFromNumpy
from keras_vit.layers.trainable import ModelKeepsWhatTrains
from keras_vit.models.preprocess import preprocessing_of
from keras_vit.models.vit import VisionTransformer
from keras_vit.models.weight_values import refuse_quantised
from keras_vit.pretraining.corrupt_patches import CorruptPatches
from keras_vit.pretraining.mean_colour import (
    LEVELS,
    ColourLoss,
    mean_colour_classes,
    mean_colour_levels,
)

JOINT_CHANNELS = 4  # up to here one class is a whole colour: 8 ** 4 = 4096 of them


def _of_prepared_images(method):
    """A method of Keras that refuses images of integers, and drops no weights of images.

    Keras drops them where no labels come with them.
    """

    @functools.wraps(method)
    def call(*args, **kwargs):
        bound = inspect.signature(method).bind(*args, **kwargs)
        given = bound.arguments
        _check_prepared(given.get("x"))  # a step that fails leaves no weights on JAX
        if given.get("sample_weight") is not None:
            given["y"] = _labels(given.get("x"), given.get("y"))
        validation = given.get("validation_data")
        if isinstance(validation, tuple | list) and len(validation) == 3:
            x, y, weights = validation
            given["validation_data"] = (x, _labels(x, y), weights)
        return method(*bound.args, **bound.kwargs)

    return call


def _check_prepared(images):
    """Raises ValueError for an array or tensor of integers."""
    dtype = keras.backend.standardize_dtype(getattr(images, "dtype", "float32"))
    if not keras.backend.is_float_dtype(dtype):
        raise ValueError(
            f"MaskedPatchModel takes images that are prepared, not {dtype}, whose colours would all be "
            "the lightest; give it preprocess_input(images, model.vit)."
        )


def _labels(images, labels):
    """Labels that nobody reads, where images have none; other sources bring weights themselves."""
    return np.zeros(len(images)) if labels is None and hasattr(images, "shape") else labels


@keras.saving.register_keras_serializable(package="keras_vit")
class MaskedPatchModel(ModelKeepsWhatTrains, keras.Model):
    """Trains a ViT to tell the mean colour of patches whose embeddings were corrupted.

    Half of the patch embeddings are corrupted (see `CorruptPatches`); for each of these a linear
    layer on the encoder's output predicts the mean colour, 3 bits for each channel: 512 classes
    for RGB, 8 for grey images. More than four channels are predicted one by one, 8 classes each,
    and their cross-entropies added. The loss is the mean over the corrupted patches, and it is the
    model's own: compile without one. `fit`, `evaluate` and `predict` corrupt alike; labels are
    ignored, and `sample_weight` weighs the images in the loss, not in the accuracy.

    Args:
        vit: a `VisionTransformer` of any kind, hybrids included. It is trained in place; its head,
            representation layer and pooling take no part. Afterwards give it to
            `keras_vit.for_finetuning`.
        corruption_rate: share of the patches to corrupt.
        mask_share: of these, the expected share that is masked.
        random_share: of these, the expected share that is replaced by another patch.
        seed: of the corruption; int, or None.

    Input shape:
        as the ViT's, values as `preprocess_input(images, vit)` makes them: in [-1, 1], or with the
        mean and deviation that its checkpoint has (`preprocessing_of`), from which the colours are
        counted back.

    Output shape:
        a dictionary of `logits` `(B, N, classes)`, or `(B, N, channels, 8)` above four channels,
        and `corrupted` `(B, N)`, bool.

    Raises:
        ValueError: for another kind of model, a quantised one, one for images of any size, or if
            its tokens do not split the image evenly; when it is called, for images of integers.

    Example:
        >>> model = keras_vit.pretraining.MaskedPatchModel(keras_vit.create_model("ViT-B/16"))
        >>> model.compile(keras.optimizers.Adam(2e-4))
        >>> model.fit(images, batch_size=4096)
        >>> classifier = keras_vit.for_finetuning(model.vit, classes=10)

    Reference:
        arXiv 2010.11929, section B.1.2: Adam with a base learning rate of 2e-4, 10,000 steps of
        warmup, cosine decay, batches of 4096, 1M steps on JFT.
    """

    def __init__(
        self, vit, corruption_rate=0.5, mask_share=0.8, random_share=0.1, seed=None, **kwargs
    ):
        super().__init__(**kwargs)
        if not isinstance(vit, VisionTransformer):
            raise ValueError(
                f"MaskedPatchModel takes a VisionTransformer of keras_vit, not "
                f"{type(vit).__name__}."
            )
        refuse_quantised(vit)
        if None in vit.input_shape[1:]:
            raise ValueError(
                f"MaskedPatchModel needs images of one size, not input_shape={vit.input_shape[1:]}; "
                "pre-train at one (for_finetuning gives the model it, and afterwards any)."
            )
        embedding = vit.get_layer("patch_embedding")
        policy = embedding.dtype_policy
        self.dtype_policy = policy  # `compile` scales the loss by it in mixed_float16
        self.input_spec = keras.layers.InputSpec(shape=vit.input_shape)
        self.vit = vit
        self.corruption_rate = corruption_rate
        self.mask_share = mask_share
        self.random_share = random_share
        self.seed = seed
        self.data_format = vit.arguments["data_format"]
        self.region, channels = _image_region(vit, self.data_format)
        joint = channels <= JOINT_CHANNELS
        self.colour_shape = (LEVELS**channels,) if joint else (channels, LEVELS)
        self.corrupt = CorruptPatches(
            corruption_rate, mask_share, random_share, seed, dtype=policy, name="corrupt"
        )
        self.corrupt.build(embedding.output.shape)
        # In the weights' precision, as a classification head.
        self.prediction = Dense(
            math.prod(self.colour_shape), dtype=policy.variable_dtype, name="prediction"
        )
        self.prediction.build((None, embedding.hidden_size))
        self.accuracy = keras.metrics.Mean(name="accuracy")
        self.built = True

    def call(self, images, training=None):
        _check_prepared(images)
        embedding, encoder, _ = _parts(self.vit)
        x = images
        for layer in embedding:
            x = layer(x)
        x, corrupted = self.corrupt(x)  # (B, N, D), (B, N)
        for layer in encoder:
            x = layer(x)
        x = x[:, self.vit.num_prefix_tokens :]
        logits = self.prediction(ops.reshape(x, (-1, x.shape[-1])))
        logits = ops.reshape(logits, (-1, x.shape[1], *self.colour_shape))
        return {"logits": logits, "corrupted": corrupted}

    def compile(
        self,
        optimizer="rmsprop",
        loss=None,
        loss_weights=None,
        metrics=None,
        weighted_metrics=None,
        **kwargs,
    ):
        """As `keras.Model.compile`, without what the model has of its own.

        Raises:
            ValueError: for a loss, its weights or metrics.
        """
        own = {"loss": loss, "loss_weights": loss_weights}
        own |= {"metrics": metrics, "weighted_metrics": weighted_metrics}
        if given := [name for name, value in own.items() if value is not None]:
            raise ValueError(
                f"MaskedPatchModel has a loss of its own and reports `loss` and `accuracy`; compile it "
                f"without {', '.join(given)}."
            )
        super().compile(optimizer, **kwargs)

    def compile_from_config(self, config):
        config = keras.saving.deserialize_keras_object(config)
        for name in ("loss", "loss_weights", "metrics", "weighted_metrics"):
            config.pop(name, None)  # older files may name some, which had no effect
        self.compile(**config)
        if self.optimizer is not None:
            self.optimizer.build(self.trainable_variables)

    fit = _of_prepared_images(keras.Model.fit)
    evaluate = _of_prepared_images(keras.Model.evaluate)
    predict = _of_prepared_images(keras.Model.predict)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Returns the mean cross-entropy over the corrupted patches, weighted by image if asked."""
        weights = ops.cast(y_pred["corrupted"], "float32")
        if sample_weight is not None:
            weights = weights * ops.cast(ops.reshape(sample_weight, (-1, 1)), "float32")
        return ColourLoss()(self._targets(x), y_pred["logits"], sample_weight=weights)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Returns the loss and the accuracy over the corrupted patches (and channels)."""
        guess = ops.cast(ops.argmax(y_pred["logits"], axis=-1), "int32")
        right = ops.cast(ops.equal(guess, self._targets(x)), "float32")
        if len(right.shape) == 3:
            right = ops.mean(right, axis=-1)
        self.accuracy.update_state(right, sample_weight=y_pred["corrupted"])
        return self.get_metrics_result()

    @property
    def trainable_variables(self):
        # Weights without a gradient would make every backend complain, or decay them.
        unused = {id(v) for layer in _parts(self.vit)[2] for v in layer.variables}
        return [v for v in super().trainable_variables if id(v) not in unused]

    @property
    def trainable_weights(self):
        return self.trainable_variables

    @property
    def non_trainable_variables(self):
        trained = {id(v) for v in self.trainable_variables}
        return [v for v in self.variables if id(v) not in trained]

    @property
    def non_trainable_weights(self):
        trained = {id(v) for v in self.trainable_variables}
        return [v for v in self.weights if id(v) not in trained]

    def get_config(self):
        return {
            "vit": keras.saving.serialize_keras_object(self.vit),
            "corruption_rate": self.corruption_rate,
            "mask_share": self.mask_share,
            "random_share": self.random_share,
            "seed": self.seed,
            "name": self.name,
            **self._what_trains(),
        }

    @classmethod
    def from_config(cls, config):
        state = {key: config[key] for key in ("trainable", "frozen") if key in config}
        vit = keras.saving.deserialize_keras_object(config["vit"])
        arguments = {key: value for key, value in config.items() if key not in state}
        model = cls(**{**arguments, "vit": vit})
        model._train_as(**state)
        return model

    def _targets(self, images):
        joint = len(self.colour_shape) == 1
        targets = mean_colour_classes if joint else mean_colour_levels
        return targets(self._colours(images), self.region, self.data_format)

    def _colours(self, images):
        """Returns the images with values in [-1, 1], whatever those of the ViT's checkpoint have."""
        settings = preprocessing_of(self.vit)
        scale, shift = 2 * np.array(settings.deviation), 2 * np.array(settings.mean) - 1
        if np.all(scale == 1) and np.all(shift == 0):
            return images
        shape = (-1, 1, 1) if self.data_format == "channels_first" else (-1,)
        scale, shift = (ops.convert_to_tensor(x.reshape(shape), "float32") for x in (scale, shift))
        return ops.cast(images, "float32") * scale + shift


class Dense(StartsFromNumpy, keras.layers.Dense):
    """The layer that names the colours: not quantised, nor adapted, as the layers of the ViT are.

    Files keep its weights under the name of its class.
    """


def _parts(vit):
    """The layers of a ViT up to the patch embedding, on to the encoder's end, and the rest."""
    layers = vit.layers[1:]  # without the input
    names = [layer.name for layer in layers]
    embedded, encoded = names.index("patch_embedding") + 1, names.index("pooling")
    return layers[:embedded], layers[embedded:encoded], layers[encoded:]


def _image_region(vit, data_format):
    """Height and width of the part of the image that a token stands for, and the channels."""
    shape = vit.arguments["input_shape"]
    (height, width), channels = (shape[:2], shape[2])
    if data_format == "channels_first":
        (height, width), channels = shape[1:], shape[0]
    rows, columns = vit.grid
    if height % rows or width % columns:
        raise ValueError(
            f"The {rows} x {columns} tokens do not split an image of {height} x {width} pixels "
            "evenly; choose an input_shape that is a multiple of the grid."
        )
    return (height // rows, width // columns), channels
