"""Low-rank updates in files: exact with updates, their sum without, refused where they differ."""

import gc
import weakref

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.layers.dense import Dense
from tests.contracts import numpy, randomise


def dense(rank: int | None = None, alpha: float | None = None, **arguments) -> keras.Model:
    model = keras.Sequential([keras.Input((5,)), Dense(4, name="dense", **arguments)])
    if rank:
        model.layers[0].enable_lora(rank, lora_alpha=alpha)
    randomise(model)
    return model


@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 5)])
@pytest.mark.parametrize("use_bias", [True, False])
def test_output_by_hand(rng, shape, use_bias):
    """With updates: the kernel and their product, of which alpha by rank is 1 here."""
    layer = Dense(4, activation="relu", use_bias=use_bias)
    layer.build((None, 5))
    layer.enable_lora(2)
    randomise(layer)
    kernel = numpy(layer._kernel) + numpy(layer.lora_kernel_a) @ numpy(layer.lora_kernel_b)
    x = rng.normal(size=shape).astype("float32")
    expected = np.maximum(x @ kernel + (numpy(layer.bias) if use_bias else 0), 0)
    np.testing.assert_allclose(numpy(layer(x)), expected, atol=1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "bool"])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_integers_are_taken_for_their_numbers(rng, dtype, policy):
    """By each backend, as by the layers that images enter."""
    images = rng.integers(0, 256, size=(2, 8, 12, 3)).astype(dtype)
    layers = (
        Dense(4),
        keras_vit.PatchEmbedding(4, 4),
        keras_vit.StandardizedConv2D(4, 3, padding="same"),
        keras_vit.StandardizedConv2D(4, 1),
    )
    for kind in layers:
        layer = type(kind).from_config({**kind.get_config(), "dtype": policy})
        x = images.reshape(-1, 3) if isinstance(layer, Dense) else images
        found, expected = layer(x), layer(x.astype("float32"))
        assert found.dtype == expected.dtype
        found, expected = (numpy(keras.ops.cast(each, "float32")) for each in (found, expected))
        np.testing.assert_array_equal(found, expected)


def test_a_layer_with_updates_gets_back_what_was_saved(tmp_path):
    model, other = dense(2, alpha=3), dense(2, alpha=3)
    for weight in other.weights:
        weight.assign(weight * 0)
    model.save_weights(tmp_path / "dense.weights.h5")
    other.load_weights(tmp_path / "dense.weights.h5")
    assert len(other.weights) == 4
    for mine, theirs in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(numpy(theirs), numpy(mine), err_msg=mine.path)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_plain_layer_gets_the_sum(policy, tmp_path):
    """In the precision of the weights, also where the layer computes in less."""
    model, plain = dense(2, alpha=3, dtype=policy), dense(dtype=policy)
    kernel, bias, a, b = (numpy(weight).astype("float64") for weight in model.weights)
    model.save_weights(tmp_path / "dense.weights.h5")
    plain.load_weights(tmp_path / "dense.weights.h5")
    np.testing.assert_allclose(numpy(plain.weights[0]), kernel + 3 / 2 * a @ b, atol=1e-6)
    np.testing.assert_allclose(numpy(plain.weights[1]), bias, atol=1e-7)
    assert "lora_rank" not in plain.layers[0].get_config()


def test_quantising_frees_the_kernel_and_collects_no_garbage():
    """A collection looks at all objects of the process: a model has tens of kernels."""
    model = dense()
    kernel = weakref.ref(model.layers[0]._kernel)
    collected = []
    gc.disable()
    gc.callbacks.append(lambda phase, info: collected.append(info["generation"]))
    try:
        model.layers[0].quantize("int8")
        assert kernel() is None and collected == []
    finally:
        gc.callbacks.pop()
        gc.enable()
    assert {weight.name for weight in model.weights} == {"kernel", "bias", "kernel_scale"}
    assert len(model.weights) == 3


def test_updates_of_an_int8_kernel(tmp_path):
    """Exact with updates; rounded to int8 with them where there are none."""
    model, other, plain = dense(2), dense(2), dense()
    for each in (model, other, plain):
        each.quantize("int8")
    x = np.random.default_rng(0).normal(size=(3, 5)).astype("float32")
    model.save_weights(tmp_path / "dense.weights.h5")
    other.load_weights(tmp_path / "dense.weights.h5")
    for mine, theirs in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(numpy(theirs), numpy(mine), err_msg=mine.path)
    plain.load_weights(tmp_path / "dense.weights.h5")
    assert plain.layers[0].quantization_mode == "int8" and len(plain.weights) == 3
    np.testing.assert_allclose(numpy(plain(x)), numpy(model(x)), atol=0.05)


def test_a_plain_kernel_starts_updates_that_train(tmp_path):
    model, plain = dense(2), dense()
    plain.save_weights(tmp_path / "plain.weights.h5")
    model.load_weights(tmp_path / "plain.weights.h5")
    x = np.random.default_rng(0).normal(size=(8, 5)).astype("float32")
    np.testing.assert_allclose(numpy(model(x)), numpy(plain(x)), atol=1e-6)
    before = [numpy(weight) for weight in model.layers[0].trainable_weights]
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(x, np.ones((8, 4)), epochs=2, verbose=0)
    after = [numpy(weight) for weight in model.layers[0].trainable_weights]
    assert len(after) == 3  # bias and both factors
    assert not any(np.array_equal(a, b) for a, b in zip(after, before, strict=True))


@pytest.mark.parametrize(("rank", "alpha"), [(3, 2), (2, 4)])
def test_other_ranks_and_scales_are_refused(rank, alpha, tmp_path):
    dense(2, alpha=2).save_weights(tmp_path / "dense.weights.h5")
    with pytest.raises(ValueError, match=r"rank 2 and alpha 2 for .*, which has rank"):
        dense(rank, alpha).load_weights(tmp_path / "dense.weights.h5")


def test_a_configuration_keeps_rank_and_scale(tmp_path):
    model = dense(2, alpha=3)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert (loaded.layers[0].lora_rank, loaded.layers[0].lora_alpha) == (2, 3)
    x = np.random.default_rng(0).normal(size=(3, 5)).astype("float32")
    np.testing.assert_allclose(numpy(loaded(x)), numpy(model(x)), atol=1e-6)
    np.testing.assert_allclose(
        numpy(loaded.layers[0].merged_kernel()), numpy(model.layers[0].merged_kernel()), atol=1e-6
    )
