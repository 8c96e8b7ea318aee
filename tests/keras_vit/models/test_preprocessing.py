"""Pixel values to [-1, 1], whatever kind of tensor they come in."""

import keras
import numpy as np
import pytest

import keras_vit

IMAGES = np.array([[0, 127, 128, 255]], "uint8")
EXPECTED = np.array([[-1, -1 / 255, 1 / 255, 1]])


def assert_maps(result):
    assert keras.backend.standardize_dtype(result.dtype) == "float32"
    np.testing.assert_allclose(keras.ops.convert_to_numpy(result), EXPECTED, atol=1e-6)


def test_arrays():
    images = IMAGES.copy()
    result = keras_vit.preprocess_input(images)
    assert isinstance(result, np.ndarray)
    assert_maps(result)
    np.testing.assert_array_equal(images, IMAGES)  # the input is left alone
    assert_maps(keras_vit.preprocess_input(IMAGES.tolist()))
    assert keras_vit.preprocess_input(IMAGES.astype("float64")).dtype == np.float64


def test_tensors_of_the_backend():
    result = keras_vit.preprocess_input(keras.ops.convert_to_tensor(IMAGES))
    assert keras.ops.is_tensor(result)
    assert_maps(result)
    half = keras.ops.convert_to_tensor(IMAGES.astype("float16"))
    result = keras_vit.preprocess_input(half)
    assert keras.backend.standardize_dtype(result.dtype) == "float16"


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_inside_a_functional_model(tmp_path, dtype):
    pixels = keras.Input((4,), dtype=dtype)
    model = keras.Model(pixels, keras_vit.preprocess_input(pixels))
    assert_maps(model(IMAGES.astype(dtype)))
    model.save(tmp_path / "model.keras")
    assert_maps(keras.models.load_model(tmp_path / "model.keras")(IMAGES.astype(dtype)))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_inside_tf_data(dtype):
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices(IMAGES.astype(dtype)).batch(1)
    (result,) = data.map(keras_vit.preprocess_input)
    assert_maps(result.numpy())
    (eager,) = data
    assert_maps(keras_vit.preprocess_input(eager).numpy())
