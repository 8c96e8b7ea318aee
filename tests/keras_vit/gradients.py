"""The gradient of a function on each backend, which Keras has no common call for."""

import keras
import numpy as np
from keras import ops

from tests.contracts import numpy


def value_and_gradient(function, x, weights=None) -> tuple[np.ndarray, np.ndarray]:
    """The value and the gradient of `sum(weights * function(x))` with respect to `x`, as float32.

    The weights, all 1 where there are none, are what comes in from behind in the backward pass.
    """

    weights = None if weights is None else ops.convert_to_tensor(weights)

    def loss(x):
        y = ops.cast(function(x), "float32")
        return ops.sum(y if weights is None else y * weights), y

    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        (_, y), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(x)
    elif backend == "torch":
        x = x.detach().clone().requires_grad_(True)
        total, y = loss(x)
        total.backward()
        y, gradient = y.detach(), x.grad
    else:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            total, y = loss(x)
        gradient = tape.gradient(total, x)
    return numpy(y), numpy(ops.cast(gradient, "float32"))
