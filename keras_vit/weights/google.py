"""The authors' .npz files: vit_jax, big_vision and BiT.

The tables name weights as the published files do. Newer Flax code numbers a block's layers
otherwise, big_vision keeps the position embedding at the top and may stack all blocks along a
leading axis; `_canonical_vit` translates these into the published names.

References: google-research/vision_transformer (vit_jax/models_vit.py, checkpoint.py),
google-research/big_vision (models/vit.py, models/bit_paper.py), google-research/big_transfer.
"""

import re

from keras_vit.weights.rules import (
    HEADS_IN,
    HEADS_OUT,
    PATCHES,
    POINTWISE,
    POSITION,
    Format,
    Rule,
)

_BLOCK = "Transformer/encoderblock_{i}"
_ATTENTION = f"{_BLOCK}/MultiHeadDotProductAttention_1"
_POOLING = "MAPHead_0/MultiHeadDotProductAttention_0"
_UNIT = "stem_stage{s}_unit{u}"

VIT_RULES = (
    Rule("patch_embedding/projection", "embedding", "patches"),
    Rule("class_token/class_token", "cls", "whole"),
    Rule(POSITION, "Transformer/posembed_input/pos_embedding", "whole"),
    Rule("block_{i}/attention_norm", f"{_BLOCK}/LayerNorm_0"),
    Rule("block_{i}/attention/query", f"{_ATTENTION}/query", "heads out"),
    Rule("block_{i}/attention/key", f"{_ATTENTION}/key", "heads out"),
    Rule("block_{i}/attention/value", f"{_ATTENTION}/value", "heads out"),
    Rule("block_{i}/attention/output", f"{_ATTENTION}/out", "heads in"),
    Rule("block_{i}/mlp_norm", f"{_BLOCK}/LayerNorm_2"),
    Rule("block_{i}/mlp/hidden", f"{_BLOCK}/MlpBlock_3/Dense_0"),
    Rule("block_{i}/mlp/output", f"{_BLOCK}/MlpBlock_3/Dense_1"),
    Rule("encoder_norm", "Transformer/encoder_norm"),
    Rule("pooling/probe", "MAPHead_0/probe", "whole"),
    Rule("pooling/attention/query", f"{_POOLING}/query", "heads out"),
    Rule("pooling/attention/key", f"{_POOLING}/key", "heads out"),
    Rule("pooling/attention/value", f"{_POOLING}/value", "heads out"),
    Rule("pooling/attention/output", f"{_POOLING}/out", "heads in"),
    Rule("pooling/norm", "MAPHead_0/LayerNorm_0"),
    Rule("pooling/mlp/hidden", "MAPHead_0/MlpBlock_0/Dense_0"),
    Rule("pooling/mlp/output", "MAPHead_0/MlpBlock_0/Dense_1"),
    Rule("pre_logits", "pre_logits"),
    Rule("head", "head"),
    Rule("stem_conv", "conv_root"),
    Rule("stem_norm", "gn_root"),
    *(Rule(f"{_UNIT}/conv{n}", f"block{{s}}/unit{{u}}/conv{n}") for n in (1, 2, 3)),
    *(Rule(f"{_UNIT}/norm{n}", f"block{{s}}/unit{{u}}/gn{n}") for n in (1, 2, 3)),
    Rule(f"{_UNIT}/projection", "block{s}/unit{u}/conv_proj"),
    Rule(f"{_UNIT}/projection_norm", "block{s}/unit{u}/gn_proj"),
)

_BIT_UNIT = "resnet/block{s}/unit{u2}"
BIT_RULES = (
    Rule("root_conv", "resnet/root_block/standardized_conv2d"),
    *(
        Rule(f"stage{{s}}_unit{{u}}/conv{n}", f"{_BIT_UNIT}/{letter}/standardized_conv2d")
        for n, letter in enumerate("abc", 1)
    ),
    *(
        Rule(f"stage{{s}}_unit{{u}}/norm{n}", f"{_BIT_UNIT}/{letter}/group_norm")
        for n, letter in enumerate("abc", 1)
    ),
    Rule("stage{s}_unit{u}/projection", f"{_BIT_UNIT}/a/proj/standardized_conv2d"),
    Rule("final_norm", "resnet/group_norm"),
    Rule("head", "resnet/head/conv2d", "pointwise"),
)

# Training checkpoints keep the parameters under a prefix, beside the optimizer's state or a text
# tower, which are left out.
_PREFIXES = ("opt/target/", "params/img/", "params/", "img/", "target/", "")
_BLOCK_NAMES = {
    "MultiHeadDotProductAttention_0": "MultiHeadDotProductAttention_1",
    "LayerNorm_1": "LayerNorm_2",
    "MlpBlock_0": "MlpBlock_3",
}


def _canonical_vit(arrays):
    result = {}
    for name, origin in _below_prefix(arrays, "embedding/kernel").items():
        if match := re.fullmatch(r"Transformer/encoderblock/(.+)", name):
            stacked = arrays[origin]  # (blocks, ...)
            for index in range(len(stacked)):
                block = f"Transformer/encoderblock_{index}/{match[1]}"
                result[_published_name(block)] = (f"{origin}[{index}]", stacked[index])
            continue
        array = arrays[origin]
        if re.search(r"(^|/)gn(\d|_root|_proj)/", name):
            array = array.reshape(-1)  # older files have (1, 1, 1, C)
        result[_published_name(name)] = (origin, array)
    return result


