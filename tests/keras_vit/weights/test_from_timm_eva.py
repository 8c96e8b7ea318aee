"""From timm's folders of EVA, EVA-02 and DINOv3 to the model they hold, and back."""

import json
import warnings

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import keras_vit
from keras_vit.weights.timm_architectures import timm_arguments
from tests.keras_vit.weights import eva_reference as eva
from tests.keras_vit.weights import files, oracles


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Nothing beside")
        yield


def write(folder, arrays, name: str | None, **args):
    folder.mkdir(exist_ok=True)
    save_file(arrays, str(folder / "model.safetensors"))
    if name is not None:
        config = {
            "architecture": name.partition(".")[0],
            "model_args": {"num_heads": eva.HEADS, **args},
            "pretrained_cfg": {"input_size": [3, 12, 8], "mean": [0.5] * 3, "std": [0.2] * 3},
        }
        (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("name", eva.FAMILIES)
def test_timm_both_ways(rng, tmp_path, name):
    made, run = eva.FAMILIES[name]
    arrays = eva.draw(rng, **made)
    images = oracles.images(rng, 2, 12, 8, 3)
    args = {"global_pool": run.get("pooling", "avg")}
    folder = write(tmp_path / "theirs", arrays, name, **args)
    model = keras_vit.from_checkpoint(folder, name="same")
    expected = eva.forward(arrays, images, **run)
    oracles.assert_close(files.outputs(model, images), expected)
    assert keras_vit.preprocessing_of(model).deviation == (0.2, 0.2, 0.2)
    keras_vit.export_weights(model, tmp_path / "ours", target="timm")
    result = load_file(tmp_path / "ours" / "model.safetensors")
    assert set(result) == set(arrays)
    for key, array in arrays.items():
        np.testing.assert_array_equal(result[key], array, err_msg=key)
    # what the metadata says, and what the config.json does
    for source in ("metadata", "configuration"):
        if source == "configuration":
            save_file(result, str(tmp_path / "ours" / "model.safetensors"))
        again = keras_vit.from_checkpoint(tmp_path / "ours", name="same")
        assert again.arguments == model.arguments


@pytest.mark.parametrize("name", ["eva02_base_patch14_448", "vit_base_patch16_dinov3.lvd1689m"])
def test_positions_of_another_image_size(rng, tmp_path, name):
    """EVA-02 scales its numbers of rows and columns to its 16 x 16; DINOv3 reaches from -1 to 1."""
    made, run = eva.FAMILIES[name]
    arrays = eva.draw(rng, **made)
    model = keras_vit.from_checkpoint(write(tmp_path, arrays, name), input_shape=(16, 12, 3))
    other = dict(arrays)
    if "pos_embed" in arrays:  # interpolated as in every ViT; here only the turning is looked at
        table = keras_vit.resample_position_embedding(
            arrays["pos_embed"], (3, 2), (4, 3), 1, interpolation="bicubic_antialias"
        )
        other["pos_embed"] = table
    images = oracles.images(rng, 2, 16, 12, 3)
    expected = eva.forward(other, images, **run)
    oracles.assert_close(files.outputs(model, images), expected)
    any_size = keras_vit.from_checkpoint(tmp_path, input_shape=(None, None, 3))
    oracles.assert_close(files.outputs(any_size, images), expected)
    # from a model of the checkpoint's size to the other, as for fine-tuning
    small = keras_vit.from_checkpoint(tmp_path, classes=None)
    large = keras_vit.for_finetuning(small, 5, (16, 12, 3), interpolation="bicubic_antialias")
    for ours, theirs in zip(large.layers[:-1], model.layers, strict=False):
        for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.once
@pytest.mark.parametrize(
    ("name", "heads", "epsilon", "activation", "coordinates"),
    [
        ("eva_giant_patch14_560.m30m_ft_in22k_in1k", 16, 1e-6, "gelu", "none"),
        ("eva02_tiny_patch14_224.mim_in22k", 3, 1e-6, "silu", "grid"),
        ("eva02_large_patch14_clip_336.merged2b", 16, 1e-6, "silu", "grid"),
        ("vit_medium_patch16_rope_reg1_gap_256.sbb_in1k", 8, 1e-6, "gelu", "grid"),
        ("vit_large_patch16_dinov3.sat493m", 16, 1e-5, "gelu", "centred"),
        ("vit_small_plus_patch16_dinov3.lvd1689m", 6, 1e-5, "silu", "centred"),
        ("vit_huge_plus_patch16_dinov3_qkvb.lvd1689m", 20, 1e-5, "silu", "centred"),
        ("vit_7b_patch16_dinov3.lvd1689m", 32, 1e-5, "silu", "centred"),
    ],
)
def test_what_timms_names_mean(name, heads, epsilon, activation, coordinates):
    found = timm_arguments(name)
    said = (found["num_heads"], found["epsilon"], found["activation"])
    assert said == (heads, epsilon, activation)
    assert found["rotary"]["coordinates"] == coordinates


@pytest.mark.once
@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("eva02_enormous_patch14_clip_224", {}, "norms behind attention and MLP"),
        ("vit_pe_core_base_patch16_224", {}, "begin at one, columns first"),
        ("vit_small_patch16_rope_224", {}, "rotary positions with columns first"),
        ("vit_small_patch16_rope_mixed_ape_224", {}, "learned rotary positions"),
        ("eva02_tiny_patch14_224", {"rope_type": "mrope"}, "rope_type='mrope', which no model"),
        ("eva02_tiny_patch14_224", {"rope_grid_indexing": "xy"}, "rope_grid_indexing='xy'"),
        ("eva02_tiny_patch14_224", {"global_pool": "avgmax"}, "global_pool='avgmax', which no"),
        ("eva02_unheard_of", {}, "timm's 'eva02_unheard_of' is not known here"),
    ],
)
def test_what_cannot_be_computed_is_refused(rng, tmp_path, name, args, message):
    arrays = eva.draw(rng, mlp="packed")
    with pytest.raises(ValueError, match=message):
        keras_vit.from_checkpoint(write(tmp_path, arrays, name, **args))


