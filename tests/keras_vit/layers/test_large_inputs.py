"""Norms, softmax and pooling in half precision at large inputs, forward and backward.

The reference is the same layer in float32, from which half precision may differ by its roundings
only; none of these values leaves float16's range in float32.
"""

import keras
import numpy as np
import pytest
from keras import ops

import keras_vit
from tests.contracts import cases, numpy, randomise
from tests.keras_vit.gradients import value_and_gradient

HALF = {"float16": 0.02, "bfloat16": 0.15}  # what roundings cost, of the whole
# Activations in float16 that were small enough for its range, and gradients that were not
SCALES = (100, 1000, 20_000)
OURS = {case.id: case for case in cases() if not case.is_model}
KERAS = {
    "LayerNormalization": (keras.layers.LayerNormalization, {"epsilon": 1e-6}, (7, 8)),
    "mean of an image": (keras.layers.GlobalAveragePooling2D, {}, (16, 16, 8)),
    "mean of many tokens": (keras_vit.TokenPooling, {"kind": "gap"}, (197, 8)),
    "softmax": (keras.layers.Softmax, {}, (7, 8)),
}
# The sums of these over the largest inputs leave float16's range by what they are, and products of
# sums earlier.
PROJECTING = ("MultiHeadAttention", "RotaryAttention", "AttentionPooling", "MlpBlock")
PROJECTING += ("PatchEmbedding", "StandardizedConv2D", "PostActivationUnit")
LARGEST = {**dict.fromkeys(PROJECTING, 1000), "GatedMlp": 100}
# Scores of large tokens are all or nothing: which of two that are nearly alike is rounding's.
SHARP = ("MultiHeadAttention", "RotaryAttention", "AttentionPooling")


def pair(cls, arguments, shape, dtype):
    low, exact = cls(**arguments, dtype=f"mixed_{dtype}"), cls(**arguments)
    for layer in (low, exact):
        layer.build((None, *shape))
        randomise(layer)
    return low, exact


@pytest.mark.parametrize("name", [*KERAS, *OURS])
def test_large_inputs(name, rng):
    """Images or tokens of each scale in one batch: forward and backward as in float32."""
    if name in KERAS:
        cls, arguments, shape = KERAS[name]
    else:
        case = OURS[name]
        cls, arguments, shape = getattr(keras_vit, case.cls), case.arguments, case.shape
    largest = LARGEST.get(name.partition("-")[0], SCALES[-1])
    scales = [scale for scale in SCALES if scale <= largest]
    x = np.concatenate([rng.normal(size=(2, *shape)) * scale for scale in scales])
    x = np.clip(x, -60_000, 60_000)
    if "mean" in name:
        x = np.abs(x)  # the sum leaves float16's range, the mean does not
    halves = [ops.cast(ops.convert_to_tensor(x), dtype) for dtype in HALF]
    both = ops.concatenate([ops.cast(half, "float32") for half in halves])
    _, exact = pair(cls, arguments, shape, "float16")
    weights = rng.normal(size=exact.compute_output_shape(x.shape)).astype("float32")
    expected, slope = value_and_gradient(exact, both, np.concatenate([weights, weights]))
    references = zip(np.split(expected, 2), np.split(slope, 2), strict=True)
    for dtype, half, reference in zip(HALF, halves, references, strict=True):
        low, _ = pair(cls, arguments, shape, dtype)
        found = value_and_gradient(low, half, weights)
        for value, right in zip(found, reference, strict=True):
            assert np.isfinite(value).all()
            batches = (np.split(array, len(scales)) for array in (value, right))
            for scale, ours, theirs in zip(scales, *batches, strict=True):
                if not name.startswith(SHARP):
                    error = np.linalg.norm(ours - theirs) / max(np.linalg.norm(theirs), 1e-3)
                    assert error <= HALF[dtype], (dtype, scale)


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
