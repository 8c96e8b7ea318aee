"""timm's safetensors files: ViT, the hybrids and BiT.

Reference: huggingface/pytorch-image-models, timm/models/vision_transformer.py,
vision_transformer_hybrid.py and resnetv2.py, timm/layers/attention_pool.py.
"""

import re

from keras_vit.weights.pytorch import (
    LAYOUTS,
    LEAVES,
    fold_class_position,
    pack,
    split_packed,
    unit_rules,
)
from keras_vit.weights.rules import GATED, PLAIN, POSITION, Format, Rule
from keras_vit.weights.timm_configuration import (
    activation_name,
    bit_configuration,
    described_bit,
    described_vit,
    vit_configuration,
)

_STEM = "patch_embed.backbone"
_UNIT = "stages.{s0}.blocks.{u0}"

TOP_RULES = (
    Rule("patch_embedding/projection", "patch_embed.proj", "patches"),
    Rule("class_token/class_token", "cls_token", "whole"),
    Rule("distillation_token/class_token", "dist_token", "whole"),
    Rule("registers/registers", "reg_token", "whole"),
    Rule(POSITION, "pos_embed", "whole"),
    Rule("pre_norm", "norm_pre", "norm"),
    Rule("encoder_norm", "norm", "norm"),
    Rule("pooling_norm", "fc_norm", "norm"),
    Rule("head", "head"),
)

VIT_RULES = (
    *TOP_RULES,
    Rule("block_{i}/attention_norm", "blocks.{i}.norm1", "norm"),
    Rule("block_{i}/attention/query", "blocks.{i}.attn.qkv", part=(0, 3)),
    Rule("block_{i}/attention/key", "blocks.{i}.attn.qkv", part=(1, 3)),
    Rule("block_{i}/attention/value", "blocks.{i}.attn.qkv", part=(2, 3)),
    Rule("block_{i}/attention/output", "blocks.{i}.attn.proj"),
    Rule("block_{i}/attention_scale/scale", "blocks.{i}.ls1.gamma", "whole"),
    Rule("block_{i}/mlp_norm", "blocks.{i}.norm2", "norm"),
    Rule("block_{i}/mlp/gate", "blocks.{i}.mlp.fc1_g"),  # in their files in front of fc1
    Rule("block_{i}/mlp/hidden", "blocks.{i}.mlp.fc1"),
    Rule("block_{i}/mlp/output", "blocks.{i}.mlp.fc2"),
    Rule("block_{i}/mlp_scale/scale", "blocks.{i}.ls2.gamma", "whole"),
    Rule("pooling/probe", "attn_pool.latent", "whole"),
    Rule("pooling/attention/query", "attn_pool.q"),
    Rule("pooling/attention/key", "attn_pool.kv", part=(0, 2)),
    Rule("pooling/attention/value", "attn_pool.kv", part=(1, 2)),
    Rule("pooling/attention/output", "attn_pool.proj"),
    Rule("pooling/norm", "attn_pool.norm", "norm"),
    Rule("pooling/mlp/hidden", "attn_pool.mlp.fc1"),
    Rule("pooling/mlp/output", "attn_pool.mlp.fc2"),
    Rule("pre_logits", "pre_logits.fc"),
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


# DINOv2's and TIPS' own names for what timm calls otherwise
_OWN_NAMES = {
    "register_tokens": "reg_token",
    ".mlp.c_fc.": ".mlp.fc1.",
    ".mlp.c_proj.": ".mlp.fc2.",
    ".mlp.w12.": ".mlp.fc1.",
    ".mlp.w3.": ".mlp.fc2.",
}
UNUSED = ("mask_token",)  # of the pre-training
_HIDDEN = re.compile(r"(blocks\.\d+\.mlp\.fc1)\.(weight|bias)")


def _canonical_vit(arrays):
    # A hybrid without stages has its stem directly below the backbone.
    root_only = (f"{_STEM}.conv.", f"{_STEM}.norm.")
    result = {}
    for name in arrays:
        table_name = name
        if name.startswith(root_only):
            table_name = name.replace(f"{_STEM}.", f"{_STEM}.stem.")
        for theirs, ours in _OWN_NAMES.items():
            table_name = table_name.replace(theirs, ours)
        if name not in UNUSED:
            result[table_name] = (name, arrays[name])
    split_gates(result)
    if "register_tokens" in arrays:
        fold_class_position(result, "cls_token", "pos_embed")
    return result


def split_gates(found: dict) -> None:
    """Takes the gates out of hidden layers that give twice what the output takes."""
    for match in [match for name in found if (match := _HIDDEN.fullmatch(name))]:
        output = found.get(f"{match[1][:-1]}2.weight")  # fc2
        if output and len(found[match[0]][1]) == 2 * output[1].shape[1]:
            split_packed(found, match[0], (f"{match[1]}_g.{match[2]}", match[0]))


def pack_gates(arrays: dict) -> dict:
    """Returns the arrays with the gates in front of their hidden layers."""
    arrays = dict(arrays)
    for match in [match for name in arrays if (match := _HIDDEN.fullmatch(name))]:
        if (gate := f"{match[1]}_g.{match[2]}") in arrays:
            pack(arrays, match[0], (gate, match[0]))
    return arrays


def _exported_vit(name, config):
    if config["stem_block_counts"] == ():
        return name.replace(f"{_STEM}.stem.", f"{_STEM}.")
    return name


def _vit_obstacle(config):
    if config["representation_size"] is not None:
        return "it has no representation layer"
    if config["position_embedding"] == "sincos2d":
        return "it has learned position embeddings or none"
    if config["classifier"] == "token_gap":
        return "it classifies by the class token or by the mean, not by both"
    if config["distilled"] and config["classifier"] != "distilled":
        return "with a distillation token it has two heads"
    if config["distilled"] and config["stem_block_counts"] is not None:
        return "its hybrids have no distillation token"
    if not isinstance(config["qkv_bias"], bool):
        return "its queries, keys and values all have a bias, or none has"
    if config.get("inner_norms"):
        return "it has no norms inside attention and MLP"
    if config["patch_bias"] == config["pre_norm"]:
        return "its patches have a bias just where no norm stands before the blocks"
    return None


def _vit_differences(config):
    found = []
    if activation_name(config["activation"]) is None:
        found.append(f"timm has no activation {config['activation']!r} and takes its own, 'gelu'")
    plain = not config["distilled"] and config["stem_block_counts"] is None
    if config["epsilon"] not in ((1e-6, 1e-5) if plain else (1e-6,)):
        found.append(f"timm's epsilon is 1e-06 (here {config['epsilon']:g})")
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
    if config["epsilon"] != 1e-5:
        found.append(f"the epsilon of timm's GroupNorms is 1e-05 (here {config['epsilon']:g})")
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
    interpolation="bicubic_antialias",
    epsilon=1e-6,
    blocks=(PLAIN, GATED),
    obstacle=_vit_obstacle,
    differences=_vit_differences,
    described=described_vit,
    configuration=vit_configuration,
    completed=lambda arrays, config: pack_gates(arrays),
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
    described=described_bit,
    configuration=bit_configuration,
)
