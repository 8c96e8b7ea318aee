"""What the backend computes on: one of the few places that import a backend."""

import functools

import keras


@functools.cache
def device_kind() -> str:
    """Returns the kind of the backend's device: `"cpu"`, `"gpu"`, `"tpu"`, or what PyTorch calls it."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.default_backend()
    if backend == "torch":
        import torch

        if torch.cuda.is_available():
            return "gpu"
        others = (("mps", torch.backends.mps), ("xpu", torch.xpu))  # Apple's, Intel's
        return next((name for name, other in others if other.is_available()), "cpu")
    import tensorflow as tf

    kinds = [kind for kind in ("TPU", "GPU") if tf.config.list_logical_devices(kind)]
    return kinds[0].lower() if kinds else "cpu"


def is_on_pytorchs_cpu(tensor) -> bool:
    """Returns whether it is a tensor that PyTorch's kernels for CPUs may be called for.

    In a program that is compiled, traced or exported there is none: that has to hold elsewhere.
    """
    if keras.backend.backend() != "torch" or device_kind() != "cpu":
        return False
    import torch

    written = torch.compiler.is_compiling() or torch.jit.is_tracing()
    return isinstance(tensor, torch.Tensor) and not written
