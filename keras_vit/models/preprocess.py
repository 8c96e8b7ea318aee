"""Pixel values, and image sizes, as the weights of a model expect them.

One of the few places that import a backend: functions of tf.data run in TensorFlow, whatever the
models run in.
"""

from dataclasses import replace

import keras
import numpy as np

from keras_vit.layers.resize_images import ResizeImages, resize_images
from keras_vit.models.inside import model_inside
from keras_vit.models.preprocessing import Preprocessing


def preprocessing_of(model):
    """Returns how the images that a model was trained on were prepared.

    Args:
        model: a `VisionTransformer` or `ResNet`, made from a checkpoint or not, or a model with one
            inside; what stands before it there is not looked at.

    Returns:
        A `Preprocessing` whose size is the model's; where that is open, the one of the checkpoint's
        images, or None where nothing says it. Where nothing else is known, it maps pixel values to
        [-1, 1], as the paper's models expect.

    Raises:
        ValueError: for a model with none or several of these inside.

    Example:
        >>> model = keras_vit.from_checkpoint("dinov2", like="ViT-B/14")
        >>> keras_vit.preprocessing_of(model).interpolation
        'bicubic'
    """
    model = model_inside(model, "preprocessing_of")
    arguments = model.arguments
    first = arguments["data_format"] == "channels_first"
    shape = arguments["input_shape"]
    size, channels = (shape[1:], shape[0]) if first else (shape[:2], shape[2])
    known = model.preprocessing or Preprocessing((0.5,) * channels, (0.5,) * channels)
    return replace(known, size=known.size if None in size else size)


def preprocess_input(images, model=None):
    """Maps pixel values 0..255 to what weights expect: [-1, 1], or what a model's checkpoint says.

    Args:
        images: an array or tensor of any shape; also a `keras.Input`, and what tf.data hands to
            its functions on any backend. With a model, images `(B, H, W, C)` or `(H, W, C)` in
            the model's data format; of the latter two H and W may be unknown until they run.
        model: a model (or one with it inside) whose images are prepared as `preprocessing_of`
            tells: resized where they have another size, unless the model takes images of any, then
            normalised.

    Returns:
        Of the same kind, floating point. A NumPy array gives a NumPy array.

    Raises:
        ValueError: for images of another number of channels than the model's, or another rank.

    Example:
        >>> keras_vit.preprocess_input(np.array([0, 255], "uint8"))
        array([-1.,  1.], dtype=float32)
        >>> model = keras_vit.from_checkpoint("dinov2", like="ViT-B/14")
        >>> features = model(keras_vit.preprocess_input(photos, model))
    """
    cast = _cast_of(images)
    if cast is _cast_numpy:
        images = np.asarray(images)
    if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(images.dtype)):
        images = cast(images, keras.config.floatx())
    if model is None:
        return images / 127.5 - 1.0
    model = model_inside(model, "preprocessing_of")
    settings, first = preprocessing_of(model), model.arguments["data_format"] == "channels_first"
    form, rank = "C, H, W" if first else "H, W, C", _rank(images)
    if rank not in (3, 4):
        known = "an unknown number of" if rank is None else rank
        raise ValueError(f"The images have {known} axes; give (B, {form}) or ({form}).")
    channels = images.shape[-3 if first else -1]
    if channels != len(settings.mean):
        raise ValueError(
            f"The images have {channels} channels, the model takes {len(settings.mean)}; give "
            f"images as (B, {form}) with these."
        )
    if None not in model.input_shape[1:]:
        images = _resized(images, settings, model.arguments["data_format"])
    shape = (-1, 1, 1) if first else (-1,)
    mean, deviation = (
        np.reshape(np.asarray(values, "float32") * 255, shape)
        for values in (settings.mean, settings.deviation)
    )
    return (images - cast(mean, images.dtype)) / cast(deviation, images.dtype)


def _resized(images, settings, data_format):
    """Resizes (and crops) images that do not have the size yet."""
    whole = settings.resize == "whole"
    how = (settings.size, settings.box, settings.interpolation, data_format, whole)
    # Lanczos' matrices would become numbers in the files of functional models.
    in_layer = None in images.shape[-3:] or settings.interpolation == "lanczos3"
    if isinstance(images, keras.KerasTensor) and in_layer:
        return ResizeImages(*how, dtype=images.dtype)(images)
    resized = resize_images(images, *how)
    return keras.ops.convert_to_numpy(resized) if isinstance(images, np.ndarray) else resized


def _rank(images):
    """The number of axes; None where TensorFlow does not know it."""
    return images.shape.rank if hasattr(images.shape, "rank") else len(images.shape)


def _cast_of(images):
    """Returns the function that casts this kind of tensor."""
    if isinstance(images, keras.KerasTensor) or keras.ops.is_tensor(images):
        return keras.ops.cast
    if type(images).__module__.startswith("tensorflow."):
        import tensorflow as tf

        return tf.cast
    return _cast_numpy


def _cast_numpy(images, dtype):
    return images.astype(dtype)
