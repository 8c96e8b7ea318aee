"""transformers' safetensors files: ViT and BiT.

The tables use the names of published files and of `save_pretrained`, without the prefix `vit.` or
`bit.` that models with a head put before them. A live `state_dict` of transformers 5 calls the
blocks' layers otherwise; both are read.

Reference: huggingface/transformers, models/vit and models/bit.
"""

import re

from keras_vit.weights.huggingface_configuration import (
    activation_name,
    bit_configuration,
    described_bit,
    described_vit,
    vit_configuration,
)
from keras_vit.weights.pytorch import LAYOUTS, LEAVES, unit_rules
from keras_vit.weights.rules import POSITION, Format, Rule

_BLOCK = "encoder.layer.{i}"
VIT_RULES = (
    Rule("patch_embedding/projection", "embeddings.patch_embeddings.projection", "patches"),
    Rule("class_token/class_token", "embeddings.cls_token", "whole"),
    Rule(POSITION, "embeddings.position_embeddings", "whole"),
    Rule("block_{i}/attention_norm", f"{_BLOCK}.layernorm_before", "norm"),
    Rule("block_{i}/attention/query", f"{_BLOCK}.attention.attention.query"),
    Rule("block_{i}/attention/key", f"{_BLOCK}.attention.attention.key"),
    Rule("block_{i}/attention/value", f"{_BLOCK}.attention.attention.value"),
    Rule("block_{i}/attention/output", f"{_BLOCK}.attention.output.dense"),
    Rule("block_{i}/mlp_norm", f"{_BLOCK}.layernorm_after", "norm"),
    Rule("block_{i}/mlp/hidden", f"{_BLOCK}.intermediate.dense"),
    Rule("block_{i}/mlp/output", f"{_BLOCK}.output.dense"),
    Rule("encoder_norm", "layernorm", "norm"),
    Rule("pre_logits", "pooler.dense"),
    Rule("head", "classifier"),
)

BIT_RULES = (
    Rule("root_conv", "embedder.convolution", "convolution"),
    *unit_rules("stage{s}_unit{u}", "encoder.stages.{s0}.layers.{u0}"),
    Rule("final_norm", "norm", "norm"),
    Rule("head", "classifier.1"),
)

# transformers 5's names inside a block, and the published ones
_LIVE_NAMES = {
    "attention.q_proj": "attention.attention.query",
    "attention.k_proj": "attention.attention.key",
    "attention.v_proj": "attention.attention.value",
    "attention.o_proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
_LIVE = re.compile(r"(?:encoder\.)?layers?\.(\d+)\.(.+)\.(weight|bias)")


def _canonical_vit(arrays):
    result = {}
    for name in arrays:
        published = name.removeprefix("vit.")
        if match := _LIVE.fullmatch(published):
            layer = _LIVE_NAMES.get(match[2], match[2])
            published = f"encoder.layer.{match[1]}.{layer}.{match[3]}"
        result[published] = (name, arrays[name])
    return result


def _canonical_bit(arrays):
    return {name.removeprefix("bit."): (name, arrays[name]) for name in arrays}


def _with_prefix(prefix):
    def exported(name, config):
        bare = config["classes"] is None or name.startswith("classifier.")
        return name if bare else f"{prefix}.{name}"

    return exported


def _vit_obstacle(config):
    if config["stem_block_counts"] is not None:
        return "transformers has no hybrids (any more)"
    if config["classifier"] != "token":
        return "transformers' ViT classifies by the class token only"
    if config["position_embedding"] != "learned":
        return "transformers' ViT has learned position embeddings only"
    if config["representation_size"] is not None and config["classes"] is not None:
        return "transformers' ViT has no representation layer below a head"
    return None


def _bit_obstacle(config):
    if config["stem"] != "imagenet":
        return f"transformers' BiT has no {config['stem']!r} stem"
    return None if config["bottleneck"] else "transformers' BiT has bottleneck units only"


def _vit_differences(config):
    if activation_name(config["activation"]) is not None:
        return []
    return [f"it has no activation {config['activation']!r} and takes its own, 'gelu'"]


def _bit_differences(config):
    found = ["transformers' standardised convolutions have epsilon 1e-8 (here 1e-10)"]
    if config["epsilon"] != 1e-5:
        found.append(f"the epsilon of its GroupNorms is 1e-05 (here {config['epsilon']:g})")
    return found


HUGGINGFACE_VIT = Format(
    source="huggingface",
    family="vit",
    rules=VIT_RULES,
    leaves=LEAVES,
    layouts=LAYOUTS,
    recognises=lambda names: any(
        name.removeprefix("vit.") == "embeddings.patch_embeddings.projection.weight"
        for name in names
    ),
    canonical=_canonical_vit,
    exported=_with_prefix("vit"),
    activation="gelu",
    epsilon=1e-12,
    obstacle=_vit_obstacle,
    differences=_vit_differences,
    described=described_vit,
    configuration=vit_configuration,
)

HUGGINGFACE_BIT = Format(
    source="huggingface",
    family="resnet",
    rules=BIT_RULES,
    leaves=LEAVES,
    layouts=LAYOUTS,
    recognises=lambda names: any(
        name.removeprefix("bit.") == "embedder.convolution.weight" for name in names
    ),
    canonical=_canonical_bit,
    exported=_with_prefix("bit"),
    epsilon=1e-5,
    obstacle=_bit_obstacle,
    differences=_bit_differences,
    described=described_bit,
    configuration=bit_configuration,
)
