"""Norms, softmax and pooling in half precision at large inputs, forward and backward.

The reference is the same layer in float32, from which half precision may differ by its roundings
only; none of these values leaves float16's range in float32.
"""

import keras
import numpy as np
import pytest
from keras import ops

import keras_vit
from tests.contracts import numpy, randomise
from tests.keras_vit.gradients import value_and_gradient

HALF = ("float16", "bfloat16")
LAYERS = {
    "LayerNormalization": (keras.layers.LayerNormalization, {"epsilon": 1e-6}, (7, 8)),
    "GroupNormalization": (keras_vit.GroupNormalization, {"groups": 4}, (4, 4, 8)),
    "mean": (keras_vit.TokenPooling, {"kind": "gap"}, (197, 8)),
    "mean of an image": (keras.layers.GlobalAveragePooling2D, {}, (16, 16, 8)),
    "softmax": (keras.layers.Softmax, {}, (7, 8)),
    "TransformerBlock": (keras_vit.TransformerBlock, {"num_heads": 2, "mlp_dim": 16}, (7, 8)),
    "MlpBlock": (keras_vit.MlpBlock, {"mlp_dim": 16}, (7, 8)),
    "PreActivationUnit": (keras_vit.PreActivationUnit, {"filters": 4, "groups": 2}, (6, 6, 8)),
}
# Activations in float16 that were small enough for its range, and gradients that were not
SCALES = (100, 1000, 20_000)


def pair(cls, arguments, shape, dtype):
    low, exact = cls(**arguments, dtype=f"mixed_{dtype}"), cls(**arguments)
    for layer in (low, exact):
        layer.build((None, *shape))
        randomise(layer)
    return low, exact


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", LAYERS)
def test_large_inputs(name, scale, dtype, rng):
    cls, arguments, shape = LAYERS[name]
    low, exact = pair(cls, arguments, shape, dtype)
    x = np.clip(rng.normal(size=(2, *shape)) * scale, -60_000, 60_000).astype("float32")
    if "mean" in name:
        x = np.abs(x)  # the sum leaves float16's range, the mean does not
    half = ops.cast(ops.convert_to_tensor(x), dtype)
    weights = rng.normal(size=exact.compute_output_shape(x.shape)).astype("float32")
    y, gradient = value_and_gradient(low, half, weights)
    expected, slope = value_and_gradient(exact, ops.cast(half, "float32"), weights)
    tolerance = 0.02 if dtype == "float16" else 0.15
    assert np.abs(y - expected).max() <= tolerance * np.abs(expected).max()
    assert np.abs(gradient - slope).max() <= tolerance * max(np.abs(slope).max(), 1e-3)


@pytest.mark.parametrize("dtype", HALF)
def test_a_masked_mean_of_large_tokens(dtype, rng):
    x = (rng.uniform(1, 2, size=(2, 197, 8)) * 20_000).astype("float32")
    mask = rng.uniform(size=(2, 197)) < 0.8
    pooled = keras_vit.TokenPooling("gap", dtype=f"mixed_{dtype}")(
        ops.cast(ops.convert_to_tensor(x), dtype), mask=ops.convert_to_tensor(mask)
    )
    assert keras.backend.standardize_dtype(pooled.dtype) == dtype
    expected = [image[kept].mean(axis=0) for image, kept in zip(x, mask, strict=True)]
    np.testing.assert_allclose(numpy(ops.cast(pooled, "float32")), expected, rtol=0.01)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", HALF)
def test_scores_beyond_float16_do_not_become_nan(dtype, masked, fused, rng, backend):
    """They saturate: the largest still gets the attention, and training goes on."""
    if fused and backend == "jax" and dtype == "float16":
        return  # XLA has no such product on CPUs, and says so
    arguments = {"num_heads": 2, "fused": fused}
    low, _ = pair(keras_vit.MultiHeadAttention, arguments, (7, 8), dtype)
    x = ops.cast(
        ops.convert_to_tensor((rng.normal(size=(2, 7, 8)) * 2000).astype("float32")), dtype
    )
    mask = ops.convert_to_tensor(rng.uniform(size=(2, 7)) < 0.7) if masked else None
    y, gradient = value_and_gradient(lambda x: low(x, attention_mask=mask), x)
    assert np.isfinite(y).all() and np.isfinite(gradient).all()
    _, scores = low(x, attention_mask=mask, return_attention_scores=True)
    scores = numpy(ops.cast(scores, "float32"))
    np.testing.assert_allclose(scores.sum(axis=-1), 1, atol=0.02)
    if masked:
        assert (scores * ~numpy(mask)[:, None, None] == 0).all()
