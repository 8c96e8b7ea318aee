"""Activations in half precision as in more, both forms of GELU against their definitions."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy.special import expit, ndtr

from keras_vit.layers.activations import get_activation
from tests.contracts import numpy
from tests.keras_vit.gradients import value_and_gradient

X = np.linspace(-9, 9, 2001).astype(np.float32)
# From one end of float16's range to the other, where squares and cubes leave it
WIDE = np.array([0, 0.1, 1, 2, 3, 5, 7, 8, 8.5, 12, 30, 41, 100, 257, 400, 3e3, 3e4, 65504])
WIDE = np.concatenate([-WIDE[:0:-1], WIDE]).astype("float32")
# As half precision ends where their values do
GROWING = {"exponential", "log_softmax", "selu"}
NOT_FUNCTIONS_OF_A_TENSOR = {"deserialize", "get", "serialize", "threshold"}
EVERY = {name for name in dir(keras.activations) if callable(getattr(keras.activations, name))}
EVERY = EVERY - NOT_FUNCTIONS_OF_A_TENSOR | {"gelu_tanh", "quick_gelu"}


def quick(x):
    return x * expit(1.702 * x)


def quick_slope(x):
    s = expit(1.702 * x)
    return s + 1.702 * x * s * (1 - s)


def exact(x):
    return x * ndtr(x)


def exact_slope(x):
    return ndtr(x) + x * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)


def tanh(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def tanh_slope(x):
    z, slope = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3), 1 + 3 * 0.044715 * x**2
    with np.errstate(over="ignore"):
        return 0.5 * (1 + np.tanh(z)) + 0.5 * x * np.sqrt(2 / np.pi) * slope / np.cosh(z) ** 2


@pytest.mark.parametrize(
    ("name", "definition"), [("gelu", exact), ("gelu_tanh", tanh), ("quick_gelu", quick)]
)
def test_gelu_is_its_definition(name, definition):
    activation = get_activation(name)
    y = numpy(activation(ops.convert_to_tensor(X)))
    np.testing.assert_allclose(y, definition(X.astype(np.float64)), atol=2e-6)
    # In half precision: within a few roundings of the input, each worth up to 2^-9 of it.
    half = ops.convert_to_tensor(X, "bfloat16")
    x = numpy(ops.cast(half, "float32")).astype(np.float64)
    y = numpy(ops.cast(activation(half), "float32"))
    assert (np.abs(y - definition(x)) <= 0.01 * np.abs(x)).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(
    ("name", "definition", "slope"),
    [
        ("gelu", exact, exact_slope),
        ("gelu_tanh", tanh, tanh_slope),
        ("quick_gelu", quick, quick_slope),
    ],
)
def test_gelu_of_any_size_in_half_precision(name, definition, slope, dtype):
    half = ops.cast(ops.convert_to_tensor(WIDE), dtype)
    x = numpy(ops.cast(half, "float32")).astype(np.float64)
    y, gradient = value_and_gradient(get_activation(name), half)
    rounding = 2.0**-10 if dtype == "float16" else 2.0**-7
    assert (np.abs(y - definition(x)) <= 2 * rounding * np.abs(x)).all()
    np.testing.assert_allclose(gradient, slope(x), atol=4 * rounding)


@pytest.mark.parametrize(
    ("names", "values"),
    [(EVERY - GROWING, WIDE), (GROWING, WIDE[np.abs(WIDE) < 10])],
    ids=["bounded", "growing"],
)
def test_every_activation_of_any_size_in_half_precision(names, values):
    """As in float32, whose range the squares of these inputs do not leave."""
    names = sorted(names)

    def all_of_them(x):  # a row each, in one program
        rows = [get_activation(name)(x[i : i + 1]) for i, name in enumerate(names)]
        return ops.concatenate(rows, axis=-1)

    values = values[1:]  # an even number, since glu takes halves
    rows = ops.convert_to_tensor(np.tile(values, (len(names), 1)))
    for dtype, rounding in (("float16", 2.0**-10), ("bfloat16", 2.0**-7)):
        half = ops.cast(rows, dtype)
        y, gradient = value_and_gradient(all_of_them, half)
        expected, slope = value_and_gradient(all_of_them, ops.cast(half, "float32"))
        scale = np.maximum(np.abs(expected[0]), 1)
        owner = [name for name in names for _ in range(len(values) // (1 + (name == "glu")))]
        wrong = np.abs(y - expected)[0] > 8 * rounding * scale
        assert not wrong.any(), {name for name, bad in zip(owner, wrong, strict=True) if bad}
        close = np.isclose(gradient, slope, rtol=16 * rounding, atol=16 * rounding).all(axis=1)
        assert close.all(), [name for name, fine in zip(names, close, strict=True) if not fine]