def test_single_arguments_of_the_configuration_replace_the_architectures(tmp_path, rng):
    arrays = eva.draw(rng, mlp="packed", norm="fc_norm")
    args = {"rope_temperature": 100.0, "ref_feat_shape": [24, 12], "rope_rotate_half": True}
    model = keras_vit.from_checkpoint(write(tmp_path, arrays, "eva02_tiny_patch14_224", **args))
    expected = keras_vit.RotaryOptions("grid", 100.0, "halves", (24, 12))
    assert keras_vit.RotaryOptions(**model.arguments["rotary"]) == expected
    write(tmp_path, arrays, "eva02_tiny_patch14_224", use_rot_pos_emb=False)
    model = keras_vit.from_checkpoint(tmp_path)
    assert model.arguments["rotary"]["coordinates"] == "none"


def test_a_file_alone_says_too_little_and_like_says_it(rng, tmp_path):
    folder = write(tmp_path, eva.draw(rng, positions=False, layer_scale=True), None)
    with pytest.raises(ValueError, match="does not tell its number of heads"):
        keras_vit.from_checkpoint(folder)
    with pytest.raises(ValueError, match=r"does not tell its rotary positions.*like='eva02_base"):
        keras_vit.from_checkpoint(folder, like="test_vit", input_shape=(12, 8, 3))
    with pytest.raises(ValueError, match="norms behind attention and MLP"):
        keras_vit.from_checkpoint(folder, like="eva02_enormous_patch14_clip_224")
    made = keras_vit.RotaryVisionTransformer(
        input_shape=(12, 8, 3),
        patch_size=4,
        num_layers=1,
        hidden_size=24,
        mlp_dim=16,
        num_heads=3,
        classes=None,
        classifier="gap",
        class_token=True,
        position_embedding=keras_vit.Positions(interpolation="bicubic_antialias"),
        final_norm="after",
        qkv_bias=("query", "value"),
        gated=True,
        activation="silu",
        rotary=keras_vit.RotaryOptions("grid", 1e4, "neighbours", (16, 16)),
        name="same",
    )
    keras_vit.export_weights(made, tmp_path / "made", target="timm")
    (tmp_path / "made" / "config.json").unlink()
    arrays = load_file(tmp_path / "made" / "model.safetensors")
    folder = write(tmp_path / "made", arrays, None)
    again = keras_vit.from_checkpoint(
        folder, like="eva02_tiny_patch14_336", input_shape=(12, 8, 3), name="same"
    )
    assert again.arguments == made.arguments


def test_rotary_weights_do_not_load_into_a_model_that_does_not_turn(rng, tmp_path):
    """Names and shapes alone would fit: DINOv3's have no trace of the turning."""
    name = "vit_base_patch16_dinov3"
    arrays = eva.draw(rng, **eva.FAMILIES[f"{name}.lvd1689m"][0])
    sizes = dict(
        input_shape=(12, 8, 3),
        patch_size=4,
        num_layers=2,
        hidden_size=16,
        mlp_dim=24,
        num_heads=2,
        classes=None,
        classifier="gap",
        class_token=True,
        registers=4,
        position_embedding="none",
        activation="gelu",
        epsilon=1e-5,
        layer_scale=1e-5,
        qkv_bias=False,
    )
    plain = keras_vit.VisionTransformer(**sizes)
    turning = keras_vit.RotaryVisionTransformer(**sizes)
    write(tmp_path, arrays, name)
    keras_vit.load_weights(turning, tmp_path)
    with pytest.raises(ValueError, match=r"has rotary positions.*the model has none"):
        keras_vit.load_weights(plain, tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(ValueError, match=r"may have rotary positions.*the model has none"):
        keras_vit.load_weights(plain, tmp_path)
    keras_vit.load_weights(turning, tmp_path)
    other = keras_vit.RotaryVisionTransformer(**sizes, rotary={"temperature": 10.0})
    write(tmp_path, arrays, name)
    with pytest.raises(ValueError, match=r"does not fit the model: it says rotary=.*100\.0"):
        keras_vit.load_weights(other, tmp_path)
    keras_vit.export_weights(plain, tmp_path / "plain", target="timm")
    with pytest.raises(ValueError, match="has no rotary positions, and the model has"):
        keras_vit.load_weights(turning, tmp_path / "plain")
    for target in ("google", "huggingface"):
        with pytest.raises(ValueError, match="it has no rotary positions"):
            ending = "npz" if target == "google" else "safetensors"
            keras_vit.export_weights(turning, tmp_path / f"x.{ending}", target=target)
