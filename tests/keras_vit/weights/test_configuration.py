"""What names and shapes do not tell: our metadata, timm's configuration, and whose file it describes."""

import json
import warnings

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import keras_vit
from tests.keras_vit.names import randomise
from tests.keras_vit.weights import files

BIT = dict(input_shape=(16, 16, 3), block_counts=(2, 1), width_factor=1 / 8, groups=4, classes=5)


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def write_timm(folder, arrays: files.Arrays, config: dict):
    plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    save_file(plain, str(folder / "model.safetensors"))
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("target", "made", "loaded", "message"),
    [
        ("google", {}, {"epsilon": 1e-3}, "says epsilon=1e-06 in its metadata.*epsilon=0.001"),
        ("timm", {}, {"num_heads": 4}, "says num_heads=2 in its metadata.* has num_heads=4; build"),
        ("huggingface", {}, {"num_heads": 1}, "says num_heads=2 in its metadata"),
        (
            "google",
            {"position_embedding": "sincos2d"},
            {"position_embedding": "none"},
            "says position_embedding='sincos2d' in its metadata",
        ),
        ("timm", {"activation": "relu"}, {}, "its metadata says activation='relu'"),
    ],
)
def test_our_files_say_what_names_and_shapes_do_not(rng, tmp_path, target, made, loaded, message):
    model = keras_vit.VisionTransformer(**{**files.VIT, **made})
    randomise(model, rng)
    path = tmp_path / ("vit.npz" if target == "google" else "vit.safetensors")
    keras_vit.export_weights(model, path, target=target)
    other = keras_vit.VisionTransformer(**{**files.VIT, **loaded})
    with pytest.raises(ValueError, match=message):
        keras_vit.load_weights(other, path)


def test_metadata_of_a_vit(tmp_path):
    model = keras_vit.VisionTransformer(**files.VIT, classifier="map")
    keras_vit.export_weights(model, tmp_path / "vit.safetensors", target="timm")
    with safe_open(str(tmp_path / "vit.safetensors"), framework="np") as file:
        metadata = file.metadata()
    assert metadata == {
        "format": "pt",
        "num_heads": "2",
        "patch_size": "[4, 2]",
        "classifier": "map",
        "position_embedding": "learned",
        "activation": "gelu_tanh",
        "epsilon": "1e-06",
        "grid": "2x6",
        "position_interpolation": "bilinear",
        "preprocessing": '{"mean": [0.5, 0.5, 0.5], "deviation": [0.5, 0.5, 0.5], "size": [8, 12], '
        '"interpolation": "bilinear", "crop": null, "resize": "cover"}',
    }


@pytest.mark.parametrize("target", ["google", "huggingface"])
def test_groups_and_epsilon_of_a_bit(rng, tmp_path, target):
    model = keras_vit.ResNet(**BIT, epsilon=1e-3)
    randomise(model, rng)
    path = tmp_path / ("bit.npz" if target == "google" else "bit.safetensors")
    keras_vit.export_weights(model, path, target=target)
    for changed, message in (({"groups": 2}, "says groups=4"), ({}, "says epsilon=0.001")):
        with pytest.raises(ValueError, match=message):
            keras_vit.load_weights(keras_vit.ResNet(**{**BIT, **changed}), path)
    shape, classes, *_ = (BIT[key] for key in ("input_shape", "classes"))
    sizes = {key: BIT[key] for key in ("block_counts", "width_factor", "groups")}
    named = keras_vit.create_model("BiT-R50x1", shape, classes, weights=path, **sizes)
    images = rng.normal(size=(1, *shape)).astype("float32")
    np.testing.assert_array_equal(files.outputs(named, images), files.outputs(model, images))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_args": {"num_heads": 4}}, "says num_heads=4 in its config.json.* num_heads=2"),
        ({"architecture": "vit_tiny_patch16_224"}, "says num_heads=3 in its config.json"),
        ({"architecture": "vit_base_r50_s16_384.orig_in21k"}, "says num_heads=12"),
        ({"global_pool": "avg"}, "says classifier='gap' in its config.json.*head=\"replace\""),
        ({"model_args": {"global_pool": "avg"}}, "build the model with classifier='gap'"),
        ({"global_pool": "max"}, "has global_pool='max', which no model here.*head=\"replace\""),
        ({"architecture": "vit_base_patch16_rpn_224"}, "norms behind attention and MLP"),
        ({"architecture": "vit_base_patch16_clip_224"}, "says epsilon=1e-05, num_heads=12"),
        ({"model_args": {"act_layer": "gelu_tanh"}}, "config.json says activation='gelu_tanh'"),
        ({"model_args": {"act_layer": "hard_swish"}}, "act_layer='hard_swish', which no model"),
        ({"model_args": {"norm_layer": "rmsnorm"}}, "norm_layer='rmsnorm', which no model here"),
        ({"model_args": {"attn_layer": "diff"}}, "attn_layer='diff', which no model here"),
        ({"model_args": {"patch_size": 4}}, r"says patch_size=\(4, 4\)"),
    ],
)
def test_timms_configuration_is_compared(rng, tmp_path, config, message):
    folder = write_timm(tmp_path, files.timm_vit(files.vit_jax(rng)), config)
    model = keras_vit.VisionTransformer(**files.VIT, activation="gelu")
    with pytest.raises(ValueError, match=message):
        keras_vit.load_weights(model, folder)
    if "global_pool" in str(config):  # it concerns the head alone
        keras_vit.load_weights(model, folder, head="replace")


