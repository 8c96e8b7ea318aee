"""AddPositionEmbs: every kind against its definition, and what it refuses."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_vit

NUMPY = ops.convert_to_numpy


def added(layer: keras.layers.Layer, shape: tuple[int, ...]) -> np.ndarray:
    """What the layer adds to zeros."""
    return NUMPY(layer(np.zeros(shape, "float32")))


def test_learned_is_one_vector_a_token_drawn_with_deviation_002():
    layer = keras_vit.AddPositionEmbs()
    result = added(layer, (2, 1 + 8 * 8, 128))
    np.testing.assert_array_equal(result[0], result[1])
    np.testing.assert_allclose(result[0], NUMPY(layer.trainable_weights[0])[0])
    assert len(layer.trainable_weights) == 1
    # 8,320 numbers: the deviation's own standard error is 0.00016.
    assert abs(result.std() - 0.02) < 0.0008
    assert abs(result.mean()) < 0.001


def test_learned_2d_joins_half_a_column_and_half_a_row():
    rows, columns, width = 2, 3, 8
    layer = keras_vit.AddPositionEmbs("learned_2d", grid=(rows, columns))
    result = added(layer, (1, 1 + rows * columns, width))[0]
    grid = result[1:].reshape(rows, columns, width)
    x, y = grid[..., : width // 2], grid[..., width // 2 :]
    np.testing.assert_array_equal(x[0], x[1])  # the first half tells the column alone
    np.testing.assert_array_equal(y[:, 0], y[:, 1])  # the second half tells the row alone
    assert len(np.unique(x[0, :, 0])) == columns and len(np.unique(y[:, 0, 0])) == rows
    assert sum(w.shape[0] * w.shape[1] for w in layer.trainable_weights) == (
        (rows + columns) * width // 2 + width
    )


def test_sincos2d_by_hand():
    layer = keras_vit.AddPositionEmbs("sincos2d", grid=(2, 3))
    result = added(layer, (1, 7, 8))[0]
    assert not layer.weights
    np.testing.assert_array_equal(result[0], 0)  # the class token has no place
    # Row 1, column 2; the two frequencies of width 8 are 1 and 1/10,000.
    x, y = np.array([2, 2e-4]), np.array([1, 1e-4])
    expected = np.concatenate([np.sin(x), np.cos(x), np.sin(y), np.cos(y)])
    np.testing.assert_allclose(result[6], expected, atol=1e-6)


def test_none_adds_nothing(rng):
    tokens = rng.normal(size=(1, 5, 4)).astype("float32")
    layer = keras_vit.AddPositionEmbs("none")
    np.testing.assert_array_equal(NUMPY(layer(tokens)), tokens)
    assert not layer.weights


@pytest.mark.parametrize("prefix", [0, 1, 2])
def test_prefix_tokens_have_a_vector_of_their_own(prefix):
    layer = keras_vit.AddPositionEmbs("learned_2d", grid=(2, 2), num_prefix_tokens=prefix)
    result = added(layer, (1, prefix + 4, 8))[0]
    assert len(np.unique(result, axis=0)) == prefix + 4


def test_without_a_grid_a_square_one_is_taken():
    layer = keras_vit.AddPositionEmbs("sincos2d")
    given = keras_vit.AddPositionEmbs("sincos2d", grid=(3, 3))
    np.testing.assert_array_equal(added(layer, (1, 10, 8)), added(given, (1, 10, 8)))


@pytest.mark.parametrize(
    ("arguments", "shape", "named"),
    [
        ({"kind": "sincos"}, (1, 5, 8), "sincos2d"),
        ({"kind": "learned_2d"}, (1, 7, 8), "grid"),
        ({"kind": "sincos2d", "grid": (2, 2)}, (1, 7, 8), "grid"),
        ({"kind": "learned", "grid": (2, 2)}, (1, 7, 8), "grid"),
        ({"kind": "sincos2d"}, (1, 5, 6), "width"),
        ({"kind": "learned_2d"}, (1, 5, 7), "width"),
    ],
)
def test_what_does_not_fit_is_named(arguments, shape, named):
    with pytest.raises(ValueError, match=named):
        keras_vit.AddPositionEmbs(**arguments)(np.zeros(shape, "float32"))


def test_an_unknown_number_of_tokens_is_refused():
    with pytest.raises(ValueError, match="length"):
        keras_vit.AddPositionEmbs()(keras.KerasTensor((None, None, 8)))


@pytest.mark.once
@pytest.mark.parametrize(("old", "new"), [((2, 3), (4, 5)), ((4, 4), (2, 3)), ((3, 3), (3, 7))])
def test_resampling_is_the_authors_zoom(rng, old, new):
    """`scipy.ndimage.zoom(order=1)` is what the authors' code calls."""
    from scipy.ndimage import zoom

    from keras_vit.layers.resample import resample_position_embedding

    table = rng.normal(size=(1, 1 + old[0] * old[1], 4)).astype("float32")
    result = resample_position_embedding(table, old, new)
    factors = (new[0] / old[0], new[1] / old[1], 1)
    expected = zoom(table[0, 1:].reshape(*old, 4), factors, order=1)
    np.testing.assert_allclose(result[0, 1:].reshape(*new, 4), expected, atol=1e-6)
    np.testing.assert_array_equal(result[:, :1], table[:, :1])


@pytest.mark.once
@pytest.mark.parametrize("interpolation", ["bicubic", "bicubic_antialias"])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ((2, 3), (4, 5)),
        ((4, 4), (2, 3)),
        ((14, 14), (24, 20)),
        ((24, 24), (7, 9)),
        ((1, 5), (3, 1)),
    ],
)
def test_bicubic_resampling_is_pytorchs(rng, old, new, interpolation):
    """What Hugging Face (without antialias) and timm (with it) call."""
    import torch

    from keras_vit.layers.resample import resample_position_embedding

    table = rng.normal(size=(1, 1 + old[0] * old[1], 4)).astype("float32")
    result = resample_position_embedding(table, old, new, interpolation=interpolation)
    grid = torch.from_numpy(table[:, 1:].reshape(1, *old, 4)).double().permute(0, 3, 1, 2)
    antialias = interpolation == "bicubic_antialias"
    expected = torch.nn.functional.interpolate(grid, new, mode="bicubic", antialias=antialias)
    expected = expected.permute(0, 2, 3, 1).reshape(1, -1, 4).numpy()
    np.testing.assert_allclose(result[:, 1:], expected, atol=1e-6)
    np.testing.assert_array_equal(result[:, :1], table[:, :1])


@pytest.mark.once
def test_resampling_refuses_what_does_not_fit():
    from keras_vit.layers.resample import resample_position_embedding

    with pytest.raises(ValueError, match="grid"):
        resample_position_embedding(np.zeros((1, 6, 4)), (2, 2), (3, 3))
    with pytest.raises(ValueError, match="interpolation is 'linear'; use one of 'bilinear'"):
        resample_position_embedding(np.zeros((1, 5, 4)), (2, 2), (3, 3), interpolation="linear")