def _published_name(name):
    if match := re.fullmatch(r"(Transformer/encoderblock_\d+)/([^/]+)(/.+)", name):
        return f"{match[1]}/{_BLOCK_NAMES.get(match[2], match[2])}{match[3]}"
    if name in ("pos_embedding", "Transformer/pos_embedding"):
        return "Transformer/posembed_input/pos_embedding"
    # Early models with attention pooling had its layers at the top.
    if re.match(r"probe$|(MlpBlock|MultiHeadDotProductAttention|LayerNorm)_0/", name):
        return f"MAPHead_0/{name}"
    return name


def _canonical_bit(arrays):
    names = list(arrays)
    if any("resnet/root_block/" in name for name in names):
        below = _below_prefix(arrays, "resnet/root_block/")
        return {
            re.sub(r"/standardized_conv2d_\d+/", "/standardized_conv2d/", name): (
                origin,
                _flat_norm(name, arrays[origin]),
            )
            for name, origin in below.items()
        }
    below = _below_prefix(arrays, "root_block/")
    return {
        _transfer_name(name): (origin, _transfer_array(name, arrays[origin]))
        for name, origin in below.items()
    }


def _transfer_name(name):
    """big_vision's name of a BiT weight in big_transfer's naming."""
    leaf = {"scale": "gamma", "bias": "beta"}
    if match := re.fullmatch(r"(block\d+/unit\d+)/(conv|gn)(\d)/(.+)", name):
        unit, kind, number, last = match.groups()
        root = f"resnet/{unit}/{'abc'[int(number) - 1]}"
        if kind == "conv":
            return f"{root}/standardized_conv2d/{last}"
        return f"{root}/group_norm/{leaf.get(last, last)}"
    if match := re.fullmatch(r"(block\d+/unit\d+)/conv_proj/(.+)", name):
        return f"resnet/{match[1]}/a/proj/standardized_conv2d/{match[2]}"
    if match := re.fullmatch(r"norm-pre-head/(.+)", name):
        return f"resnet/group_norm/{leaf.get(match[1], match[1])}"
    if match := re.fullmatch(r"(?:conv_)?head/(.+)", name):
        return f"resnet/head/conv2d/{match[1]}"
    return {"root_block/conv_root/kernel": "resnet/root_block/standardized_conv2d/kernel"}.get(
        name, name
    )


def _transfer_array(name, array):
    if re.fullmatch(r"(conv_)?head/kernel", name):
        return array[None, None] if array.ndim == 2 else array
    return _flat_norm(name, array)


def _flat_norm(name, array):
    norm = re.search(r"/gn\d/|norm-pre-head/|group_norm/", name)
    return array.reshape(-1) if norm else array


def _below_prefix(arrays, mark):
    """Returns {name below the parameters' prefix: name in the file}."""
    names = list(arrays)
    prefix = next(p for p in _PREFIXES if any(name.startswith(p + mark) for name in names))
    return {name.removeprefix(prefix): name for name in names if name.startswith(prefix)}


def _is_vit(names):
    paths = [name for name in names if name.endswith("embedding/kernel")]
    known = any(path == f"{prefix}embedding/kernel" for path in paths for prefix in _PREFIXES)
    return known and any("Transformer/" in name for name in names)


def _is_bit(names):
    return any(
        name.startswith((f"{prefix}resnet/root_block/", f"{prefix}root_block/conv_root/"))
        for name in names
        for prefix in _PREFIXES
    )


def _vit_differences(config):
    found = []
    if config["activation"] != "gelu_tanh":
        found.append(f"its activation is 'gelu_tanh' (here {config['activation']!r})")
    if config["epsilon"] != 1e-6:
        found.append(f"its epsilon is 1e-06 (here {config['epsilon']:g})")
    if config["classifier"] == "map":
        found.append("vit_jax has no attention pooling (big_vision has)")
    if config["position_embedding"] == "none":
        found.append(
            "big_vision adds sines and cosines where a file has no position embeddings (vit_jax's "
            "model must be built with add_position_embedding=False)"
        )
    if config["position_embedding"] == "sincos2d":
        found.append("vit_jax adds no sines and cosines (big_vision's posemb='sincos2d' does)")
    return found


def _bit_obstacle(config):
    if config["stem"] != "imagenet":
        return f"the authors' BiT has no {config['stem']!r} stem"
    return None if config["bottleneck"] else "the authors' BiT has bottleneck units only"


def _bit_differences(config):
    found = []
    if config["groups"] != 32:
        found.append(f"the authors' GroupNorm has 32 groups (here {config['groups']})")
    if config["epsilon"] != 1e-5:
        found.append(f"its epsilon is 1e-05 (here {config['epsilon']:g})")
    return found


_HEADS_OUT = {"kernel": HEADS_OUT, "bias": HEADS_OUT}

GOOGLE_VIT = Format(
    source="google",
    family="vit",
    title="the authors' ViT",
    rules=VIT_RULES,
    leaves={"kernel": "kernel", "bias": "bias", "gamma": "scale", "beta": "bias"},
    layouts={
        "patches": {"kernel": PATCHES},
        "heads out": _HEADS_OUT,
        "heads in": {"kernel": HEADS_IN},
    },
    recognises=_is_vit,
    canonical=_canonical_vit,
    separator="/",
    activation="gelu_tanh",
    epsilon=1e-6,
    differences=_vit_differences,
)

GOOGLE_BIT = Format(
    source="google",
    family="resnet",
    title="the authors' BiT",
    rules=BIT_RULES,
    leaves={"kernel": "kernel", "bias": "bias", "gamma": "gamma", "beta": "beta"},
    layouts={"pointwise": {"kernel": POINTWISE}},
    recognises=_is_bit,
    canonical=_canonical_bit,
    separator="/",
    epsilon=1e-5,
    obstacle=_bit_obstacle,
    differences=_bit_differences,
)
