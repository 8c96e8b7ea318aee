"""FLOPs against hand counts and against what others publish."""

import json
from pathlib import Path

import keras
import pytest

import keras_vit
from tests.keras_vit.abstract import abstract_model

PUBLISHED = json.loads(
    (Path(__file__).parents[2] / "golden/published_multiply_adds.json").read_text()
)


@pytest.mark.once  # the large ones take seconds to trace; the hand counts run on every backend
@pytest.mark.parametrize("name", [name for name in PUBLISHED if name != "about"])
def test_published_multiply_adds(name):
    size = PUBLISHED[name]["image_size"]
    flops = keras_vit.flops(abstract_model(name, input_shape=(size, size, 3)))
    # A multiply-add is two operations; three decimals of a billion are published.
    assert round(flops / 2e9, 3) == pytest.approx(PUBLISHED[name]["giga_multiply_adds"], abs=1e-9)


def test_vit_by_hand():
    """A 2-layer ViT on 6x4 pixels with patches of 2x2: 6 tokens and the class token."""
    model = keras_vit.VisionTransformer(
        input_shape=(6, 4, 3),
        patch_size=2,
        num_layers=2,
        hidden_size=8,
        mlp_dim=20,
        num_heads=2,
        classes=5,
    )
    embedding = 6 * 12 * 8
    attention_dense = 4 * 7 * 8 * 8
    attention_products = 2 * 7 * 7 * 8
    mlp = 2 * 7 * 8 * 20
    head = 8 * 5
    expected = embedding + 2 * (attention_dense + attention_products + mlp) + head
    assert keras_vit.flops(model) == 2 * expected


def test_attention_pooling_and_representation_by_hand():
    model = keras_vit.VisionTransformer(
        input_shape=(4, 4, 3),
        patch_size=2,
        num_layers=1,
        hidden_size=8,
        mlp_dim=16,
        num_heads=2,
        classes=5,
        classifier="map",
        representation_size=6,
    )
    block = 4 * 4 * 8 * 8 + 2 * 4 * 4 * 8 + 2 * 4 * 8 * 16
    pooling = (2 * 1 + 2 * 4) * 8 * 8 + 2 * 1 * 4 * 8 + 2 * 8 * 16
    assert keras_vit.flops(model) == 2 * (4 * 12 * 8 + block + pooling + 8 * 6 + 6 * 5)


def test_resnet_by_hand():
    """BiT-R50x1's published shape at 32x32 pixels, one unit a stage."""
    model = keras_vit.ResNet(input_shape=(32, 32, 3), block_counts=(1, 1), classes=10)
    root = 16 * 16 * 7 * 7 * 3 * 64
    first = 8 * 8 * (64 * 64 + 9 * 64 * 64 + 64 * 256 + 64 * 256)
    # The second stage halves the map inside its 3x3 convolution and in the projection.
    second = 8 * 8 * 256 * 128 + 4 * 4 * (9 * 128 * 128 + 128 * 512 + 256 * 512)
    assert keras_vit.flops(model) == 2 * (root + first + second + 512 * 10)


def test_flops_do_not_depend_on_what_training_adds():
    arguments = dict(
        input_shape=(8, 8, 3),
        patch_size=4,
        num_layers=1,
        hidden_size=8,
        mlp_dim=16,
        num_heads=2,
        classes=3,
    )
    plain = keras_vit.flops(keras_vit.VisionTransformer(**arguments))
    dropped = keras_vit.VisionTransformer(
        **arguments, dropout_rate=0.1, attention_dropout_rate=0.1, stochastic_depth_rate=0.1
    )
    assert keras_vit.flops(dropped) == plain


def test_only_built_models_with_one_input_are_counted():
    inputs = [keras.Input((3,)), keras.Input((3,))]
    two = keras.Model(inputs, keras.layers.Add()(inputs))
    unbuilt = keras.Sequential([keras.layers.Dense(3)])
    for model in ("ViT-B/16", keras.layers.Dense(3), unbuilt, two):
        with pytest.raises(ValueError, match=r"built keras\.Model with one input"):
            keras_vit.flops(model)
