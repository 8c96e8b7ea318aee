"""Activations by name, with both forms of GELU that published ViTs were trained with."""

from collections.abc import Callable

import keras
from keras import ops

GELU_TANH = "gelu_tanh"
GELU_EXACT = "gelu"
GELU_QUICK = "quick_gelu"


def get_activation(identifier: str | Callable) -> Callable:
    """Returns the activation function that `identifier` names.

    The authors' Flax code uses the tanh approximation of GELU, timm and Hugging Face the exact
    one, OpenAI's CLIP a logistic approximation; Keras has a string for the exact one only, so
    `"gelu_tanh"` and `"quick_gelu"` are added here.

    Args:
        identifier: `"gelu_tanh"`, `"gelu"` (exact), `"quick_gelu"`, or anything that
            `keras.activations.get` knows.

    Returns:
        A function of one tensor.

    Raises:
        ValueError: for a name that Keras does not know.
    """
    if identifier == GELU_TANH:
        return _gelu_tanh
    if identifier == GELU_EXACT:
        return _gelu_exact
    if identifier == GELU_QUICK:
        return _gelu_quick
    return keras.activations.get(identifier)


def activation_name(identifier: str | Callable):
    """Returns a form of `identifier` for configurations: Keras' own functions become names.

    Raises:
        ValueError: for a name that Keras does not know.
    """
    get_activation(identifier)
    return keras.activations.serialize(identifier) if callable(identifier) else identifier


def _gelu_tanh(x):
    return keras.activations.gelu(x, approximate=True)


def _gelu_quick(x):
    return x * ops.sigmoid(1.702 * x)


def _gelu_exact(x):
    # JAX and TensorFlow compute it from erfc, which costs XLA's CPU code twice as much as erf does,
    # and which ONNX does not have. Only in half precision is erfc needed: there 1 + erf(x) would
    # lose the negative side.
    dtype = keras.backend.standardize_dtype(x.dtype)
    if keras.backend.backend() != "torch" and dtype == "float32":
        return 0.5 * x * (1.0 + ops.erf(x * 0.5**0.5))
    return keras.activations.gelu(x, approximate=False)
