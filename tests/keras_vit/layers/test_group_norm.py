"""Group normalisation against its definition, in double precision."""

import keras
import numpy as np
import pytest

import keras_vit


def normalised(x, groups, epsilon, gamma=1.0, beta=0.0):
    """(B, H, W, C) -> the same, straight from the definition."""
    grouped = x.astype(np.float64).reshape(*x.shape[:3], groups, -1)
    mean = grouped.mean((1, 2, 4), keepdims=True)
    variance = ((grouped - mean) ** 2).mean((1, 2, 4), keepdims=True)
    return ((grouped - mean) / np.sqrt(variance + epsilon)).reshape(x.shape) * gamma + beta


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_is_its_definition(groups):
    rng = np.random.default_rng(groups)
    # Channels of very different means: those of a group have to be told from those of a channel.
    x = (rng.normal(size=(3, 4, 5, 6)) + 10 * rng.normal(size=6)).astype(np.float32)
    layer = keras_vit.GroupNormalization(groups, epsilon=1e-3)
    layer.build(x.shape)
    gamma, beta = rng.normal(size=(2, 6)).astype(np.float32)
    layer.gamma.assign(gamma)
    layer.beta.assign(beta)
    expected = normalised(x, groups, 1e-3, gamma, beta)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer(x)), expected, rtol=1e-5, atol=2e-5)


def test_far_from_zero_it_stays_exact():
    x = np.random.default_rng(0).normal(1000, 1, (2, 8, 8, 4)).astype(np.float32)
    y = keras.ops.convert_to_numpy(keras_vit.GroupNormalization(2)(x))
    np.testing.assert_allclose(y, normalised(x, 2, 1e-5), atol=2e-3)


def test_without_scale_and_center():
    x = np.random.default_rng(0).normal(2, 3, (2, 3, 3, 4)).astype(np.float32)
    layer = keras_vit.GroupNormalization(4, scale=False, center=False)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(layer(x)), normalised(x, 4, 1e-5), atol=1e-5
    )
    assert not layer.weights


def test_half_precision_computes_in_float32():
    x = np.random.default_rng(0).normal(0, 1000, (2, 4, 4, 4)).astype(np.float16)
    layer = keras_vit.GroupNormalization(2, dtype="mixed_float16")  # squares leave float16's range
    y = keras.ops.convert_to_numpy(layer(x)).astype(np.float64)
    np.testing.assert_allclose(y, normalised(x, 2, 1e-5), atol=2e-3)


def test_groups_must_divide_the_channels():
    with pytest.raises(ValueError, match="4 groups do not divide the 6 channels"):
        keras_vit.GroupNormalization(4).build((None, 8, 8, 6))
