"""Pixel values as the published weights expect them.

One of the few places that import a backend: functions of tf.data run in TensorFlow, whatever the
models run in.
"""

import keras
import numpy as np


def preprocess_input(images):
    """Maps pixel values 0..255 to [-1, 1], as the published weights expect.

    Args:
        images: an array or tensor of any shape; also a `keras.Input`, and what tf.data hands to
            its functions on any backend.

    Returns:
        Of the same kind and shape, floating point. A NumPy array gives a NumPy array.

    Example:
        >>> keras_vit.preprocess_input(np.array([0, 255], "uint8"))
        array([-1.,  1.], dtype=float32)
    """
    cast = _cast_of(images)
    if cast is _cast_numpy:
        images = np.asarray(images)
    if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(images.dtype)):
        images = cast(images, keras.config.floatx())
    return images / 127.5 - 1.0


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
