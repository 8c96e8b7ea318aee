"""Initial weights that are the same on every backend.

Each backend has its own random numbers. Here every weight is drawn with NumPy, from a stream
keyed by the seed and by the weight's own name below the model. Keras numbers automatic names by
what was built before, so every layer of our models has an explicit one.
"""

import hashlib
import math

import keras
import numpy as np

from keras_vit.models.weight_values import weight_name


def seed_weights(model, seed):
    """Draws all initial weights of a freshly built model anew.

    Args:
        model: a built model whose layers all have explicit names.
        seed: int; equal seeds give equal weights on every backend.

    Raises:
        ValueError: for a seed that is not an int, or if a layer has an initializer that cannot be
            drawn here.
    """
    if not isinstance(seed, int | np.integer):
        raise ValueError(f"seed is {seed!r}; give an int, or None for new random weights.")
    for layer in model._flatten_layers(include_self=False):
        for variable in layer._trainable_variables + layer._non_trainable_variables:
            initializer = getattr(layer, f"{variable.name}_initializer", None)
            rng = _stream(seed, weight_name(model, variable))
            value = _draw(initializer, tuple(variable.shape), rng)
            if value is None:
                raise ValueError(f"The weight {variable.path} has no initializer that NumPy draws.")
            variable.assign(value)
    states = [v for v in model.variables if v.path.endswith("seed_generator_state")]
    for index, state in enumerate(states):
        rng = _stream(seed, f"seed_generator_state/{index}")
        state.assign(rng.integers(0, 2**31, tuple(state.shape)).astype("uint32"))


def _stream(seed, name):
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, "uint32"))


def _draw(initializer, shape, rng):
    kinds = keras.initializers
    if isinstance(initializer, kinds.Zeros):
        return np.zeros(shape, "float32")
    if isinstance(initializer, kinds.Ones):
        return np.ones(shape, "float32")
    if isinstance(initializer, kinds.Constant):
        return np.full(shape, initializer.value, "float32")
    if isinstance(initializer, kinds.RandomNormal):
        return _normal(rng, shape, initializer.stddev) + np.float32(initializer.mean)
    if isinstance(initializer, kinds.VarianceScaling):
        return _variance_scaling(initializer, shape, rng)
    return None


def _variance_scaling(initializer, shape, rng):
    fan_in, fan_out = _fans(shape)
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
    variance = initializer.scale / max(1.0, fan[initializer.mode])
    if initializer.distribution == "uniform":
        limit = math.sqrt(3 * variance)
        return _uniform(rng, shape, limit)
    if initializer.distribution == "untruncated_normal":
        return _normal(rng, shape, math.sqrt(variance))
    return _truncated_normal(rng, shape, math.sqrt(variance))


def _fans(shape):
    if len(shape) < 2:
        return (shape[0], shape[0]) if shape else (1, 1)
    receptive_field = math.prod(shape[:-2])
    return receptive_field * shape[-2], receptive_field * shape[-1]


def _uniform(rng, shape, limit):
    values = np.empty(shape, "float32")
    for row in values.reshape(shape[0], -1):  # NumPy draws float64: never all of a kernel at once
        row[:] = rng.uniform(-limit, limit, len(row))
    return values


def _normal(rng, shape, stddev):
    return rng.standard_normal(shape, "float32") * np.float32(stddev)


def _truncated_normal(rng, shape, stddev):
    """A normal cut at two standard deviations, widened so that its own is `stddev`."""
    values = rng.standard_normal(math.prod(shape), "float32")
    while len(outside := np.flatnonzero(np.abs(values) > 2)):
        values[outside] = rng.standard_normal(len(outside), "float32")
    return (values * np.float32(stddev / 0.87962566103423978)).reshape(shape)