def test_timms_own_values_are_no_difference(rng, tmp_path):
    """As `save_for_hf` writes them: the root's `global_pool` is the model's, `model_args` win."""
    config = {
        "architecture": "vit_base_patch16_clip_224",
        "num_classes": 3,
        "global_pool": "token",
        "model_args": {
            "num_heads": 2,
            "patch_size": [4, 2],
            "img_size": [8, 12],
            "act_layer": "gelu",
            "norm_layer": "layernorm",
            "global_pool": "token",
            "class_token": True,
            "dynamic_img_size": True,
            "drop_path_rate": 0.1,
            "pre_norm": False,
            "in_chans": 3,
        },
        "pretrained_cfg": {"input_size": [3, 224, 224]},
    }
    folder = write_timm(tmp_path, files.timm_vit(files.vit_jax(rng)), config)
    model = keras_vit.VisionTransformer(**files.VIT, activation="gelu")
    keras_vit.load_weights(model, folder)


def test_timms_image_size_tells_the_grid(rng, tmp_path):
    """2 x 8 patches are not taken for 4 x 4; a size of another grid says nothing."""
    arrays = files.timm_vit(files.vit_jax(rng, grid=(2, 8)))
    model = keras_vit.VisionTransformer(
        **{**files.VIT, "input_shape": (16, 8, 3)}, activation="gelu"
    )
    for config in (
        {"model_args": {"img_size": [8, 16]}},
        {"pretrained_cfg": {"input_size": [3, 8, 16]}},
    ):
        keras_vit.load_weights(model, write_timm(tmp_path, arrays, config))
        expected = keras_vit.resample_position_embedding(arrays["pos_embed"], (2, 8), (4, 4))
        result = model.get_layer("position_embedding").get_weights()[0]
        np.testing.assert_array_equal(result, expected)
    folder = write_timm(tmp_path, arrays, {"pretrained_cfg": {"input_size": [3, 224, 224]}})
    with pytest.raises(ValueError, match=r"grid=\(4, 4\)"):
        keras_vit.load_weights(
            keras_vit.VisionTransformer(
                **{**files.VIT, "input_shape": (8, 16, 3)}, activation="gelu"
            ),
            folder,
        )


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"architecture": "resnetv2_50d_gn"}, "architecture='resnetv2_50d_gn', which no model"),
        ({"model_args": {"output_stride": 16}}, "output_stride=16, which no model here"),
        ({"model_args": {"stem_type": "same"}}, "stem_type='same', which no model here"),
        ({"model_args": {"act_layer": "silu"}}, "act_layer='silu', which no model here"),
    ],
)
def test_timms_configuration_of_a_bit(rng, tmp_path, config, message):
    arrays = files.timm_bit(files.big_transfer(rng, (2, 1)))
    folder = write_timm(tmp_path, arrays, config)
    with pytest.raises(ValueError, match=message):
        keras_vit.load_weights(keras_vit.ResNet(**BIT), folder)
    plain = {"architecture": "resnetv2_50x1_bit", "model_args": {"layers": [2, 1]}}
    keras_vit.load_weights(keras_vit.ResNet(**BIT), write_timm(tmp_path, arrays, plain))


