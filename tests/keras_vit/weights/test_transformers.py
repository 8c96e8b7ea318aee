"""Hugging Face's ViT and BiT in both directions: tiny random models, epsilons set alike."""

import json
import logging

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import (
    BitConfig,
    BitForImageClassification,
    ViTConfig,
    ViTForImageClassification,
    ViTModel,
)

import keras_vit
from tests.keras_vit.weights import files

VIT = dict(
    input_shape=(12, 8, 3),
    patch_size=4,
    num_layers=2,
    hidden_size=16,
    mlp_dim=24,
    num_heads=4,
    classes=7,
)
BIT = dict(input_shape=(40, 32, 3), block_counts=(2, 1), width_factor=0.25, groups=4, classes=7)


@pytest.fixture(autouse=True, scope="module")
def _quiet():
    logging.getLogger("transformers").setLevel(logging.ERROR)


def vit_config(**overrides) -> ViTConfig:
    arguments = dict(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=24,
        image_size=(12, 8),
        patch_size=4,
        layer_norm_eps=1e-6,
        num_labels=7,
    )
    return ViTConfig(**{**arguments, **overrides})


def bit_config() -> BitConfig:
    return BitConfig(
        embedding_size=16, hidden_sizes=[64, 128], depths=[2, 1], num_groups=4, num_labels=7
    )


def randomised(module: torch.nn.Module) -> torch.nn.Module:
    """Every weight and bias away from its start, so that a forgotten one shows."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            norm = "norm" in name and name.endswith("weight")
            weight.copy_(1 + 0.2 * noise if norm else 0.2 * noise)
    return alike(module).eval()


def alike(module: torch.nn.Module) -> torch.nn.Module:
    """Gives BiT's standardised convolutions the authors' epsilon."""
    for part in module.modules():
        if type(part).__name__ == "WeightStandardizedConv2d":
            part.eps = 1e-10
    return module


def theirs(module: torch.nn.Module, images: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return module(torch.from_numpy(images.transpose(0, 3, 1, 2))).logits.numpy()


@pytest.mark.parametrize("naming", ["saved", "live"])
@pytest.mark.parametrize("family", ["vit", "bit"])
def test_from_transformers(rng, tmp_path, naming, family):
    if family == "vit":
        source = randomised(ViTForImageClassification(vit_config()))
        model = keras_vit.VisionTransformer(**VIT, activation="gelu")
    else:
        source = randomised(BitForImageClassification(bit_config()))
        model = keras_vit.ResNet(**BIT)
    if naming == "saved":
        source.save_pretrained(tmp_path)
    else:
        save_file(source.state_dict(), str(tmp_path / "model.safetensors"))
    keras_vit.load_weights(model, tmp_path / "model.safetensors")
    images = rng.normal(size=(2, *model.input_shape[1:])).astype("float32")
    expected = theirs(source, images)
    assert np.abs(expected).max() > 0.5
    np.testing.assert_allclose(files.outputs(model, images), expected, atol=1e-5)


@pytest.mark.parametrize("family", ["vit", "bit"])
def test_to_transformers(rng, tmp_path, family):
    if family == "vit":
        model = keras_vit.VisionTransformer(**VIT, activation="gelu")
        config, theirs_class = vit_config(), ViTForImageClassification
    else:
        model, config = keras_vit.ResNet(**BIT), bit_config()
        theirs_class = BitForImageClassification
    for weight in model.weights:
        shift = 1.0 if weight.path.endswith("gamma") else 0.0
        weight.assign(shift + rng.normal(scale=0.2, size=weight.shape))
    with pytest.warns(UserWarning, match="epsilon"):  # 1e-12 and 1e-8 are their defaults
        keras_vit.export_weights(model, tmp_path / "model.safetensors", target="huggingface")
    config.save_pretrained(tmp_path)
    loaded, report = theirs_class.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.get(key) for key in ("missing_keys", "unexpected_keys"))
    assert not report.get("mismatched_keys")
    images = rng.normal(size=(2, *model.input_shape[1:])).astype("float32")
    expected = theirs(alike(loaded).eval(), images)
    np.testing.assert_allclose(files.outputs(model, images), expected, atol=1e-5)


def test_backbone_with_pooler_both_ways(rng, tmp_path):
    """Without a head, their pooler is the representation layer."""
    source = randomised(ViTModel(vit_config()))
    source.save_pretrained(tmp_path)
    model = keras_vit.VisionTransformer(
        **{**VIT, "classes": None}, activation="gelu", representation_size=16
    )
    keras_vit.load_weights(model, tmp_path)  # the folder
    images = rng.normal(size=(2, 12, 8, 3)).astype("float32")
    with torch.no_grad():
        result = source(torch.from_numpy(images.transpose(0, 3, 1, 2)))
    np.testing.assert_allclose(
        files.outputs(model, images), result.pooler_output.numpy(), atol=1e-5
    )
    with pytest.warns(UserWarning, match="epsilon"):
        keras_vit.export_weights(model, tmp_path / "model.safetensors", target="huggingface")
    _, report = ViTModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]


def test_configuration_beside_the_file_decides(tmp_path):
    source = ViTForImageClassification(vit_config(hidden_act="gelu_new"))
    source.save_pretrained(tmp_path)
    keras_vit.load_weights(keras_vit.VisionTransformer(**VIT), tmp_path)
    exact = keras_vit.VisionTransformer(**VIT, activation="gelu")
    with pytest.raises(ValueError, match=r"config\.json says activation='gelu_tanh'"):
        keras_vit.load_weights(exact, tmp_path)
    (tmp_path / "config.json").unlink()
    keras_vit.load_weights(exact, tmp_path)  # the names alone mean the exact GELU


def test_image_size_of_the_configuration_tells_the_grid(rng, tmp_path):
    """A 2 x 8 grid has as many patches as a 4 x 4 one."""
    config = vit_config(image_size=(8, 32))
    randomised(ViTForImageClassification(config)).save_pretrained(tmp_path)
    square = {**VIT, "input_shape": (16, 16, 3), "activation": "gelu"}
    same = keras_vit.VisionTransformer(**{**square, "input_shape": (8, 32, 3)})
    keras_vit.load_weights(same, tmp_path)
    model = keras_vit.VisionTransformer(**square)
    keras_vit.load_weights(model, tmp_path)
    table = same.get_layer("position_embedding").get_weights()[0]
    expected = keras_vit.resample_position_embedding(table, (2, 8), (4, 4))
    np.testing.assert_array_equal(model.get_layer("position_embedding").get_weights()[0], expected)
    (tmp_path / "config.json").write_text(json.dumps({}))
    with pytest.raises(ValueError, match=r"grid=\(2, 8\) or grid=\(4, 4\)"):
        keras_vit.load_weights(same, tmp_path)
    keras_vit.load_weights(model, tmp_path, grid=(2, 8))
    np.testing.assert_array_equal(model.get_layer("position_embedding").get_weights()[0], expected)
