"""Quantised models and training in half precision."""

import functools
import json

import keras
import numpy as np
import pytest

import keras_vit
from tests.contracts import forward, numpy, randomise
from tests.keras_vit.ecosystem.models import KINDS, images, make


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_int8(kind, policy, tmp_path):
    """Near the float model, int8 inside, and the same after saving and loading."""
    model = make(kind, dtype=policy)
    exact = numpy(forward(model, images()))
    model.quantize("int8")
    kernels = [
        layer._kernel for layer in model._flatten_layers() if isinstance(layer, keras.layers.Dense)
    ]
    assert {keras.backend.standardize_dtype(kernel.dtype) for kernel in kernels} == {"int8"}
    assert len(kernels) == (14 if kind == "vit" else 1)
    quantised = numpy(forward(model, images()))
    assert np.abs(quantised - exact).max() < 0.1 * np.abs(exact).max()

    model.save(tmp_path / "int8.keras")
    loaded = keras.saving.load_model(tmp_path / "int8.keras")
    np.testing.assert_allclose(numpy(forward(loaded, images())), quantised, atol=1e-6)
    model.save_weights(tmp_path / "int8.weights.h5")
    other = make(kind, dtype=policy)
    other.quantize("int8")
    other.load_weights(tmp_path / "int8.weights.h5")
    np.testing.assert_allclose(numpy(forward(other, images())), quantised, atol=1e-6)


def test_the_layers_of_a_quantised_model_are_saved_as_they_are(tmp_path):
    """Each layer's own configuration says it, also where no model of ours is in the file."""
    model = keras_vit.VisionTransformer((8, 12, 3), 4, 1, 8, 16, 2, classes=3)
    randomise(model)
    model.quantize(config=INT4(block_size=4))
    made = keras_vit.features(model, layers=[0, "encoder_norm"])
    made.save(tmp_path / "features.keras")
    loaded = keras.saving.load_model(tmp_path / "features.keras")
    for found, expected in zip(forward(loaded, images()), forward(made, images()), strict=True):
        np.testing.assert_array_equal(numpy(found), numpy(expected))
    kernel = loaded.get_layer("block_0").mlp.hidden._kernel
    assert keras.backend.standardize_dtype(kernel.dtype) == "int8"  # two of four bits in each
    model.save(tmp_path / "vit.keras")
    again = keras.saving.load_model(tmp_path / "vit.keras")
    expected = numpy(forward(model, images()))
    np.testing.assert_array_equal(numpy(forward(again, images())), expected)


ABS_MAX, INT8 = keras.quantizers.AbsMaxQuantizer, keras.quantizers.Int8QuantizationConfig
INT4 = keras.quantizers.Int4QuantizationConfig
CONFIGS = {
    "weights alone": lambda: INT8(activation_quantizer=None),
    "a smaller range": lambda: INT8(
        ABS_MAX(axis=0, value_range=(-15, 15)), ABS_MAX(value_range=(-63, 63))
    ),
    "int4": lambda: INT4(ABS_MAX(axis=0, value_range=(-8, 7)), ABS_MAX(), block_size=None),
}


@pytest.mark.parametrize("kind", [*KINDS, "features"])
@pytest.mark.parametrize("quantizers", CONFIGS)
def test_a_configuration_of_ones_own_is_kept(kind, quantizers, tmp_path):
    """What the file computes is what was quantised, and what it saves again is as it was."""
    config = CONFIGS[quantizers]()
    model = make("vit" if kind == "features" else kind)
    usual = keras.models.clone_model(model)
    usual.set_weights(model.get_weights())
    model.quantize(config=config)
    usual.quantize("int8")
    if kind == "features":
        model, usual = (keras_vit.features(each, -1) for each in (model, usual))
    expected = numpy(forward(model, images()))
    assert np.abs(numpy(forward(usual, images())) - expected).max() > 1e-3  # or it says nothing
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for each in (loaded, copied(model), copied(loaded)):
        np.testing.assert_array_equal(numpy(forward(each, images())), expected)
        assert "quantization" in json.dumps(each.get_config())
        assert serialized(each) == {json.dumps(keras.saving.serialize_keras_object(config))}


def copied(model: keras.Model) -> keras.Model:
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def serialized(model: keras.Model) -> set[str]:
    """The configurations with which the Dense layers are quantised, one if all are alike."""
    dense = [each for each in model._flatten_layers() if isinstance(each, keras.layers.Dense)]
    configs = (keras.saving.serialize_keras_object(each.quantization_config) for each in dense)
    return {json.dumps(config) for config in configs}


def test_usual_quantisation_is_written_as_before():
    """By its name alone, which also a layer says that is not built yet."""
    for arguments in (
        {"mode": "int8"},
        {"config": INT4(block_size=4)},
    ):
        model = make("vit")
        model.quantize(**arguments)
        block = model.get_layer("block_0")
        assert "quantization" not in model.get_config()
        assert set(block.get_config()) - set(make("vit").get_layer("block_0").get_config()) == {
            "quantized"
        }
        assert type(block).from_config(block.get_config()).get_config() == block.get_config()
    model = make("vit")
    model.quantize(config=INT8(activation_quantizer=None))
    block = model.get_layer("block_0")
    assert type(block).from_config(block.get_config()).get_config() == block.get_config()


def test_partly_quantised_models_are_not_saved(tmp_path):
    """Nor those of which some layers are quantised with other quantizers."""
    model, other = make("vit"), make("vit")
    model.quantize("int8", filters="query")
    other.quantize("int8", filters="query")
    others = INT8(activation_quantizer=None)
    other.quantize(config=others, filters="^(?!query)")
    for each in (model, other):
        with pytest.raises(ValueError, match="Only some of the Dense layers of"):
            each.save(tmp_path / "model.keras")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_trains(kind, policy):
    """The loss falls as it does in float32, and the weights stay float32."""
    losses = losses_in_training(kind, policy)
    assert losses[-1] < 0.95 * losses[0]
    np.testing.assert_allclose(losses, losses_in_training(kind, "float32"), rtol=0.1, atol=0.05)


@functools.cache
def losses_in_training(kind, policy):
    model = make(kind, dtype=policy)
    optimizer = keras.optimizers.Adam(0.02)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, jit_compile=keras.backend.backend() == "jax")
    labels = np.arange(8) % 3
    history = model.fit(images(8), labels, epochs=6, batch_size=8, verbose=0).history
    assert {weight.dtype for weight in model.trainable_weights} == {"float32"}
    return history["loss"]


def test_a_model_of_masked_tokens_ignores_the_padding():
    """From Keras' Masking layer to the pooled output, through the layers of a ViT."""
    inputs = keras.Input((None, 8))
    x = keras.layers.Masking()(inputs)
    x = keras_vit.ClassToken()(x)
    for _ in range(2):
        x = keras_vit.TransformerBlock(num_heads=2, mlp_dim=16)(x)
    outputs = [keras_vit.TokenPooling(kind)(x) for kind in ("token", "gap")]
    outputs.append(keras_vit.AttentionPooling(num_heads=2, mlp_dim=16)(x))
    model = keras.Model(inputs, keras.layers.Concatenate()(outputs))
    tokens = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")
    tokens[:, 3:] = 0
    padded = numpy(forward(model, tokens))
    short = numpy(forward(model, tokens[:, :3]))
    np.testing.assert_allclose(padded, short, rtol=1e-4, atol=1e-5)
