"""Recomputing a layer's activations in the backward pass instead of keeping them."""

import keras
from keras import ops

# More random numbers than one call of a Transformer block draws from any of its generators.
DRAWS = 16


def recomputed(layer, call, x):
    """Returns `call(x)`, of which the backward pass keeps `x` alone.

    `keras.RematScope` would run the layer a second time with other dropout masks on TensorFlow
    and PyTorch, since the seed generators have moved on by then, and would nest scopes in each
    sublayer. Here the layer becomes a pure function of its input, its weights and the seeds as
    they are now.

    Args:
        layer: a built layer; its variables are all that `call` reads or changes.
        call: function of one tensor that calls `layer`'s parts.
        x: floating point tensor.

    Returns:
        What `call` returns.

    Reference:
        Chen et al., "Training Deep Nets with Sublinear Memory Cost", arXiv 1604.06174.
    """
    states = [v for v in layer.variables if v.path.endswith("seed_generator_state")]
    weights = [v for v in layer.variables if not v.path.endswith("seed_generator_state")]
    seeds = [(state, state.value * 1) for state in states]  # a copy: PyTorch assigns in place

    def pure(x, *values):
        with keras.StatelessScope(state_mapping=[*seeds, *zip(weights, values, strict=True)]):
            return call(x)

    result = keras.remat(pure)(x, *[ops.convert_to_tensor(weight) for weight in weights])
    for state in states:
        # What was drawn inside is unknown out here: leave a gap that is wide enough.
        state.assign(ops.add(state, ops.convert_to_tensor([0, DRAWS], dtype=state.dtype)))
    return result
