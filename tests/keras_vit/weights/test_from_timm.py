"""From timm's folders to the model they hold, and back, against a forward pass of the tests' own."""

import json
import warnings

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import keras_vit
from keras_vit.weights.timm_architectures import timm_arguments
from tests.keras_vit.weights import files, oracles
from tests.keras_vit.weights import timm_reference as timm

IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "timm would compute something else|Nothing beside")
        yield


def write(folder, arrays, config: dict | None):
    folder.mkdir(exist_ok=True)
    save_file(arrays, str(folder / "model.safetensors"))
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return folder


def config_of(name: str, **args) -> dict:
    return {
        "architecture": name.partition(".")[0],
        "model_args": args,
        "pretrained_cfg": {
            "input_size": [3, 12, 8],
            "interpolation": "bicubic",
            "crop_pct": 0.9,
            **IMAGENET,
        },
    }


@pytest.mark.parametrize("name", timm.FAMILIES)
def test_timm_both_ways(rng, tmp_path, name):
    made, run = timm.FAMILIES[name]
    arrays = timm.draw(rng, **made)
    images = oracles.images(rng, 2, 12, 8, 3)
    expected = timm.forward(arrays, images, **run)
    # Tiny models have other heads than the name says, and sizes that the shapes tell.
    args = {"num_heads": timm.HEADS, "global_pool": run.get("pooling", "token")}
    folder = write(tmp_path / "theirs", arrays, config_of(name, **args))
    model = keras_vit.from_checkpoint(folder)
    oracles.assert_close(files.outputs(model, images), expected)
    settings = keras_vit.preprocessing_of(model)
    assert settings.mean == tuple(IMAGENET["mean"]) and settings.crop == 0.9
    keras_vit.export_weights(model, tmp_path / "ours", target="timm")
    result = load_file(tmp_path / "ours" / "model.safetensors")
    assert set(result) == set(arrays)
    for key, array in arrays.items():
        np.testing.assert_array_equal(result[key], array, err_msg=key)
    config = json.loads((tmp_path / "ours" / "config.json").read_text())
    wanted = {
        key: value
        for key, value in timm.timm_options(made, run).items()
        if config["model_args"].get(key) != value
        and not (key not in config["model_args"] and value in (None, 0, False, True))
    }
    assert wanted in ({}, {"patch_size": 4}), wanted  # they take a pair as well
    again = keras_vit.from_checkpoint(tmp_path / "ours")
    np.testing.assert_array_equal(files.outputs(again, images), files.outputs(model, images))


def test_positions_are_interpolated_as_timms_whatever_the_way(rng, tmp_path):
    """A model of one size remembers how, in files too; what is asked for comes first."""
    arrays = timm.draw(rng, depth=1)
    folder = write(
        tmp_path / "theirs", arrays, config_of("vit_tiny_patch16_224", num_heads=timm.HEADS)
    )
    shape, classes = (16, 20, 3), timm.CLASSES
    sizes = dict(num_layers=1, hidden_size=timm.WIDTH, mlp_dim=timm.HIDDEN, num_heads=timm.HEADS)
    model = keras_vit.from_checkpoint(folder)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    keras_vit.export_weights(model, tmp_path / "ours.npz")
    named = keras_vit.create_model("ViT-Ti/4", (8, 8, 3), classes, weights=folder, **sizes)
    other = keras_vit.create_model(
        "ViT-Ti/4", (12, 8, 3), classes, weights=folder, interpolation="bicubic", **sizes
    )
    again = keras_vit.for_finetuning(model, classes, shape)
    keras_vit.load_weights(again, folder)

    def expected(interpolation, old=(3, 2), table=arrays["pos_embed"]):
        return keras_vit.resample_position_embedding(
            table, old, (4, 5), interpolation=interpolation
        )

    def found(model):
        return model.get_layer("position_embedding").get_weights()[0]

    theirs, small = expected("bicubic_antialias"), found(named)
    for way, new, table in (
        ("fine-tuning", keras_vit.for_finetuning(model, classes, shape), theirs),
        ("a .keras file", keras_vit.for_finetuning(loaded, classes, shape), theirs),
        ("our file", keras_vit.from_checkpoint(tmp_path / "ours.npz", input_shape=shape), theirs),
        ("weights into a model", again, theirs),
        (
            "by name",
            keras_vit.create_model("ViT-Ti/4", shape, classes, weights=folder, **sizes),
            theirs,
        ),
        (
            "by name, then fine-tuning",
            keras_vit.for_finetuning(named, classes, shape),
            expected("bicubic_antialias", (2, 2), small),
        ),
        ("asked for", keras_vit.for_finetuning(other, classes, shape), expected("bicubic")),
    ):
        np.testing.assert_array_equal(found(new), table, err_msg=way)


