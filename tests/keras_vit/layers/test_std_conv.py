"""Standardised convolution: its precision, and the arguments it refuses."""

import keras
import numpy as np
import pytest

import keras_vit
from tests.contracts import numpy
from tests.keras_vit.gradients import value_and_gradient


def definition(layer, images, kernel):
    """(B, H, W, C) -> (B, H', W', filters) in double precision, window by window."""
    kernel = kernel.astype("float64")
    kernel = kernel - kernel.mean((0, 1, 2))
    variance = (kernel**2).mean((0, 1, 2))
    inside = layer.epsilon_inside_root
    kernel /= np.sqrt(variance + layer.epsilon) if inside else np.sqrt(variance) + layer.epsilon
    sizes = [(k - 1) * d + 1 for k, d in zip(layer.kernel_size, layer.dilation_rate, strict=True)]
    sides = [layer.compute_output_shape(images.shape)[1 + axis] for axis in (0, 1)]
    zeros = [(0, 0)] * 2
    if layer.explicit_padding:
        zeros = [(k // 2, k // 2) for k in layer.kernel_size]
    elif layer.padding == "same":
        needed = [
            max(0, (side - 1) * stride + size - given)
            for side, stride, size, given in zip(
                sides, layer.strides, sizes, images.shape[1:3], strict=True
            )
        ]
        zeros = [(number // 2, number - number // 2) for number in needed]
    padded = np.pad(images.astype("float64"), [(0, 0), *zeros, (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, sizes, (1, 2))
    (rows, columns), (down, right) = layer.strides, layer.dilation_rate
    windows = windows[:, ::rows, ::columns, :, ::down, ::right]  # (B, H', W', C, h, w)
    windows = windows.reshape(*windows.shape[:3], layer.groups, -1, *windows.shape[4:])
    kernel = kernel.reshape(*kernel.shape[:3], layer.groups, -1)
    found = np.einsum("bijgchw,hwcgo->bijgo", windows, kernel)
    return found.reshape(*found.shape[:3], -1)


HYBRID = {"epsilon": 1e-5, "epsilon_inside_root": False}
CONVOLUTIONS = {
    "BiT's": {"kernel_size": 3, "strides": 2, "explicit_padding": True},
    "of the hybrids": {"kernel_size": 3, "strides": 2, "padding": "same", **HYBRID},
    "of an even side": {"kernel_size": (4, 3), "strides": (3, 1), "padding": "same"},
    "dilated": {"kernel_size": 3, "dilation_rate": 2, "padding": "same"},
    "in groups": {"kernel_size": 3, "groups": 2},
    "of single pixels": {"kernel_size": 1, "strides": 2},
    "of large strides": {"kernel_size": 1, "strides": 4, "padding": "same"},
}


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


@pytest.mark.parametrize("first", [False, True], ids=["channels-last", "channels-first"])
@pytest.mark.parametrize(
    "filters", [16, 6]
)  # PyTorch's kernels differ by it, and by the memory's order
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_is_its_definition(name, filters, first, rng, backend):
    layer = keras_vit.StandardizedConv2D(filters, use_bias=False, **CONVOLUTIONS[name])
    images = rng.normal(size=(2, 9, 8, 4)).astype("float32")
    layer.build(images.shape)
    kernel = rng.normal(3, 1, layer.kernel.shape).astype("float32")
    shape = layer.compute_output_shape(images.shape)
    behind = rng.normal(size=shape).astype("float32")
    x, k = keras.ops.convert_to_tensor(images), keras.ops.convert_to_tensor(kernel)
    if first and backend == "torch":
        x = x.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    found, to_images = value_and_gradient(lambda x: layer.stateless_call([k], [], x)[0], x, behind)
    np.testing.assert_allclose(found, definition(layer, images, kernel), rtol=1e-4, atol=1e-4)
    assert found.shape == shape
    _, to_kernel = value_and_gradient(lambda k: layer.stateless_call([k], [], x)[0], k, behind)
    for values, gradient, moved in (
        (images, to_images, lambda v: (v, kernel)),
        (kernel, to_kernel, lambda v: (images, v)),
    ):
        direction = rng.normal(size=values.shape)
        ends = [
            np.sum(behind * definition(layer, *moved(values + step * direction)))
            for step in (1e-4, -1e-4)
        ]
        expected = (ends[0] - ends[1]) / 2e-4
        np.testing.assert_allclose(np.sum(gradient * direction), expected, rtol=1e-3, atol=1e-3)


def test_on_pytorch_units_pass_images_on_as_they_lie_in_memory(rng, backend):
    """Else each norm and convolution would copy them."""
    if backend != "torch":
        return
    unit = keras_vit.PreActivationUnit(16, groups=4)
    images = keras.ops.convert_to_tensor(rng.normal(size=(2, 6, 5, 64)).astype("float32"))
    for order in (images, images.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)):
        found = unit(order)
        np.testing.assert_allclose(numpy(found), numpy(unit(images)), rtol=1e-5, atol=1e-5)
    assert found.permute(0, 3, 1, 2).is_contiguous()


@pytest.mark.parametrize("size", [1, 3])
def test_on_pytorch_gradients_of_single_images_and_forward_derivatives(size, rng, backend):
    if backend != "torch":
        return
    import torch

    layer = keras_vit.StandardizedConv2D(16, size, use_bias=False, padding="same")
    layer.build((None, 5, 4, 16))
    kernel, direction = (
        torch.from_numpy(rng.normal(size=layer.kernel.shape).astype("float32")) for _ in range(2)
    )
    images = torch.from_numpy(rng.normal(size=(3, 16, 5, 4)).astype("float32"))
    images = images.permute(0, 2, 3, 1)

    def loss(kernel, image=images[0]):
        return layer.stateless_call([kernel], [], image[None])[0].square().sum()

    found = torch.func.vmap(torch.func.grad(loss), (None, 0))(kernel, images)
    gradients = [value_and_gradient(lambda k, i=image: loss(k, i), kernel)[1] for image in images]
    np.testing.assert_allclose(numpy(found), gradients, rtol=1e-3, atol=1e-3)
    _, slope = torch.func.jvp(loss, (kernel,), (direction,))
    np.testing.assert_allclose(float(slope), np.sum(gradients[0] * numpy(direction)), rtol=1e-3)
