"""Errors do not pile up: one narrow model of full depth for each family of checkpoints."""

import pytest
import transformers as hf

import keras_vit
from tests.keras_vit.weights import eva_reference as eva
from tests.keras_vit.weights import files, oracles
from tests.keras_vit.weights import timm_reference as timm
from tests.keras_vit.weights.test_from_timm import config_of, write

DEPTH = 12
SIZES = {**oracles.sizes(image_size=12), "num_hidden_layers": DEPTH}
WITHOUT_RATIO = {name: value for name, value in SIZES.items() if name != "intermediate_size"}
# model class, configuration, the output that ours is
FAMILIES = {
    "vit": (hf.ViTForImageClassification, hf.ViTConfig(**SIZES), "logits"),
    "distilled deit": (
        hf.DeiTForImageClassificationWithTeacher,
        hf.DeiTConfig(**SIZES),
        "logits",
    ),
    "i-jepa": (hf.IJepaForImageClassification, hf.IJepaConfig(**SIZES), "logits"),
    "siglip": (hf.SiglipVisionModel, hf.SiglipVisionConfig(**SIZES), "pooler_output"),
    "clip": (hf.CLIPVisionModel, hf.CLIPVisionConfig(**SIZES), "pooler_output"),
    "dinov2 giant": (
        hf.Dinov2Model,
        hf.Dinov2Config(**WITHOUT_RATIO, use_swiglu_ffn=True),
        "pooler_output",
    ),
    "dinov3": (
        hf.DINOv3ViTModel,
        hf.DINOv3ViTConfig(**SIZES, num_register_tokens=4),
        "pooler_output",
    ),
}
TIMM = (
    *("vit_small_patch14_reg4_dinov2", "deit3_base_patch16_224"),
    *("vit_medium_patch16_reg4_gap_256", "eva02_base_patch14_448", "flexivit_base"),
)


@pytest.mark.parametrize("family", FAMILIES)
def test_transformers(rng, tmp_path, family):
    kind, config, field = FAMILIES[family]
    theirs = oracles.saved(kind(config), tmp_path)
    with pytest.warns(UserWarning, match="how its images were prepared"):
        model = keras_vit.from_checkpoint(tmp_path)
    images = oracles.images(rng, 1, 12, 12, 3)
    expected = oracles.outputs(theirs, images, field)
    oracles.assert_close(files.outputs(model, images), expected, 1e-4)


@pytest.mark.parametrize("name", TIMM)
def test_timm(rng, tmp_path, name):
    kind = timm if name in timm.FAMILIES else eva
    made, run = kind.FAMILIES[name]
    arrays = kind.draw(rng, **made, depth=DEPTH)
    usual = "token" if kind is timm else "avg"
    args = {"num_heads": kind.HEADS, "global_pool": run.get("pooling", usual)}
    model = keras_vit.from_checkpoint(write(tmp_path, arrays, config_of(name, **args)))
    images = oracles.images(rng, 1, 12, 8, 3)
    expected = kind.forward(arrays, images, **run)
    oracles.assert_close(files.outputs(model, images), expected, 1e-4)
