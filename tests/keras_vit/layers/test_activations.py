"""Both forms of GELU against their definitions in double precision, on both sides of zero."""

import keras
import numpy as np
import pytest
from scipy.special import ndtr

from keras_vit.layers.activations import get_activation

X = np.linspace(-9, 9, 2001).astype(np.float32)


def exact(x):
    return x * ndtr(x)


def tanh(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


@pytest.mark.parametrize(("name", "definition"), [("gelu", exact), ("gelu_tanh", tanh)])
def test_gelu_is_its_definition(name, definition):
    activation = get_activation(name)
    y = keras.ops.convert_to_numpy(activation(keras.ops.convert_to_tensor(X)))
    np.testing.assert_allclose(y, definition(X.astype(np.float64)), atol=2e-6)
    # In half precision: within a few roundings of the input, each worth up to 2^-9 of it.
    half = keras.ops.convert_to_tensor(X, "bfloat16")
    x = keras.ops.convert_to_numpy(keras.ops.cast(half, "float32")).astype(np.float64)
    y = keras.ops.convert_to_numpy(keras.ops.cast(activation(half), "float32"))
    assert (np.abs(y - definition(x)) <= 0.01 * np.abs(x)).all()
