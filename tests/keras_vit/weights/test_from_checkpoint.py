"""From transformers' folders to the model they hold, and back: tiny random models."""

import json

import numpy as np
import pytest
import torch
import transformers as hf
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_torch
from safetensors.torch import save_file

import keras_vit
from tests.keras_vit.weights import files, oracles

SQUARE = oracles.sizes(image_size=12)  # all that CLIP and SigLIP take
DINOV2 = oracles.sizes(intermediate_size=None, image_size=12)
TEXT = dict(
    hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=9
)
# model class, configuration, the output that ours is
FAMILIES = {
    "vit": (hf.ViTForImageClassification, hf.ViTConfig(**oracles.SIZES), "logits"),
    "vit without a bias": (
        hf.ViTForImageClassification,
        hf.ViTConfig(**oracles.SIZES, qkv_bias=False, layer_norm_eps=1e-3, hidden_act="gelu_new"),
        "logits",
    ),
    "deit": (hf.DeiTForImageClassification, hf.DeiTConfig(**oracles.SIZES), "logits"),
    "distilled deit": (
        hf.DeiTForImageClassificationWithTeacher,
        hf.DeiTConfig(**oracles.SIZES),
        "logits",
    ),
    "i-jepa": (hf.IJepaForImageClassification, hf.IJepaConfig(**oracles.SIZES), "logits"),
    "siglip": (hf.SiglipVisionModel, hf.SiglipVisionConfig(**SQUARE), "pooler_output"),
    "siglip with a head": (
        hf.SiglipForImageClassification,
        hf.SiglipConfig(vision_config=SQUARE, text_config=TEXT),
        "logits",
    ),
    "clip": (hf.CLIPVisionModel, hf.CLIPVisionConfig(**SQUARE), "pooler_output"),
    "clip with a projection": (
        hf.CLIPVisionModelWithProjection,
        hf.CLIPVisionConfig(**SQUARE, projection_dim=6, hidden_act="gelu"),
        "image_embeds",
    ),
    "clip with a head": (
        hf.CLIPForImageClassification,
        hf.CLIPConfig(vision_config=SQUARE, text_config=TEXT),
        "logits",
    ),
    "dinov2": (hf.Dinov2Model, hf.Dinov2Config(**DINOV2), "pooler_output"),
    "dinov2 with a head": (hf.Dinov2ForImageClassification, hf.Dinov2Config(**DINOV2), "logits"),
    "dinov2 with registers": (
        hf.Dinov2WithRegistersModel,
        hf.Dinov2WithRegistersConfig(**DINOV2, num_register_tokens=3),
        "pooler_output",
    ),
    "dinov2 giant": (
        hf.Dinov2ForImageClassification,
        hf.Dinov2Config(**DINOV2, use_swiglu_ffn=True),
        "logits",
    ),
    "dinov2 giant with registers": (
        hf.Dinov2WithRegistersModel,
        hf.Dinov2WithRegistersConfig(**DINOV2, num_register_tokens=2, use_swiglu_ffn=True),
        "pooler_output",
    ),
    "dinov3": (
        hf.DINOv3ViTModel,
        hf.DINOv3ViTConfig(**oracles.SIZES, num_register_tokens=2),
        "pooler_output",
    ),
    "dinov3 with gates and other biases": (
        hf.DINOv3ViTModel,
        hf.DINOv3ViTConfig(
            **oracles.SIZES,
            use_gated_mlp=True,
            hidden_act="silu",
            rope_theta=10.0,
            key_bias=True,
            value_bias=False,
        ),
        "pooler_output",
    ),
    "dinov2 with registers and a head": (
        hf.Dinov2WithRegistersForImageClassification,
        hf.Dinov2WithRegistersConfig(**DINOV2, num_register_tokens=3),
        "logits",
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_transformers_both_ways(rng, tmp_path, family):
    kind, config, field = FAMILIES[family]
    theirs = oracles.saved(kind(config), tmp_path)
    with pytest.warns(UserWarning, match="how its images were prepared"):
        model = keras_vit.from_checkpoint(tmp_path)
    images = oracles.images(rng, 2, *model.input_shape[1:])
    expected = oracles.outputs(theirs, images, field)
    oracles.assert_close(files.outputs(model, images), expected)
    # and back: the same names, and a configuration, which their own class reads
    keras_vit.export_weights(model, tmp_path / "ours", target="huggingface")
    if family == "siglip with a head":  # a mean of patches is written as I-JEPA's
        kind = hf.IJepaForImageClassification
    again, report = kind.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    oracles.assert_close(oracles.outputs(again.eval(), images, field), expected, 1e-6)
    # once more, bit for bit
    keras_vit.export_weights(
        keras_vit.from_checkpoint(tmp_path / "ours"), tmp_path / "twice", target="huggingface"
    )
    ours, twice = (load_file(tmp_path / f / "model.safetensors") for f in ("ours", "twice"))
    assert set(ours) == set(twice)
    for name, array in ours.items():
        np.testing.assert_array_equal(twice[name], array, err_msg=name)


def test_masked_siamese_networks(rng, tmp_path):
    """A ViT whose names transformers writes in two ways at once."""
    config = hf.ViTMSNConfig(**oracles.SIZES, num_labels=5)
    theirs = oracles.saved(hf.ViTMSNForImageClassification(config), tmp_path)
    images = oracles.images(rng, 2, 12, 8, 3)
    with pytest.warns(UserWarning):
        model = keras_vit.from_checkpoint(tmp_path)
    expected = oracles.outputs(theirs, images, "logits")
    oracles.assert_close(files.outputs(model, images), expected)


@pytest.mark.parametrize("hidden", ["c_fc", "w12"])
def test_tips(rng, tmp_path, hidden):
    """transformers writes TIPS under its own names, which are like timm's."""
    config = hf.Tipsv2VisionConfig(**DINOV2, num_register_tokens=1, use_swiglu_ffn=hidden == "w12")
    theirs = oracles.saved(hf.Tipsv2VisionModel(config), tmp_path)
    assert f"blocks.0.mlp.{hidden}.weight" in load_file(tmp_path / "model.safetensors")
    images = oracles.images(rng, 2, 12, 12, 3)
    with pytest.warns(UserWarning):
        model = keras_vit.from_checkpoint(tmp_path)
    expected = oracles.outputs(theirs, images, "last_hidden_state")[:, 0]
    oracles.assert_close(files.outputs(model, images), expected)


@pytest.mark.parametrize("kind", ["clip", "siglip", "metaclip"])
def test_the_image_tower_of_a_model_for_images_and_text(rng, tmp_path, kind):
    made = {
        "clip": (hf.CLIPModel, hf.CLIPConfig, {"projection_dim": 6}),
        "metaclip": (hf.MetaClip2Model, hf.MetaClip2Config, {"projection_dim": 6}),
        "siglip": (hf.SiglipModel, hf.SiglipConfig, {}),
    }[kind]
    config = made[1](vision_config=SQUARE, text_config=TEXT, **made[2])
    theirs = oracles.saved(made[0](config), tmp_path)
    images = oracles.images(rng, 2, 12, 12, 3)
    with torch.no_grad():
        pixels = torch.from_numpy(images.transpose(0, 3, 1, 2))
        expected = theirs.get_image_features(pixels)
    expected = getattr(expected, "pooler_output", expected).numpy()
    with pytest.warns(UserWarning, match="how its images were prepared"):
        model = keras_vit.from_checkpoint(tmp_path)
    oracles.assert_close(files.outputs(model, images), expected)


def test_mae_encoder(rng, tmp_path):
    config = hf.ViTMAEConfig(**oracles.sizes(image_size=12), mask_ratio=0.0)
    theirs = oracles.saved(hf.ViTMAEModel(config), tmp_path)
    images = oracles.images(rng, 2, 12, 12, 3)
    order = torch.arange(9).repeat(2, 1) / 9.0  # nothing is masked, nothing shuffled
    expected = oracles.outputs(theirs, images, "last_hidden_state", noise=order)[:, 0]
    with pytest.warns(UserWarning):
        model = keras_vit.from_checkpoint(tmp_path)
    oracles.assert_close(files.outputs(model, images), expected)


@pytest.mark.parametrize("family", ["dinov2 giant", "dinov3 with gates and other biases"])
def test_names_of_a_live_model(rng, tmp_path, family):
    kind, config, field = FAMILIES[family]
    theirs = oracles.saved(kind(config), tmp_path)
    live = {name: array.contiguous() for name, array in theirs.state_dict().items()}
    assert set(live) != set(load_file(tmp_path / "model.safetensors"))
    save_file(live, str(tmp_path / "model.safetensors"))
    with pytest.warns(UserWarning):
        model = keras_vit.from_checkpoint(tmp_path)
    images = oracles.images(rng, 2, *model.input_shape[1:])
    oracles.assert_close(files.outputs(model, images), oracles.outputs(theirs, images, field))


POOLED = {
    **{name: FAMILIES[name] for name in ("vit", "deit", "distilled deit", "i-jepa")},
    "dinov2": FAMILIES["dinov2 with a head"],
}


@pytest.mark.parametrize("family", POOLED)
def test_a_pooler_beside_a_classifier_is_left_aside(rng, tmp_path, family):
    """As transformers does, whose classifiers are on the tokens themselves."""
    made, config, field = POOLED[family]
    theirs = oracles.saved(made(config), tmp_path)
    path, width = tmp_path / "model.safetensors", config.hidden_size
    drawn = oracles.randomised(torch.nn.Linear(width, width), 1.0).state_dict()
    pooler = {f"{theirs.base_model_prefix}.pooler.dense.{key}": drawn[key] for key in drawn}
    save_file({**load_torch(path), **pooler}, str(path))
    images = oracles.images(rng, 2, *np.broadcast_to(config.image_size, 2), 3)
    expected = oracles.outputs(made.from_pretrained(tmp_path).eval(), images, field)
    said = r"was adapted: what transformers' .* does not read beside a head left aside \(.*pooler\."
    with pytest.warns(UserWarning, match=said) as told:
        model = keras_vit.from_checkpoint(tmp_path)
    assert told[0].filename == __file__
    oracles.assert_close(files.outputs(model, images), expected)
    again = type(model).from_config(model.get_config())
    with pytest.warns(UserWarning, match=said):
        keras_vit.load_weights(again, tmp_path)
    oracles.assert_close(files.outputs(again, images), expected)
    sizes = ("num_layers", "hidden_size", "mlp_dim", "num_heads")
    shape, classes = model.input_shape[1:], model.arguments["classes"]
    given = {name: model.arguments[name] for name in sizes}
    with pytest.warns(UserWarning, match=said) as told:
        named = keras_vit.create_model("ViT-S/4", shape, classes, weights=tmp_path, **given)
    assert {each.filename for each in told} == {__file__}
    oracles.assert_close(files.outputs(named, images), expected)


def test_rotary_positions_of_another_image_size(rng, tmp_path):
    """Of one that the model is made for, and of any: theirs are computed from each image's grid."""
    config = hf.DINOv3ViTConfig(**oracles.SIZES)
    theirs = oracles.saved(hf.DINOv3ViTModel(config), tmp_path)
    images = oracles.images(rng, 2, 16, 20, 3)
    with pytest.warns(UserWarning):
        model = keras_vit.from_checkpoint(tmp_path, input_shape=(16, 20, 3))
    expected = oracles.outputs(theirs, images, "pooler_output")
    oracles.assert_close(files.outputs(model, images), expected)
    with pytest.warns(UserWarning):
        new = keras_vit.from_checkpoint(tmp_path, classes=7)
    assert new.output_shape == (None, 7)
    with pytest.warns(UserWarning):
        any_size = keras_vit.from_checkpoint(tmp_path, input_shape=(None, None, 3))
    for given in (images, images[:, :8]):
        expected = oracles.outputs(theirs, given, "pooler_output")
        oracles.assert_close(files.outputs(any_size, given), expected)
    below = {f"backbone.{name}": array for name, array in theirs.state_dict().items()}
    save_file(below, str(tmp_path / "model.safetensors"))
    with pytest.warns(UserWarning, match=r"the prefix 'backbone\.' taken off its names"):
        again = keras_vit.from_checkpoint(tmp_path, input_shape=(16, 20, 3), adapt=True)
    for ours, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, other)


def test_another_image_size_is_interpolated_as_transformers_does(rng, tmp_path):
    """DINOv2's positions, of a square grid, at another size: on the fly there, on loading here."""
    config = hf.Dinov2Config(**oracles.sizes(intermediate_size=None, image_size=12))
    theirs = oracles.saved(hf.Dinov2Model(config), tmp_path)
    images = oracles.images(rng, 2, 20, 16, 3)
    with pytest.warns(UserWarning):
        model = keras_vit.from_checkpoint(tmp_path, input_shape=(20, 16, 3))
    expected = oracles.outputs(theirs, images, "pooler_output")
    oracles.assert_close(files.outputs(model, images), expected)
    with pytest.warns(UserWarning):
        small = keras_vit.from_checkpoint(tmp_path)
    tuned = keras_vit.for_finetuning(small, None, (20, 16, 3))
    oracles.assert_close(files.outputs(tuned, images), expected)


@pytest.mark.parametrize("kind", ["squashed", "cropped", "squashed, then cropped"])
def test_images_are_prepared_as_transformers_does(rng, tmp_path, kind):
    """Within the rounding to whole pixel values that Pillow does twice; squares have sharp edges."""
    theirs = {
        "squashed": hf.ViTImageProcessor(
            size={"height": 12, "width": 8}, resample=3, image_std=[0.2, 0.3, 0.4]
        ),
        "cropped": hf.CLIPImageProcessor(
            size={"shortest_edge": 14}, crop_size={"height": 12, "width": 8}
        ),
        "squashed, then cropped": hf.DeiTImageProcessor(
            size={"height": 20, "width": 14}, crop_size={"height": 12, "width": 8}
        ),
    }[kind]
    theirs.save_pretrained(tmp_path / "theirs")
    model = hf.ViTForImageClassification(hf.ViTConfig(**oracles.SIZES))
    oracles.saved(model, tmp_path / "theirs")
    ours = keras_vit.from_checkpoint(tmp_path / "theirs")
    images = rng.choice([0, 255], size=(2, 10, 8, 3)).repeat(3, 1).repeat(3, 2).astype("uint8")
    expected = theirs(list(images), return_tensors="np")["pixel_values"].transpose(0, 2, 3, 1)
    step = 1.2 / 255 / min(theirs.image_std)
    result = keras_vit.preprocess_input(images, ours)
    np.testing.assert_allclose(result, expected, atol=step)
    keras_vit.export_weights(ours, tmp_path / "ours", target="huggingface")
    again = type(theirs).from_pretrained(tmp_path / "ours")
    back = again(list(images), return_tensors="np")["pixel_values"].transpose(0, 2, 3, 1)
    np.testing.assert_allclose(back, expected, atol=1e-6)


def test_what_they_crop_otherwise_is_told(rng, tmp_path):
    """timm covers twice a size that is no square, transformers a square: alike for squares alone."""
    model = keras_vit.VisionTransformer(**{**files.VIT, "input_shape": (8, 16, 3)})
    model.preprocessing = keras_vit.Preprocessing(interpolation="bicubic", crop=0.5)
    message = "images that are no squares are resized otherwise"
    with pytest.warns(UserWarning, match=message):
        keras_vit.export_weights(model, tmp_path / "ours", target="huggingface")
    images = rng.integers(60, 196, size=(2, 30, 30, 3)).astype("uint8")
    theirs = hf.CLIPImageProcessor.from_pretrained(tmp_path / "ours")
    expected = theirs(list(images), return_tensors="np")["pixel_values"].transpose(0, 2, 3, 1)
    result = keras_vit.preprocess_input(images, model)
    np.testing.assert_allclose(result, expected, atol=1.2 / 255 / 0.5)
    model.preprocessing = keras_vit.Preprocessing(crop=(0.5, 0.75))
    with pytest.warns(UserWarning, match=message):
        keras_vit.export_weights(model, tmp_path / "timm", target="timm")
    config = json.loads((tmp_path / "timm" / "config.json").read_text())
    assert config["pretrained_cfg"]["crop_pct"] == 0.75


def test_shards_and_heads(rng, tmp_path):
    theirs = hf.ViTForImageClassification(hf.ViTConfig(**oracles.SIZES, num_labels=5))
    oracles.saved(theirs, tmp_path, max_shard_size="4KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6], "resample": 3})
    )
    images = oracles.images(rng, 2, 12, 8, 3)
    model = keras_vit.from_checkpoint(tmp_path)
    expected = oracles.outputs(theirs, images, "logits")
    oracles.assert_close(files.outputs(model, images), expected)
    settings = keras_vit.preprocessing_of(model)
    assert settings.mean == (0.1, 0.2, 0.3) and settings.interpolation == "bicubic"
    assert settings.size == (12, 8)
    new = keras_vit.from_checkpoint(tmp_path, classes=7)
    assert new.output_shape == (None, 7)
    assert not files.outputs(new, images).any()
    bare = keras_vit.from_checkpoint(tmp_path, classes=None)
    assert bare.output_shape == (None, 16)
    kernel, bias = model.get_layer("head").get_weights()
    oracles.assert_close(files.outputs(bare, images) @ kernel + bias, expected)