@pytest.mark.once
@pytest.mark.parametrize(
    ("name", "heads", "epsilon", "activation"),
    [
        ("vit_tiny_patch16_224", 3, 1e-6, "gelu"),
        ("vit_base_patch16_224.augreg2_in21k_ft_in1k", 12, 1e-6, "gelu"),
        ("vit_base_r50_s16_384.orig_in21k", 12, 1e-6, "gelu"),
        ("vit_giant_patch14_224", 16, 1e-6, "gelu"),
        ("vit_base_patch16_gap_224", 16, 1e-6, "gelu"),
        ("vit_large_patch14_clip_336.openai", 16, 1e-5, "gelu"),
        ("vit_large_patch14_clip_quickgelu_336.openai", 16, 1e-5, "quick_gelu"),
        ("vit_so400m_patch14_siglip_384.webli", 16, 1e-6, "gelu"),
        ("vit_so400m_patch16_siglip_512.v2_webli", 16, 1e-6, "gelu_tanh"),
        ("vit_base_patch14_reg4_dinov2.lvd142m", 12, 1e-6, "gelu"),
        ("vit_so150m2_patch16_reg1_gap_256.sbb_e200_in12k", 13, 1e-6, "gelu"),
        ("vit_mediumd_patch16_reg4_gap_256.sbb_in12k", 8, 1e-6, "gelu"),
        ("deit3_small_patch16_224.fb_in22k_ft_in1k", 6, 1e-6, "gelu"),
        ("flexivit_large.1200ep_in1k", 16, 1e-6, "gelu"),
        ("test_vit.r160_in1k", 2, 1e-6, "gelu"),
    ],
)
def test_what_timms_names_mean(name, heads, epsilon, activation):
    expected = {"num_heads": heads, "epsilon": epsilon, "activation": activation}
    assert timm_arguments(name) == expected


def test_like_says_what_nothing_else_does(rng, tmp_path):
    arrays = timm.draw(rng)
    folder = write(tmp_path, arrays, None)
    with pytest.raises(ValueError, match=r"does not tell its number of heads.*like='ViT-S/14'"):
        keras_vit.from_checkpoint(folder / "model.safetensors")
    with pytest.raises(ValueError, match="is 8 wide and ViT-S/14 384"):
        keras_vit.from_checkpoint(folder, like="ViT-S/14")
    with pytest.raises(ValueError, match="no model named 'ViT-XS/14'"):
        keras_vit.from_checkpoint(folder, like="ViT-XS/14")
    model = keras_vit.from_checkpoint(folder, like="test_vit", input_shape=(12, 8, 3))
    images = oracles.images(rng, 2, 12, 8, 3)
    oracles.assert_close(files.outputs(model, images), timm.forward(arrays, images))
    write(tmp_path, arrays, {"architecture": "vit_unheard_of_patch4_12"})
    with pytest.raises(ValueError, match="timm's 'vit_unheard_of_patch4_12' is not known here"):
        keras_vit.from_checkpoint(folder)
    assert keras_vit.from_checkpoint(folder, like="test_vit", input_shape=(12, 8, 3))
    write(tmp_path, arrays, config_of("vit_tiny_patch16_224"))
    with pytest.raises(ValueError, match="says that it has 3 heads, and test_vit has 2"):
        keras_vit.from_checkpoint(folder, like="test_vit")


def test_shapes_win_over_the_configurations_image_size(rng, tmp_path):
    arrays = timm.draw(rng, grid=(4, 4))
    config = config_of("test_vit")
    config["pretrained_cfg"]["input_size"] = [3, 160, 160]
    model = keras_vit.from_checkpoint(write(tmp_path, arrays, config))
    assert model.input_shape == (None, 16, 16, 3)
    arrays = timm.draw(rng, grid=(4, 3))
    with pytest.raises(ValueError, match="does not say how large its images are"):
        keras_vit.from_checkpoint(write(tmp_path, arrays, config))


@pytest.mark.once
@pytest.mark.parametrize(
    ("config", "message"),
    [
        (config_of("vit_base_patch16_rpn_224"), "norms behind attention and MLP"),
        (config_of("vit_dwee_patch16_reg1_gap_256"), "differential attention"),
        (config_of("test_vit", global_pool="avgmax"), "global_pool='avgmax', which no model here"),
        (config_of("test_vit", norm_layer="rmsnorm"), "norm_layer='rmsnorm', which no model here"),
        (config_of("test_vit", act_layer="hard_swish"), "act_layer='hard_swish', which no model"),
    ],
)
def test_what_cannot_be_computed_is_refused(rng, tmp_path, config, message):
    folder = write(tmp_path, timm.draw(rng), config)
    with pytest.raises(ValueError, match=message):
        keras_vit.from_checkpoint(folder)


@pytest.mark.once
def test_other_weights_are_named(rng, tmp_path):
    """Normalised queries and keys, say: names that nothing here has a place for."""
    arrays = timm.draw(rng) | {"blocks.0.attn.q_norm.weight": np.ones(4, "float32")}
    folder = write(tmp_path, arrays, config_of("test_vit"))
    with pytest.raises(ValueError, match=r"1 unexpected in the file: blocks\.0\.attn\.q_norm"):
        keras_vit.from_checkpoint(folder)
