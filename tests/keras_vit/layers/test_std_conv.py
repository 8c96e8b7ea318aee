"""Standardised convolution: its precision, and the arguments it refuses."""

import keras
import numpy as np
import pytest

import keras_vit


def test_a_kernel_in_double_precision_is_standardised_in_it(backend):
    layer = keras_vit.StandardizedConv2D(4, 3, dtype="float64")
    layer.build((None, 8, 8, 2))
    kernel = np.random.default_rng(0).normal(5, 1, layer.kernel.shape)
    layer.kernel.assign(kernel)
    expected = kernel - kernel.mean(axis=(0, 1, 2))
    expected /= np.sqrt((expected**2).mean(axis=(0, 1, 2)) + 1e-10)
    standardized = keras.ops.convert_to_numpy(layer.standardize(layer.kernel))
    # Keras' own arithmetic is in single precision elsewhere, float64 or not.
    tolerance = 1e-12 if backend == "tensorflow" else 1e-5
    np.testing.assert_allclose(standardized, expected, atol=tolerance)


def test_channels_come_last_whatever_keras_is_configured_to():
    images = np.random.default_rng(0).normal(size=(2, 8, 6, 3)).astype("float32")
    keras.config.set_image_data_format("channels_first")
    try:
        layer = keras_vit.StandardizedConv2D(4, 3, explicit_padding=True)
        assert layer(images).shape == (2, 8, 6, 4)
    finally:
        keras.config.set_image_data_format("channels_last")
    with pytest.raises(ValueError, match=r"'channels_first'; .* takes 'channels_last' alone"):
        keras_vit.StandardizedConv2D(4, 3, data_format="channels_first")


def test_padding_twice_is_refused():
    with pytest.raises(ValueError, match="does not go with padding='same'"):
        keras_vit.StandardizedConv2D(4, 3, padding="same", explicit_padding=True)


@pytest.mark.parametrize("strides", [1, 2, (1, 3)])
@pytest.mark.parametrize("groups", [1, 2])
def test_single_pixels_are_convolved_by_definition(strides, groups, rng):
    layer = keras_vit.StandardizedConv2D(
        4, 1, strides=strides, groups=groups, padding="same", explicit_padding=False
    )
    images = rng.normal(size=(2, 7, 6, 6)).astype("float32")
    layer.build(images.shape)
    layer.bias.assign([1.0, 2.0, 3.0, 4.0])
    found = keras.ops.convert_to_numpy(layer(images))
    kernel = keras.ops.convert_to_numpy(layer.kernel).astype("float64")[0, 0]
    kernel = (kernel - kernel.mean(0)) / np.sqrt(kernel.var(0) + 1e-10)
    rows, columns = layer.strides
    seen = images[:, ::rows, ::columns].reshape(2, -(-7 // rows), -(-6 // columns), groups, -1)
    kernel = kernel.reshape(6 // groups, groups, 4 // groups)
    expected = np.einsum("bhwgi,igo->bhwgo", seen, kernel).reshape(*seen.shape[:3], 4)
    np.testing.assert_allclose(found, expected + [1, 2, 3, 4], atol=1e-5)
    assert found.shape == layer.compute_output_shape(images.shape)
