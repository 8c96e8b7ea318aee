"""Initial weights that are the same on every backend.

Each backend has its own random numbers. Here every weight is drawn with NumPy, from a stream
keyed by the seed and by the weight's own name below the model. Keras numbers automatic names by
what was built before, so every layer of our models has an explicit one.
"""

import hashlib

import numpy as np

from keras_vit.layers.initial_values import cast, draw
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
            value = draw(initializer, tuple(variable.shape), rng)
            if value is None:
                raise ValueError(f"The weight {variable.path} has no initializer that NumPy draws.")
            variable.assign(cast(value, variable.dtype))
    states = [v for v in model.variables if v.path.endswith("seed_generator_state")]
    for index, state in enumerate(states):
        rng = _stream(seed, f"seed_generator_state/{index}")
        state.assign(rng.integers(0, 2**31, tuple(state.shape)).astype("uint32"))


def _stream(seed, name):
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, "uint32"))
