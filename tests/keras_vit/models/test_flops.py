"""FLOPs against hand counts and against what others publish."""

import json
from pathlib import Path

import keras
import numpy as np
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


def test_quantised_layers_count_as_before():
    model = keras_vit.VisionTransformer(
        input_shape=(8, 8, 3), patch_size=4, num_layers=1, hidden_size=8, mlp_dim=16, num_heads=2
    )
    plain = keras_vit.flops(model)
    model.quantize("int8")
    assert keras_vit.flops(model) == plain
    inputs = keras.Input((5, 6))
    einsum = keras.Model(inputs, keras.layers.EinsumDense("abc,cde->abde", (None, 4, 2))(inputs))
    assert keras_vit.flops(einsum) == 2 * 5 * 6 * 8
    einsum.quantize("int4")
    assert keras_vit.flops(einsum) == 2 * 5 * 6 * 8


@pytest.mark.parametrize(
    ("layer", "shape", "multiply_adds"),
    [
        (keras.layers.EinsumDense("...bc,cd->...bd", (5, 4)), (3, 5, 6), 3 * 5 * 6 * 4),
        (keras.layers.Conv1D(6, 3, groups=2), (9, 4), 7 * 3 * 2 * 6),
        (keras.layers.Conv2DTranspose(5, 3, strides=2), (4, 4, 3), 4 * 4 * 3 * 9 * 5),
        (keras.layers.DepthwiseConv1D(3, depth_multiplier=2), (8, 4), 6 * 3 * 8),
        (keras.layers.DepthwiseConv2D(3, padding="same"), (4, 4, 5), 4 * 4 * 9 * 5),
        (
            keras.layers.SeparableConv2D(7, 3, padding="same", depth_multiplier=2),
            (4, 4, 5),
            4 * 4 * (9 * 10 + 10 * 7),
        ),
        (keras.layers.SeparableConv1D(7, 3), (6, 5), 4 * (3 * 5 + 5 * 7)),
        (keras.layers.TimeDistributed(keras.layers.Dense(2)), (3, 4), 3 * 4 * 2),
        (keras.layers.LayerNormalization(axis=(1, 2)), (3, 4), 0),
        (keras.layers.PReLU(), (3, 4), 0),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_layers_of_keras_by_hand(layer, shape, multiply_adds):
    inputs = keras.Input(shape)
    assert keras_vit.flops(keras.Model(inputs, layer(inputs))) == 2 * multiply_adds


def attended(layer, **arguments) -> int:
    """FLOPs of attention from 6 queries of 10 values each to the last 4 of them."""
    inputs = keras.Input((6, 10))
    return keras_vit.flops(keras.Model(inputs, layer(inputs, inputs[:, 2:], **arguments)))


def test_attention_layers_of_keras_by_hand():
    mask = np.ones((1, 6, 4), "bool")
    # 3 heads of 2 for query and key, of 5 for the value
    dense = 6 * 10 * 6 + 4 * 10 * 6 + 4 * 10 * 15 + 6 * 15 * 10
    # Without dropout Keras takes fused attention, which has one width on JAX and PyTorch.
    layer = keras.layers.MultiHeadAttention(num_heads=3, key_dim=2, value_dim=5, dropout=0.1)
    expected = 2 * (dense + 3 * 6 * 4 * (2 + 5))
    assert attended(layer) == attended(layer, attention_mask=mask) == expected
    # 4 heads of 3 for the query, 2 for key and value
    dense = 6 * 10 * 12 + 2 * (4 * 10 * 6) + 6 * 12 * 10
    layer = keras.layers.GroupQueryAttention(3, 4, 2)
    assert attended(layer) == 2 * (dense + 4 * 6 * 4 * (3 + 3))
    inputs = keras.Input((6, 10))
    dot = keras.layers.Attention()([inputs, inputs[:, 2:, :7], inputs[:, 2:]])
    assert keras_vit.flops(keras.Model(inputs, dot)) == 2 * 6 * 4 * (10 + 7)


def test_attention_along_some_axes_only():
    """Three rows of six: each attends to its own row."""
    inputs = keras.Input((3, 6, 10))
    layer = keras.layers.MultiHeadAttention(num_heads=2, key_dim=5, attention_axes=(2,))
    dense = 4 * 3 * 6 * 10 * 10
    expected = 2 * (dense + 3 * 2 * 6 * 6 * (5 + 5))
    assert keras_vit.flops(keras.Model(inputs, layer(inputs, inputs))) == expected


def test_a_mask_is_not_the_value_that_is_attended_to():
    inputs = keras.Input((6, 8))
    mask = np.ones((1, 1, 6, 6), "bool")
    layer = keras_vit.MultiHeadAttention(num_heads=2)
    outputs = layer(inputs, attention_mask=mask)
    expected = 2 * (4 * 6 * 8 * 8 + 2 * 6 * 6 * 8)
    assert keras_vit.flops(keras.Model(inputs, outputs)) == expected


class Weighted(keras.layers.Layer):
    """A layer that flops has never heard of."""

    def __init__(self, shape, function, **kwargs):
        super().__init__(**kwargs)
        self.weight = self.add_weight(shape=shape, name="weight")
        self.function = function

    def call(self, x):
        return self.function(x, self.weight)


def test_an_unknown_layer_is_no_zero():
    inputs = keras.Input((6, 8))
    scaled = Weighted((1, 6, 8), keras.ops.multiply, name="scaled")(inputs)
    scaled = Weighted((1, 1, 8), keras.ops.add, name="added")(scaled)
    assert keras_vit.flops(keras.Model(inputs, scaled)) == 0
    unknown = [
        Weighted((8, 5), keras.ops.matmul, name="theirs")(scaled),
        Weighted((8, 1), keras.ops.matmul, name="theirs")(scaled),
        keras.layers.LSTM(3, name="theirs")(scaled),
        keras.layers.Dot(axes=2, name="theirs")([inputs, scaled]),
        keras.layers.AdditiveAttention(name="theirs")([inputs, scaled]),
        keras.layers.Attention(score_mode="concat", name="theirs")([inputs, scaled]),
    ]
    for outputs in unknown:
        with pytest.raises(
            ValueError, match=r"flops does not know what the \w+ 'theirs' multiplies"
        ):
            keras_vit.flops(keras.Model(inputs, outputs))
