"""What the backend computes on: one of the few places that import a backend."""

import functools

import keras


@functools.cache
def device_kind() -> str:
    """Returns the kind of the backend's default device: `"cpu"`, `"gpu"` or `"tpu"`."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.default_backend()
    if backend == "torch":
        import torch

        return "gpu" if torch.cuda.is_available() else "cpu"
    import tensorflow as tf

    kinds = [kind for kind in ("TPU", "GPU") if tf.config.list_logical_devices(kind)]
    return kinds[0].lower() if kinds else "cpu"