def test_configuration_for_timm(tmp_path):
    """The arguments of timm's VisionTransformer, and pixels in [-1, 1]."""
    model = keras_vit.VisionTransformer(**files.VIT, classifier="gap")
    keras_vit.export_weights(model, tmp_path / "flowers", target="timm")
    config = json.loads((tmp_path / "flowers" / "config.json").read_text())
    assert config["architecture"] == "vit_base_patch16_224"
    assert config["model_args"] == {
        "img_size": [8, 12],
        "patch_size": [4, 2],
        "in_chans": 3,
        "num_classes": 3,
        "embed_dim": 8,
        "depth": 2,
        "num_heads": 2,
        "mlp_ratio": 1.5,
        "global_pool": "avg",
        "class_token": False,
        "fc_norm": False,
        "pos_embed": "learn",
        "act_layer": "gelu_tanh",
    }
    assert config["pretrained_cfg"]["mean"] == config["pretrained_cfg"]["std"] == [0.5] * 3
    assert config["pretrained_cfg"]["input_size"] == [3, 8, 12]
    keras_vit.load_weights(model, tmp_path / "flowers")


@pytest.mark.parametrize("width", [192, 384, 1152, 1408, 1664])
@pytest.mark.parametrize("hidden", [191, 768, 4304, 6144, 8191])
def test_timms_ratio_gives_our_width(width, hidden):
    """It computes int(embed_dim * mlp_ratio)."""
    from keras_vit.weights.timm_configuration import vit_configuration

    arguments = {
        **keras_vit.VisionTransformer(**files.VIT).arguments,
        "hidden_size": width,
        "mlp_dim": hidden,
    }
    args = vit_configuration(arguments, (2, 6))["model_args"]
    assert int(args["embed_dim"] * args["mlp_ratio"]) == hidden


def test_a_configuration_describes_one_file(rng, tmp_path):
    """Of several files in a folder, a config.json of ours names the one that it belongs to."""
    one = keras_vit.VisionTransformer(**files.VIT, activation="gelu")
    keras_vit.export_weights(one, tmp_path / "one.safetensors", target="huggingface")
    keras_vit.export_weights(one, tmp_path / "one.safetensors", target="timm")  # once more
    other = keras_vit.VisionTransformer(**{**files.VIT, "num_heads": 4}, activation="gelu")
    with pytest.raises(ValueError, match=r"config\.json describes another model than other\."):
        keras_vit.export_weights(other, tmp_path / "other.safetensors", target="timm")
    names = ["config.json", "one.safetensors", "preprocessor_config.json"]
    assert sorted(p.name for p in tmp_path.iterdir()) == names
    # A file without a word of its own, beside it
    heads = files.timm_vit(files.vit_jax(rng, heads=4))
    plain = {name: np.ascontiguousarray(array) for name, array in heads.items()}
    save_file(plain, str(tmp_path / "theirs.safetensors"))
    keras_vit.load_weights(other, tmp_path / "theirs.safetensors")
    # What a folder's model is called takes over its configuration.
    keras_vit.export_weights(other, tmp_path / "model.safetensors", target="timm")
    assert json.loads((tmp_path / "config.json").read_text())["model_args"]["num_heads"] == 4
    keras_vit.load_weights(one, tmp_path / "one.safetensors")


def test_a_damaged_configuration_is_named(rng, tmp_path):
    write_timm(tmp_path, files.timm_vit(files.vit_jax(rng)), {})
    (tmp_path / "config.json").write_text("{")
    model = keras_vit.VisionTransformer(**files.VIT, activation="gelu")
    with pytest.raises(ValueError, match=r"config\.json, which describes model.*no valid JSON"):
        keras_vit.load_weights(model, tmp_path)
