"""The models against plain NumPy forward passes written from the papers' equations."""

import keras
import numpy as np
import pytest

import keras_vit
from tests.contracts import forward
from tests.keras_vit.names import randomise, reference_name, reference_weights
from tests.keras_vit.reference import vision_transformer
from tests.keras_vit.reference_resnet import bit_resnet, hybrid_stem

VIT = dict(
    input_shape=(6, 12, 3),
    patch_size=(2, 3),
    num_layers=2,
    hidden_size=16,
    mlp_dim=20,
    num_heads=4,
    classes=5,
)


def outputs(model: keras.Model, images: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(forward(model, images))


def vit_expectation(model: keras.Model, images: np.ndarray, **overrides) -> np.ndarray:
    config = model.arguments
    names = ("patch_size", "num_heads", "num_layers", "classifier", "position_embedding")
    arguments = {name: config[name] for name in (*names, "activation", "epsilon")}
    weights = reference_weights(model)
    return vision_transformer(weights, images, **{**arguments, **overrides})


@pytest.mark.parametrize("classifier", ["token", "gap", "map"])
@pytest.mark.parametrize("position", ["learned", "learned_2d", "sincos2d", "relative", "none"])
def test_vit(rng, classifier, position):
    model = keras_vit.VisionTransformer(**VIT, classifier=classifier, position_embedding=position)
    randomise(model, rng)
    images = rng.normal(size=(2, 6, 12, 3)).astype("float32")
    expected = vit_expectation(model, images)
    np.testing.assert_allclose(outputs(model, images), expected, atol=1e-5)


@pytest.mark.parametrize("activation", ["gelu_tanh", "gelu"])
def test_both_gelus_and_the_representation_layer(rng, activation):
    model = keras_vit.VisionTransformer(
        **VIT, activation=activation, representation_size=7, epsilon=1e-3
    )
    randomise(model, rng)
    images = rng.normal(size=(2, 6, 12, 3)).astype("float32")
    expected = vit_expectation(model, images)
    np.testing.assert_allclose(outputs(model, images), expected, atol=1e-5)
    other = "gelu" if activation == "gelu_tanh" else "gelu_tanh"
    wrong = vit_expectation(model, images, activation=other)
    assert np.abs(wrong - expected).max() > 1e-5  # the test can tell them apart


def test_without_a_head_the_representation_comes_out(rng):
    model = keras_vit.VisionTransformer(**{**VIT, "classes": None})
    randomise(model, rng)
    images = rng.normal(size=(2, 6, 12, 3)).astype("float32")
    result = outputs(model, images)
    assert result.shape == (2, 16)
    np.testing.assert_allclose(result, vit_expectation(model, images), atol=1e-5)


def test_classifier_activation_is_applied_to_the_logits(rng):
    images = rng.normal(size=(2, 6, 12, 3)).astype("float32")
    logits = keras_vit.VisionTransformer(**VIT)
    randomise(logits, rng)
    model = keras_vit.VisionTransformer(**VIT, classifier_activation="softmax")
    model.set_weights(logits.get_weights())
    exponentials = np.exp(outputs(logits, images))
    expected = exponentials / exponentials.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(outputs(model, images), expected, atol=1e-5)


@pytest.mark.parametrize("family", ["vit", "hybrid", "bit"])
def test_channels_first_computes_the_same(rng, family):
    if family == "bit":
        cls, arguments = keras_vit.ResNet, {**BIT, "input_shape": (6, 12, 3)}
    else:
        cls, arguments = keras_vit.VisionTransformer, dict(VIT)
        if family == "hybrid":
            arguments |= {"input_shape": (24, 24, 3), "patch_size": 2, "stem_block_counts": (1,)}
    last = cls(**arguments)
    randomise(last, rng)
    height, width, channels = arguments["input_shape"]
    first = cls(
        **{**arguments, "input_shape": (channels, height, width)}, data_format="channels_first"
    )
    first.set_weights(last.get_weights())
    images = rng.normal(size=(2, height, width, channels)).astype("float32")
    expected = outputs(last, images)
    np.testing.assert_allclose(outputs(first, images.transpose(0, 3, 1, 2)), expected, atol=1e-5)


BIT = dict(input_shape=(32, 40, 3), block_counts=(2, 1), width_factor=0.125, groups=4, classes=5)


@pytest.mark.parametrize("stem", ["imagenet", "small"])
@pytest.mark.parametrize("bottleneck", [True, False])
def test_bit(rng, stem, bottleneck):
    size = (33, 40, 3) if stem == "imagenet" else (9, 6, 3)  # odd sides show wrong padding
    arguments = {**BIT, "input_shape": size, "stem": stem, "bottleneck": bottleneck}
    model = keras_vit.ResNet(**arguments)
    randomise(model, rng)
    images = rng.normal(size=(2, *size)).astype("float32")
    expected = bit_resnet(reference_weights(model), images, (2, 1), stem=stem, groups=4)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(outputs(model, images), expected, atol=1e-5 * 3, rtol=1e-5)


def test_bit_pads_with_zeros_before_pooling(rng):
    """The authors' root pads the pooled map with zeros: they win over negative borders."""
    model = keras_vit.ResNet(**{**BIT, "classes": None})
    images = -np.ones((1, 32, 40, 3), "float32")
    weights = reference_weights(model)
    for name, weight in weights.items():
        weights[name] = rng.normal(size=weight.shape)
    for weight in model.weights:
        weight.assign(weights[reference_name(weight.path)])
    expected = bit_resnet(weights, images, (2, 1), groups=4)
    np.testing.assert_allclose(outputs(model, images), expected, atol=3e-5, rtol=1e-5)


@pytest.mark.parametrize("blocks", [(), (1,), (2, 1)])
def test_hybrid(rng, blocks):
    model = keras_vit.VisionTransformer(
        **{**VIT, "input_shape": (32, 48, 3), "patch_size": 2}, stem_block_counts=blocks
    )
    randomise(model, rng)
    images = rng.normal(size=(2, 32, 48, 3)).astype("float32")
    weights = reference_weights(model)
    features = hybrid_stem(weights, images, blocks)
    assert features.shape[1:3] == ((8, 12) if len(blocks) < 2 else (4, 6))
    expected = vit_expectation(model, features)
    np.testing.assert_allclose(outputs(model, images), expected, atol=3e-5, rtol=1e-5)


def test_rematerialised_blocks_compute_the_same(rng):
    images = rng.normal(size=(2, 6, 12, 3)).astype("float32")
    plain = keras_vit.VisionTransformer(**VIT)
    randomise(plain, rng)
    saving = keras_vit.VisionTransformer(**VIT, rematerialize=True)
    saving.set_weights(plain.get_weights())
    np.testing.assert_allclose(outputs(saving, images), outputs(plain, images), atol=1e-6)
