"""Hugging Face's ViT and BiT in both directions: tiny random models, epsilons set alike."""

import json
import logging
import warnings

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


def bit_config(**overrides) -> BitConfig:
    arguments = dict(
        embedding_size=16, hidden_sizes=[64, 128], depths=[2, 1], num_groups=4, num_labels=7
    )
    return BitConfig(**{**arguments, **overrides})


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


@pytest.mark.parametrize("family", ["vit", "vit, tanh", "bit"])
def test_to_transformers(rng, tmp_path, family):
    """`from_pretrained` needs nothing but the folder."""
    if family == "bit":
        model, theirs_class = keras_vit.ResNet(**BIT), BitForImageClassification
    else:
        more = {"activation": "gelu_tanh", "epsilon": 1e-3} if "tanh" in family else {}
        model = keras_vit.VisionTransformer(**VIT, **{"activation": "gelu", **more})
        theirs_class = ViTForImageClassification
    for weight in model.weights:
        shift = 1.0 if weight.path.endswith("gamma") else 0.0
        weight.assign((shift + rng.normal(scale=0.2, size=weight.shape)).astype("float32"))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        keras_vit.export_weights(model, tmp_path / "theirs", target="huggingface")
    told = [str(w.message) for w in told if "would compute" in str(w.message)]
    assert len(told) == (family == "bit") and all("epsilon 1e-8" in text for text in told)
    loaded, report = theirs_class.from_pretrained(tmp_path / "theirs", output_loading_info=True)
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
    keras_vit.export_weights(model, tmp_path / "model.safetensors", target="huggingface")
    again, report = ViTModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    for name, weight in source.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], weight, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("family", "changed", "message"),
    [
        ("vit", {"num_attention_heads": 2}, "it says num_heads=2 in its config.json.*num_heads=4"),
        ("vit", {"layer_norm_eps": 1e-2}, "it says epsilon=0.01 in its config.json"),
        ("vit", {"hidden_act": "gelu_new"}, "config.json says activation='gelu_tanh'"),
        ("vit", {"hidden_act": "laplace"}, "hidden_act='laplace', which no model here"),
        ("bit", {"num_groups": 8}, "it says groups=8 in its config.json.*groups=4"),
        ("bit", {"global_padding": "same"}, r"global_padding='SAME' \(here None\)"),
        ("bit", {"hidden_act": "silu"}, r"hidden_act='silu' \(here 'relu'\)"),
        ("bit", {"embedding_dynamic_padding": True}, "embedding_dynamic_padding=True"),
        ("bit", {"output_stride": 4}, r"output_stride=4 \(here 8\)"),
    ],
)
def test_another_configuration_is_refused_where_transformers_computes_something_else(
    rng, tmp_path, family, changed, message
):
    """The same weights under the same names and in the same shapes, and other logits."""
    if family == "vit":
        model = keras_vit.VisionTransformer(**VIT, activation="gelu")
        config, theirs_class = vit_config, ViTForImageClassification
    else:
        model, config, theirs_class = keras_vit.ResNet(**BIT), bit_config, BitForImageClassification
    source = randomised(theirs_class(config()))
    other = theirs_class(config(**changed)).eval()
    other.load_state_dict(source.state_dict())
    images = rng.normal(size=(2, *model.input_shape[1:])).astype("float32")
    assert np.abs(theirs(alike(other), images) - theirs(source, images)).max() > 1e-4
    other.save_pretrained(tmp_path)
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        keras_vit.load_weights(model, tmp_path)
    for old, new in zip(before, model.get_weights()):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    ("changed", "argument"), [({"num_attention_heads": 2}, "num_heads"), ({}, None)]
)
def test_a_model_by_name_takes_the_configurations_epsilon_but_not_its_heads(
    rng, tmp_path, changed, argument
):
    """What is called ViT-S/4 has the heads of one, unless they are asked for."""
    source = randomised(ViTForImageClassification(vit_config(layer_norm_eps=1e-3, **changed)))
    source.save_pretrained(tmp_path)
    sizes = {key: VIT[key] for key in ("num_layers", "hidden_size", "mlp_dim", "num_heads")}
    shape, classes = VIT["input_shape"], VIT["classes"]
    if argument:
        with pytest.raises(ValueError, match="build the model with num_heads=2"):
            keras_vit.create_model("ViT-S/4", shape, classes, weights=tmp_path, **sizes)
        sizes["num_heads"] = 2
    model = keras_vit.create_model("ViT-S/4", shape, classes, weights=tmp_path, **sizes)
    images = rng.normal(size=(2, *shape)).astype("float32")
    np.testing.assert_allclose(files.outputs(model, images), theirs(source, images), atol=1e-5)


def test_another_poolers_activation_matters_where_the_pooler_is_loaded(tmp_path):
    randomised(ViTModel(vit_config(pooler_act="relu"))).save_pretrained(tmp_path)
    whole = {**VIT, "classes": None, "activation": "gelu"}
    model = keras_vit.VisionTransformer(**whole, representation_size=16)
    with pytest.raises(ValueError, match=r"pooler_act='relu' \(here 'tanh'\), which no model"):
        keras_vit.load_weights(model, tmp_path)
    keras_vit.load_weights(keras_vit.VisionTransformer(**whole), tmp_path, head="replace")


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
