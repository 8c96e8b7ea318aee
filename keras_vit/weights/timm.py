"""timm's safetensors files: ViT, the hybrids and BiT.

Reference: huggingface/pytorch-image-models, timm/models/vision_transformer.py,
vision_transformer_hybrid.py and resnetv2.py, timm/layers/attention_pool.py.
"""

from keras_vit.weights.pytorch import LAYOUTS, LEAVES, unit_rules
from keras_vit.weights.rules import POSITION, Format, Rule

_STEM = "patch_embed.backbone"
_UNIT = "stages.{s0}.blocks.{u0}"

VIT_RULES = (
    Rule("patch_embedding/projection", "patch_embed.proj", "patches"),
    Rule("class_token/class_token", "cls_token", "whole"),
    Rule("distillation_token/class_token", "dist_token", "whole"),
    Rule("registers/registers", "reg_token", "whole"),
    Rule(POSITION, "pos_embed", "whole"),
    Rule("pre_norm", "norm_pre", "norm"),
    Rule("block_{i}/attention_norm", "blocks.{i}.norm1", "norm"),
    Rule("block_{i}/attention/query", "blocks.{i}.attn.qkv", part=(0, 3)),
    Rule("block_{i}/attention/key", "blocks.{i}.attn.qkv", part=(1, 3)),
    Rule("block_{i}/attention/value", "blocks.{i}.attn.qkv", part=(2, 3)),
    Rule("block_{i}/attention/output", "blocks.{i}.attn.proj"),
    Rule("block_{i}/attention_scale/scale", "blocks.{i}.ls1.gamma", "whole"),
    Rule("block_{i}/mlp_norm", "blocks.{i}.norm2", "norm"),
    Rule("block_{i}/mlp/hidden", "blocks.{i}.mlp.fc1"),
    Rule("block_{i}/mlp/output", "blocks.{i}.mlp.fc2"),
    Rule("block_{i}/mlp_scale/scale", "blocks.{i}.ls2.gamma", "whole"),
    Rule("encoder_norm", "norm", "norm"),
    Rule("pooling_norm", "fc_norm", "norm"),
    Rule("pooling/probe", "attn_pool.latent", "whole"),
    Rule("pooling/attention/query", "attn_pool.q"),
    Rule("pooling/attention/key", "attn_pool.kv", part=(0, 2)),
    Rule("pooling/attention/value", "attn_pool.kv", part=(1, 2)),
    Rule("pooling/attention/output", "attn_pool.proj"),
    Rule("pooling/norm", "attn_pool.norm", "norm"),
    Rule("pooling/mlp/hidden", "attn_pool.mlp.fc1"),
    Rule("pooling/mlp/output", "attn_pool.mlp.fc2"),
    Rule("pre_logits", "pre_logits.fc"),
    Rule("head", "head"),
    Rule("distillation_head", "head_dist"),
    Rule("stem_conv", f"{_STEM}.stem.conv", "convolution"),
    Rule("stem_norm", f"{_STEM}.stem.norm", "norm"),
    *unit_rules("stem_stage{s}_unit{u}", f"{_STEM}.{_UNIT}"),
)

BIT_RULES = (
    Rule("root_conv", "stem.conv", "convolution"),
    *unit_rules("stage{s}_unit{u}", _UNIT),
    Rule("final_norm", "norm", "norm"),
    Rule("head", "head.fc", "pointwise"),
)


def _canonical_vit(arrays):
    # A hybrid without stages has its stem directly below the backbone.
    root_only = (f"{_STEM}.conv.", f"{_STEM}.norm.")
    result = {}
    for name in arrays:
        table_name = name
        if name.startswith(root_only):
            table_name = name.replace(f"{_STEM}.", f"{_STEM}.stem.")
        result[table_name] = (name, arrays[name])
    return result


def _exported_vit(name, config):
    if config["stem_block_counts"] == ():
        return name.replace(f"{_STEM}.stem.", f"{_STEM}.")
    return name


def _vit_obstacle(config):
    if config["representation_size"] is not None:
        return "timm's ViT has no representation layer"
    if config["position_embedding"] == "sincos2d":
        return "timm's ViT has learned position embeddings or none"
    return None


def _vit_differences(config):
    found = []
    if config["classifier"] == "gap":
        found.append(
            "timm normalises after averaging unless its model is built with fc_norm=False "
            "(and class_token=False, global_pool='avg')"
        )
    if config["classifier"] == "map":
        found.append("timm's model must be built with class_token=False, global_pool='map'")
    if config["position_embedding"] == "none":
        found.append("timm's model must be built with pos_embed='none'")
    if config["stem_block_counts"] is not None:
        found.append(
            "timm's stem has GroupNorm epsilon 1e-5 and divides kernels by "
            "sqrt(variance + 1e-8) (here 1e-6, and by standard deviation + 1e-5)"
        )
    return found


def _bit_obstacle(config):
    return None if config["stem"] == "imagenet" else f"timm's BiT has no {config['stem']!r} stem"


def _bit_differences(config):
    found = ["timm's standardised convolutions have epsilon 1e-8 (here 1e-10)"]
    if config["groups"] != 32:
        found.append(f"timm's GroupNorm has 32 groups (here {config['groups']})")
    return found


TIMM_VIT = Format(
    source="timm",
    family="vit",
    title="timm's ViT",
    rules=VIT_RULES,
    leaves=LEAVES,
    layouts=LAYOUTS,
    recognises=lambda names: "patch_embed.proj.weight" in names,
    canonical=_canonical_vit,
    exported=_exported_vit,
    activation="gelu",
    epsilon=1e-6,
    obstacle=_vit_obstacle,
    differences=_vit_differences,
)

TIMM_BIT = Format(
    source="timm",
    family="resnet",
    title="timm's BiT",
    rules=BIT_RULES,
    leaves=LEAVES,
    layouts=LAYOUTS,
    recognises=lambda names: "stem.conv.weight" in names and "norm.weight" in names,
    canonical=lambda arrays: {name: (name, arrays[name]) for name in arrays},
    epsilon=1e-5,
    obstacle=_bit_obstacle,
    differences=_bit_differences,
)
