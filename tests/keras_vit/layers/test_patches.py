"""Patches: the order of tokens and values, both data formats, and what it refuses."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

import keras_vit

NUMPY = ops.convert_to_numpy


def numbered(height: int, width: int, channels: int) -> np.ndarray:
    """An image whose values tell their own place: 10,000 row + 100 column + channel."""
    row, column, channel = np.indices((height, width, channels))
    return (10_000 * row + 100 * column + channel).astype("float32")[None]


def test_tokens_run_row_by_row_and_values_by_row_column_channel():
    patches = NUMPY(keras_vit.Patches((2, 3))(numbered(4, 6, 2)))
    assert patches.shape == (1, 4, 12)
    # The second token is the patch to the right of the first: rows 0 to 1, columns 3 to 5.
    expected = [300, 301, 400, 401, 500, 501, 10300, 10301, 10400, 10401, 10500, 10501]
    assert patches[0, 1].tolist() == expected
    # The third starts the second row of patches.
    assert patches[0, 2, :2].tolist() == [20000, 20001]


def test_channels_first_gives_the_same_patches():
    images = numbered(6, 4, 3)
    last = NUMPY(keras_vit.Patches((3, 2))(images))
    first = keras_vit.Patches((3, 2), data_format="channels_first")
    np.testing.assert_array_equal(NUMPY(first(images.transpose(0, 3, 1, 2))), last)
    assert first.compute_output_shape((None, 3, 6, 4)) == (None, 4, 18)


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 4),
    columns=st.integers(1, 4),
    height=st.integers(1, 4),
    width=st.integers(1, 4),
    channels=st.integers(1, 4),
    batch=st.integers(1, 3),
)
def test_patches_can_be_put_together_again(rows, columns, height, width, channels, batch):
    shape = (batch, rows * height, columns * width, channels)
    images = np.arange(np.prod(shape), dtype="float32").reshape(shape)
    patches = NUMPY(keras_vit.Patches((height, width))(images))
    restored = np.zeros(shape, "float32")
    for token in range(rows * columns):
        top, left = token // columns * height, token % columns * width
        patch = patches[:, token].reshape(batch, height, width, channels)
        restored[:, top : top + height, left : left + width] = patch
    np.testing.assert_array_equal(restored, images)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_a_size_that_the_patch_does_not_divide_is_refused(data_format):
    layer = keras_vit.Patches((4, 5), data_format=data_format)
    shape = (1, 8, 12, 3) if data_format == "channels_last" else (1, 3, 8, 12)
    with pytest.raises(ValueError) as error:
        layer(np.zeros(shape, "float32"))
    text = str(error.value)
    assert "12" in text and "5" in text and "divi" in text
    with pytest.raises(ValueError, match="divi"):
        layer.compute_output_shape(shape)
    with pytest.raises(ValueError, match="divi"):
        layer(keras.KerasTensor((None, *shape[1:])))


@pytest.mark.parametrize("bad", [0, -1, (2, 0), (1, 2, 3), 2.5, "16"])
def test_a_patch_size_that_is_none_is_refused(bad):
    with pytest.raises(ValueError, match="patch_size"):
        keras_vit.Patches(bad)
