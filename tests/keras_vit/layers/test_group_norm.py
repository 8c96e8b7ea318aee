"""Group normalisation against its definition, in double precision."""

import keras
import numpy as np
import pytest

import keras_vit
from tests.contracts import numpy
from tests.keras_vit.gradients import value_and_gradient


def definition(x, groups, epsilon, gamma=1.0, beta=0.0):
    """(B, H, W, C) -> the same, straight from the definition."""
    grouped = x.astype(np.float64).reshape(*x.shape[:3], groups, -1)
    mean = grouped.mean((1, 2, 4), keepdims=True)
    variance = ((grouped - mean) ** 2).mean((1, 2, 4), keepdims=True)
    return ((grouped - mean) / np.sqrt(variance + epsilon)).reshape(x.shape) * gamma + beta


def in_memory(x, first):
    """A tensor of images whose channels come first in memory, where a backend lets one say so."""
    x = keras.ops.convert_to_tensor(x)
    if first and keras.backend.backend() == "torch":
        x = x.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    return x


@pytest.mark.parametrize("first", [False, True], ids=["channels-last", "channels-first"])
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_is_its_definition(groups, first):
    rng = np.random.default_rng(groups)
    # Channels of very different means: those of a group have to be told from those of a channel.
    x = (rng.normal(size=(3, 4, 5, 6)) + 10 * rng.normal(size=6)).astype(np.float32)
    layer = keras_vit.GroupNormalization(groups, epsilon=1e-3)
    layer.build(x.shape)
    gamma, beta = rng.normal(size=(2, 6)).astype(np.float32)
    layer.gamma.assign(gamma)
    layer.beta.assign(beta)
    expected = definition(x, groups, 1e-3, gamma, beta)
    found = numpy(layer(in_memory(x, first)))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-5)
    empty = layer(in_memory(x[:0], first))
    assert tuple(empty.shape) == (0, 4, 5, 6)


@pytest.mark.parametrize("first", [False, True], ids=["channels-last", "channels-first"])
def test_of_a_single_pixel_and_channel_only_the_shift_is_left(first):
    layer = keras_vit.GroupNormalization(3)
    layer.build((None, 1, 1, 3))
    layer.beta.assign([1.0, 2.0, 3.0])
    found = numpy(layer(in_memory(np.full((1, 1, 1, 3), 7, np.float32), first)))
    np.testing.assert_allclose(found.ravel(), [1, 2, 3], atol=1e-4)


@pytest.mark.parametrize("first", [False, True], ids=["channels-last", "channels-first"])
def test_far_from_zero_it_stays_exact(first):
    x = np.random.default_rng(0).normal(1000, 1, (2, 8, 8, 4)).astype(np.float32)
    y = numpy(keras_vit.GroupNormalization(2)(in_memory(x, first)))
    np.testing.assert_allclose(y, definition(x, 2, 1e-5), atol=2e-3)


def test_without_scale_and_center():
    x = np.random.default_rng(0).normal(2, 3, (2, 3, 3, 4)).astype(np.float32)
    layer = keras_vit.GroupNormalization(4, scale=False, center=False)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(layer(x)), definition(x, 4, 1e-5), atol=1e-5
    )
    assert not layer.weights


def test_half_precision_computes_in_float32():
    x = np.random.default_rng(0).normal(0, 1000, (2, 4, 4, 4)).astype(np.float16)
    layer = keras_vit.GroupNormalization(2, dtype="mixed_float16")  # squares leave float16's range
    y = keras.ops.convert_to_numpy(layer(x)).astype(np.float64)
    np.testing.assert_allclose(y, definition(x, 2, 1e-5), atol=2e-3)


def test_groups_must_divide_the_channels():
    with pytest.raises(ValueError, match="4 groups do not divide the 6 channels"):
        keras_vit.GroupNormalization(4).build((None, 8, 8, 6))


def with_weights(rng, groups=3, channels=6):
    """A layer with epsilon 1e-3, and images `(3, 4, 5, C)`, scale and shift that it can be given."""
    layer = keras_vit.GroupNormalization(groups, epsilon=1e-3)
    layer.build((None, 4, 5, channels))
    values = rng.normal(2, 3, (3, 4, 5, channels)), *rng.normal(size=(2, channels))
    return layer, [value.astype(np.float32) for value in values]


@pytest.mark.parametrize("first", [False, True], ids=["channels-last", "channels-first"])
@pytest.mark.parametrize("part", [0, 1, 2], ids=["images", "scale", "shift"])
def test_gradients_are_those_of_its_definition(part, first, rng):
    """Along a random direction, by differences in double precision."""
    layer, values = with_weights(rng)
    behind = rng.normal(size=values[0].shape).astype(np.float32)
    direction = rng.normal(size=values[part].shape)

    def of(tensor):
        x, *weights = (*values[:part], tensor, *values[part + 1 :])
        weights = [keras.ops.convert_to_tensor(weight) for weight in weights]
        return layer.stateless_call(weights, [], in_memory(x, first))[0]

    def loss(step):
        moved = [value.astype(np.float64) for value in values]
        moved[part] += step * direction
        return np.sum(behind * definition(moved[0], 3, 1e-3, *moved[1:]))

    _, gradient = value_and_gradient(of, keras.ops.convert_to_tensor(values[part]), behind)
    expected = (loss(1e-4) - loss(-1e-4)) / 2e-4
    np.testing.assert_allclose(np.sum(gradient * direction), expected, rtol=1e-3, atol=1e-3)


def test_gradients_of_gradients_are_those_of_its_operations(rng, backend):
    """As a penalty on gradients takes them."""
    layer, (x, *weights) = with_weights(rng)
    for variable, value in zip((layer.gamma, layer.beta), weights, strict=True):
        variable.assign(value)

    def penalty(images):
        def loss(images):
            return keras.ops.sum(layer(images) ** 3)

        if backend == "jax":
            import jax

            return keras.ops.sum(jax.grad(loss)(images) ** 2)
        if backend == "torch":
            import torch

            return torch.autograd.grad(loss(images), images, create_graph=True)[0].square().sum()
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(images)
            total = loss(images)
        return keras.ops.sum(tape.gradient(total, images) ** 2)

    _, gradient = value_and_gradient(penalty, keras.ops.convert_to_tensor(x))
    length = np.sqrt(np.sum(gradient**2))
    direction, ends = gradient / length, []
    for step in (0.05, -0.05):
        moved = keras.ops.convert_to_tensor(x + step * direction)
        ends.append(float(value_and_gradient(penalty, moved)[0]))
    np.testing.assert_allclose(length, (ends[0] - ends[1]) / 0.1, rtol=0.01)


def test_gradients_of_single_images_on_pytorch(rng, backend):
    """torch.func maps over images what its kernels join."""
    if backend != "torch":
        return
    import torch

    layer, (x, *weights) = with_weights(rng)
    weights = [torch.from_numpy(weight) for weight in weights]

    def loss(gamma, image):
        return layer.stateless_call([gamma, weights[1]], [], image[None])[0].square().sum()

    images = torch.from_numpy(x)
    found = torch.func.vmap(torch.func.grad(loss), (None, 0))(weights[0], images)
    for gradient, image in zip(found, images, strict=True):
        _, expected = value_and_gradient(lambda gamma, image=image: loss(gamma, image), weights[0])
        np.testing.assert_allclose(numpy(gradient), expected, rtol=1e-4)
