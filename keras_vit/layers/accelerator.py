"""Whether the backend computes on a GPU or TPU: one of the few places that import a backend."""

import functools

import keras


@functools.cache
def on_accelerator() -> bool:
    """Returns whether the backend's default device is a GPU or TPU."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.default_backend() != "cpu"
    if backend == "torch":
        import torch

        return torch.cuda.is_available()
    import tensorflow as tf

    return bool(tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("TPU"))
