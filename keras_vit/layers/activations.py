"""Activations by name, with both forms of GELU that published ViTs were trained with."""

import inspect
import math
from collections.abc import Callable

import keras
from keras import ops

GELU_TANH = "gelu_tanh"
GELU_EXACT = "gelu"
GELU_QUICK = "quick_gelu"
HALF = ("float16", "bfloat16")
SATURATED = 7.0
# Their squares and sums leave float16's range.
SQUARING = (
    keras.activations.squareplus,
    keras.activations.sparse_plus,
    keras.activations.sparsemax,
)


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
    function = keras.activations.get(identifier)
    return _wide(function) if function in SQUARING else function


def activation_name(identifier: str | Callable, argument: str = "activation"):
    """Returns a form of `identifier` for configurations: Keras' own functions become names.

    Args:
        identifier: as of `get_activation`.
        argument: that it was given as, for the message.

    Raises:
        ValueError: for a name that Keras does not know, or a function that a file could not name.
    """
    try:
        name = _name(identifier) if callable(identifier) else identifier
        get_activation(name)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{argument} is {identifier!r}; give a name, a function of Keras, or one with "
            "@keras.saving.register_keras_serializable."
        ) from error
    return name


def _name(function):
    """What a file says of a function, or of an object that can be called; ValueError where it cannot."""
    if getattr(function, "__name__", "") == "<lambda>":
        raise ValueError("Keras would warn of it, too.")
    name = keras.activations.serialize(function)
    found = keras.activations.get(name)
    objects = not inspect.isfunction(function) and type(found) is type(function)
    # A function of another's that has the name of one of Keras' would be taken for that one.
    if found is function or objects or str(function.__module__).startswith("keras."):
        return name
    raise ValueError(f"{name} is another's.")


def _gelu_tanh(x):
    if keras.backend.backend() == "torch" or _dtype(x) not in HALF:
        return keras.activations.gelu(x, approximate=True)
    # The cube leaves float16's range from |x| = 40 on, where the gradient would be infinity times
    # zero; the tanh is 1 long before. As a sigmoid it keeps the digits of the negative side, too.
    inner = ops.clip(x, -SATURATED - 1, SATURATED + 1)  # its slope at the very ends is another's
    cubic = inner * (1.0 + 0.044715 * inner * inner)
    inner = inner * ops.sigmoid(2.0 * (2.0 / math.pi) ** 0.5 * cubic)
    return ops.where(x > SATURATED, x, inner)


def _gelu_quick(x):
    return x * ops.sigmoid(1.702 * x)


def _gelu_exact(x):
    # JAX and TensorFlow compute it from erfc, which costs XLA's CPU code twice as much as erf does,
    # and which ONNX does not have. Only in half precision is erfc needed: there 1 + erf(x) would
    # lose the negative side.
    if keras.backend.backend() != "torch" and _dtype(x) == "float32":
        return 0.5 * x * (1.0 + ops.erf(x * 0.5**0.5))
    return keras.activations.gelu(x, approximate=False)


def _wide(function):
    def computed_in_float32(x):
        return (
            ops.cast(function(ops.cast(x, "float32")), x.dtype)
            if _dtype(x) in HALF
            else function(x)
        )

    return computed_in_float32


def _dtype(x):
    return keras.backend.standardize_dtype(x.dtype)
