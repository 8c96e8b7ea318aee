"""Arguments that do not fit are named where a layer is made; an int stands for a square grid."""

import re

import keras
import numpy as np
import pytest

import keras_vit
from tests.contracts import forward, numpy

BLOCK = {"num_heads": 2, "mlp_dim": 16}
WRONG = {
    "AddPositionEmbs": (
        {},
        {
            "grid": (0, "4", (2, 3, 4), 2.5),
            "num_prefix_tokens": (-1, "1", True, 1.0),
        },
    ),
    "TransformerBlock": (
        BLOCK,
        {
            "epsilon": ("1e-6", -1.0, None),
            "relative_position_grid": (0, "4", (2,)),
            "rematerialize": ("yes", 1),
            "fused_attention": ("flash", 1),
            "layer_scale": ("small",),
        },
    ),
    "MultiHeadAttention": (
        {"num_heads": 2},
        {"num_heads": (0, "2"), "relative_position_grid": ("4", (2, 0)), "fused": ("yes", 0)},
    ),
    "RotaryAttention": (
        {"num_heads": 2, "grid": (2, 3)},
        {
            "grid": (0, "4"),
            "rotary": ("grid", {"base": 10}, 3),
            "inner_norm": ("yes", 1),
            "epsilon": ("1e-6",),
        },
    ),
    "RotaryBlock": ({**BLOCK, "grid": (2, 3)}, {"gated": ("yes", 1), "epsilon": ("1e-6",)}),
    "GatedMlp": ({"mlp_dim": 16}, {"inner_norm": ("yes", 1), "epsilon": ("1e-6", -1)}),
    "AttentionPooling": (BLOCK, {"epsilon": ("1e-6",), "num_prefix_tokens": (-1, "1")}),
    "PatchEmbedding": (
        {"hidden_size": 8, "patch_size": 4},
        {"hidden_size": (0, "8", 8.0), "use_bias": (1, "no"), "as_grid": (1,)},
    ),
    "GroupNormalization": ({}, {"groups": (0, "4", 2.0), "epsilon": ("1e-5", -1)}),
    "StandardizedConv2D": (
        {"filters": 4, "kernel_size": 3},
        {
            "filters": (0, "4"),
            "epsilon": ("1e-5", -1),
            "epsilon_inside_root": (1,),
            "explicit_padding": ("same",),
        },
    ),
    **{
        unit: (
            {"filters": 4, "groups": 2},
            {
                "filters": (0, "4"),
                "strides": (0, (2, 2)),
                "bottleneck": (1,),
                "groups": (0, 2.0),
                "epsilon": ("1e-5",),
            },
        )
        for unit in ("PreActivationUnit", "PostActivationUnit")
    },
    "RotaryOptions": ({}, {"temperature": (0, -1.0, "100", float("nan"))}),
}
CASES = [
    (cls, arguments, name, value)
    for cls, (arguments, wrong) in WRONG.items()
    for name, values in wrong.items()
    for value in values
]


@pytest.mark.once
@pytest.mark.parametrize(("cls", "arguments", "name", "value"), CASES)
def test_what_does_not_fit_is_named(cls, arguments, name, value):
    """By its name and what was given, in one sentence."""
    with pytest.raises(ValueError) as caught:
        getattr(keras_vit, cls)(**{**arguments, name: value})
    message = str(caught.value)
    assert f"{name} is {value!r}; " in message and "\n" not in message


@pytest.mark.once
@pytest.mark.parametrize(
    ("cls", "arguments", "name"),
    [
        ("AddPositionEmbs", {}, "grid"),
        ("TransformerBlock", BLOCK, "relative_position_grid"),
        ("MultiHeadAttention", {"num_heads": 2}, "relative_position_grid"),
        ("RotaryAttention", {"num_heads": 2}, "grid"),
        ("RotaryBlock", BLOCK, "grid"),
    ],
)
def test_an_int_is_a_square_grid(cls, arguments, name):
    for value in (3, np.int64(3), [3, 3], (3, 3)):
        layer = getattr(keras_vit, cls)(**arguments, **{name: value})
        layer.build((None, 10, 8))
        assert layer.get_config()[name] == (3, 3)


@pytest.mark.once
def test_grids_of_tables(rng):
    table = rng.normal(size=(1, 1 + 4, 8)).astype("float32")
    resampled = keras_vit.resample_position_embedding
    expected = resampled(table, (2, 2), (3, 3))
    np.testing.assert_array_equal(resampled(table, 2, np.int64(3)), expected)
    np.testing.assert_array_equal(resampled(table, [2, 2], [3, 3]), expected)
    for wrong in (
        {"old_grid": "2"},
        {"new_grid": 0},
        {"new_grid": (3, 3, 3)},
        {"num_prefix_tokens": -1},
        {"num_prefix_tokens": "1"},
    ):
        ((name, value),) = wrong.items()
        with pytest.raises(ValueError, match=re.escape(f"{name} is {value!r}; give")):
            resampled(table, **{"old_grid": 2, "new_grid": 3, **wrong})


LAYERS_WITH_POSITIONS = {
    "relative": lambda: keras_vit.MultiHeadAttention(2, relative_position_grid=(2, 3)),
    "rotary": lambda: keras_vit.RotaryAttention(2, (2, 3)),
}


@pytest.mark.parametrize("kind", LAYERS_WITH_POSITIONS)
def test_positions_are_those_of_as_many_tokens(kind, rng):
    """Another number of them is refused, symbolic or not; tokens of another image are none."""
    x, y = rng.normal(size=(2, 2, 7, 8)).astype("float32")
    layer = LAYERS_WITH_POSITIONS[kind]()
    message = (
        "positions, which are those of the query's 7 tokens, and the value has 6; leave it out"
    )
    with pytest.raises(ValueError, match=message):
        layer(x, y[:, :6])
    with pytest.raises(ValueError, match=message):
        layer(keras.Input((7, 8)), keras.Input((6, 8)))
    alone, beside = numpy(forward(layer, x)), numpy(layer(x, y))
    assert beside.shape == (2, 7, 8) and np.abs(beside - alone).max() > 1e-3
    np.testing.assert_allclose(numpy(layer(x, x)), alone, atol=1e-5)
    without = keras_vit.RotaryAttention(2, None, {"coordinates": "none"})
    assert without(x, y[:, :6]).shape == (2, 7, 8)


def test_seeds_may_be_numpys():
    """Those of masked patches, too, whose layers are not exported."""
    vit = keras_vit.VisionTransformer((8, 12, 3), 4, 1, 8, 16, 2, classes=None)
    made = [keras_vit.pretraining.MaskedPatchModel(vit, seed=seed) for seed in (np.int64(3), 3)]
    images = np.random.default_rng(0).uniform(-1, 1, size=(4, 8, 12, 3)).astype("float32")
    chosen = [numpy(model(images)["corrupted"]) for model in made]
    np.testing.assert_array_equal(*chosen)
    assert type(made[0].get_config()["seed"]) is int
