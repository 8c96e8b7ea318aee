"""transformers' safetensors files: ViT and those that share its names, DINOv2, and BiT.

The tables use the names of published files and of `save_pretrained`, without the prefix (`vit.`,
`dinov2.`, ...) that models with a head put before them. A live `state_dict` of transformers 5 calls
the blocks' layers otherwise; both are read.

Reference: huggingface/transformers, models/vit, deit, ijepa, vit_mae, vit_msn, dinov2,
dinov2_with_registers and bit.
"""

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from keras_vit.weights.huggingface_configuration import (
    activation_name,
    bit_configuration,
    deit_configuration,
    described_bit,
    described_dinov2,
    described_vit,
    dinov2_configuration,
    dinov2_mlp_ratio,
    ijepa_configuration,
    vit_configuration,
)
from keras_vit.weights.pytorch import (
    LAYOUTS,
    LEAVES,
    fold_class_position,
    pack,
    split_packed,
    unit_rules,
)
from keras_vit.weights.rules import GATED, PLAIN, POSITION, Format, Rule

_EMBEDDINGS = (
    Rule("patch_embedding/projection", "embeddings.patch_embeddings.projection", "patches"),
    Rule("class_token/class_token", "embeddings.cls_token", "whole"),
    Rule("distillation_token/class_token", "embeddings.distillation_token", "whole"),
    Rule("registers/registers", "embeddings.register_tokens", "whole"),
    Rule(POSITION, "embeddings.position_embeddings", "whole"),
)
_BLOCK = "encoder.layer.{i}"
_ATTENTION = (
    Rule("block_{i}/attention/query", f"{_BLOCK}.attention.attention.query"),
    Rule("block_{i}/attention/key", f"{_BLOCK}.attention.attention.key"),
    Rule("block_{i}/attention/value", f"{_BLOCK}.attention.attention.value"),
    Rule("block_{i}/attention/output", f"{_BLOCK}.attention.output.dense"),
)
_TOP = (Rule("encoder_norm", "layernorm", "norm"), Rule("pre_logits", "pooler.dense"))

VIT_RULES = (
    *_EMBEDDINGS,
    Rule("block_{i}/attention_norm", f"{_BLOCK}.layernorm_before", "norm"),
    *_ATTENTION,
    Rule("block_{i}/mlp_norm", f"{_BLOCK}.layernorm_after", "norm"),
    Rule("block_{i}/mlp/hidden", f"{_BLOCK}.intermediate.dense"),
    Rule("block_{i}/mlp/output", f"{_BLOCK}.output.dense"),
    *_TOP,
    Rule("head", "classifier"),
    Rule("distillation_head", "distillation_classifier"),
)

DINOV2_RULES = (
    *_EMBEDDINGS,
    Rule("block_{i}/attention_norm", f"{_BLOCK}.norm1", "norm"),
    *_ATTENTION,
    Rule("block_{i}/attention_scale/scale", f"{_BLOCK}.layer_scale1.lambda1", "whole"),
    Rule("block_{i}/mlp_norm", f"{_BLOCK}.norm2", "norm"),
    Rule("block_{i}/mlp/gate", f"{_BLOCK}.mlp.gate_proj"),
    Rule("block_{i}/mlp/hidden", f"{_BLOCK}.mlp.fc1"),
    Rule("block_{i}/mlp/output", f"{_BLOCK}.mlp.fc2"),
    Rule("block_{i}/mlp_scale/scale", f"{_BLOCK}.layer_scale2.lambda1", "whole"),
    *_TOP,
    Rule("head", "classifier"),
)

BIT_RULES = (
    Rule("root_conv", "embedder.convolution", "convolution"),
    *unit_rules("stage{s}_unit{u}", "encoder.stages.{s0}.layers.{u0}"),
    Rule("final_norm", "norm", "norm"),
    Rule("head", "classifier.1"),
)

# transformers 5's names inside a block, and the published ones
_LIVE_ATTENTION = {
    "attention.q_proj": "attention.attention.query",
    "attention.k_proj": "attention.attention.key",
    "attention.v_proj": "attention.attention.value",
    "attention.o_proj": "attention.output.dense",
}
_GATED_MLP = {
    "mlp.up_proj": "mlp.fc1",
    "mlp.down_proj": "mlp.fc2",
    "mlp.weights_out": "mlp.fc2",  # as published, where the gate stands in front of the rest
}
_PACKED = re.compile(r"(.*\.mlp)\.weights_in\.(weight|bias)")
_LIVE_MLP = {"mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense"}
_LIVE = re.compile(r"(?:encoder\.)?layers?\.(\d+)\.(.+)\.(weight|bias|lambda1)")

# What a checkpoint holds for pre-training, and no forward pass of a finished model reads
_UNUSED = ("embeddings.mask_token",)
_PREFIXES = ("vit.", "deit.", "ijepa.", "dinov2.", "dinov2_with_registers.")


def _canonical(live_names):
    def canonical(arrays):
        result = {}
        for name in arrays:
            published = _bare(name)
            if match := _LIVE.fullmatch(published):
                layer = live_names.get(match[2], match[2])
                published = f"encoder.layer.{match[1]}.{layer}.{match[3]}"
            if published not in _UNUSED:
                published = re.sub(r"^cls_classifier\.", "classifier.", published)
                result[published] = (name, arrays[name])
        return result

    return canonical


def _unread(names):
    """Below a classifier, which is on the tokens themselves, no pooler is computed."""
    pooled = [name for name in names if name.startswith("pooler.")]
    return pooled if "classifier.weight" in names else []


def _bare(name):
    prefix = next((prefix for prefix in _PREFIXES if name.startswith(prefix)), "")
    return name.removeprefix(prefix)


def _canonical_dinov2(arrays):
    result = _canonical(_LIVE_ATTENTION | _GATED_MLP)(arrays)
    for match in [match for name in result if (match := _PACKED.fullmatch(name))]:
        parts = [f"{match[1]}.{part}.{match[2]}" for part in ("gate_proj", "fc1")]
        split_packed(result, match[0], parts)
    return result


def _canonical_with_registers(arrays):
    result = _canonical_dinov2(arrays)
    fold_class_position(result, "embeddings.cls_token", "embeddings.position_embeddings")
    return result


def _canonical_bit(arrays):
    return {name.removeprefix("bit."): (name, arrays[name]) for name in arrays}


def _with_prefix(prefix):
    def exported(name, config):
        bare = config["classes"] is None or "classifier." in name
        return name if bare else f"{prefix}.{name}"

    return exported


def first_reason(*reasons: tuple[Callable[[dict], bool], str]):
    """Returns the first reason that holds for a model's arguments, or None."""

    def obstacle(config):
        return next((reason for holds, reason in reasons if holds(config)), None)

    return obstacle


_PLAIN = (
    (lambda c: c["stem_block_counts"] is not None, "transformers has no hybrids (any more)"),
    (lambda c: c["position_embedding"] != "learned", "it has learned position embeddings only"),
    (
        lambda c: c["representation_size"] is not None and c["classes"] is not None,
        "it has no representation layer below a head",
    ),
    (lambda c: c["pre_norm"], "it has no norm before the blocks"),
    (
        lambda c: not isinstance(c["qkv_bias"], bool),
        "its queries, keys and values all have a bias, or none has",
    ),
    (lambda c: not c["patch_bias"], "its patches have a bias"),
    (lambda c: c["final_norm"] != "before", "its last norm stands before the pooling"),
)
_NO_SCALE = (lambda c: c["layer_scale"] is not None, "it has no LayerScale")
_SLOTS = (lambda c: not c["class_slot"], "all of its tokens have position embeddings")
_NO_REGISTERS = (lambda c: c["registers"] > 0, "it has no registers")
_NOT_DISTILLED = (lambda c: c["distilled"], "it has no distillation token")


def _classifier(*allowed):
    """The pooling below a head; without a head, the class token must be there to be read."""
    words = {"token": "the class token", "gap": "the mean of the patches"}
    words |= {"distilled": "two heads", "token_gap": "the class token beside the mean"}
    text = f"it classifies by {' or '.join(words[name] for name in allowed)} only"
    return (lambda c: c["classifier"] not in allowed, text)


_VIT_OBSTACLE = first_reason(
    *_PLAIN, _classifier("token"), _NO_SCALE, _NO_REGISTERS, _NOT_DISTILLED, _SLOTS
)
_DEIT_OBSTACLE = first_reason(
    *_PLAIN,
    (lambda c: not c["distilled"], "it has a distillation token"),
    _classifier("token", "distilled"),
    *(_NO_SCALE, _NO_REGISTERS, _SLOTS),
)
_IJEPA_OBSTACLE = first_reason(
    *_PLAIN,
    (lambda c: c["class_token"], "it has no class token"),
    _classifier("gap"),
    *(_NO_SCALE, _NO_REGISTERS, _NOT_DISTILLED),
)
_DINOV2_REASONS = (
    *_PLAIN,
    (lambda c: c.get("inner_norms"), "it has no norms inside attention and MLP"),
    (
        lambda c: c.get("gated") and c["activation"] != "silu",
        "its gates have the activation 'silu'",
    ),
    (lambda c: c["layer_scale"] is None, "it has LayerScale"),
    (
        lambda c: dinov2_mlp_ratio(c) is None,
        "its MLPs are a whole number of times as wide as its tokens, two thirds of it if gated",
    ),
    (
        lambda c: c["classifier"] != ("token" if c["classes"] is None else "token_gap"),
        "it classifies by the class token beside the mean only",
    ),
    _NOT_DISTILLED,
)


def _complete(arrays, config):
    """Adds the mask token, and the class token's position embedding where it is in the token."""
    arrays = _packed_gates(dict(arrays)) if config.get("gated") else dict(arrays)
    name = next(name for name in arrays if name.endswith("embeddings.cls_token"))
    token = arrays[name]
    root = name.removesuffix("cls_token")
    arrays[f"{root}mask_token"] = np.zeros_like(token[0])
    if not config["class_slot"]:
        positions = arrays[f"{root}position_embeddings"]
        arrays[f"{root}position_embeddings"] = np.concatenate(
            [np.zeros_like(positions[:, :1]), positions], axis=1
        )
    return arrays


def _packed_gates(arrays):
    for gate in [name for name in arrays if ".mlp.gate_proj." in name]:
        hidden, output = (gate.replace("gate_proj", part) for part in ("fc1", "fc2"))
        pack(arrays, gate.replace("gate_proj", "weights_in"), (gate, hidden))
        arrays[gate.replace("gate_proj", "weights_out")] = arrays.pop(output)
    return arrays


def _with_two_heads(name, config):
    if config["classifier"] == "distilled" and name.startswith("classifier."):
        name = f"cls_{name}"
    return _with_prefix("deit")(name, config)


def _bit_obstacle(config):
    if config["stem"] != "imagenet":
        return f"transformers' BiT has no {config['stem']!r} stem"
    return None if config["bottleneck"] else "transformers' BiT has bottleneck units only"


def activation_differences(config):
    """Says where transformers has no activation like the model's."""
    if activation_name(config["activation"]) is not None:
        return []
    return [f"it has no activation {config['activation']!r} and takes its own, 'gelu'"]


def _bit_differences(config):
    found = ["transformers' standardised convolutions have epsilon 1e-8 (here 1e-10)"]
    if config["epsilon"] != 1e-5:
        found.append(f"the epsilon of its GroupNorms is 1e-05 (here {config['epsilon']:g})")
    return found


def _recognises(wanted: tuple[str, ...] = (), unwanted: tuple[str, ...] = ()):
    """Recognises the names of a ViT by others that must be there, or must not."""

    def recognises(names):
        bare = {_bare(name) for name in names}
        return (
            "embeddings.patch_embeddings.projection.weight" in bare
            and all(any(name.endswith(end) for name in bare) for end in wanted)
            and not any(name.endswith(end) for name in bare for end in unwanted)
        )

    return recognises


HUGGINGFACE_VIT = Format(
    source="huggingface",
    family="vit",
    title="transformers' ViT",
    rules=VIT_RULES,
    leaves=LEAVES,
    layouts=LAYOUTS,
    recognises=_recognises(),
    canonical=_canonical(_LIVE_ATTENTION | _LIVE_MLP),
    unread=_unread,
    exported=_with_prefix("vit"),
    activation="gelu",
    interpolation="bicubic",
    epsilon=1e-12,
    obstacle=_VIT_OBSTACLE,
    differences=activation_differences,
    described=described_vit,
    configuration=vit_configuration,
)

HUGGINGFACE_DEIT = replace(
    HUGGINGFACE_VIT,
    title="transformers' DeiT",
    recognises=_recognises(("embeddings.distillation_token",)),
    exported=_with_two_heads,
    obstacle=_DEIT_OBSTACLE,
    configuration=deit_configuration,
)

HUGGINGFACE_IJEPA = replace(
    HUGGINGFACE_VIT,
    title="transformers' I-JEPA",
    recognises=_recognises(unwanted=("embeddings.cls_token", ".norm1.weight")),
    exported=_with_prefix("ijepa"),
    obstacle=_IJEPA_OBSTACLE,
    configuration=ijepa_configuration,
)

HUGGINGFACE_DINOV2 = replace(
    HUGGINGFACE_VIT,
    title="transformers' DINOv2",
    rules=DINOV2_RULES,
    recognises=_recognises((".layer_scale1.lambda1",)),
    canonical=_canonical_dinov2,
    exported=_with_prefix("dinov2"),
    epsilon=1e-6,
    blocks=(PLAIN, GATED),
    obstacle=first_reason(_NO_REGISTERS, *_DINOV2_REASONS),
    described=described_dinov2,
    configuration=dinov2_configuration,
    completed=_complete,
)

HUGGINGFACE_DINOV2_WITH_REGISTERS = replace(
    HUGGINGFACE_DINOV2,
    title="transformers' DINOv2 with registers",
    recognises=_recognises(("embeddings.register_tokens",)),
    canonical=_canonical_with_registers,
    exported=_with_prefix("dinov2_with_registers"),
    interpolation="bicubic_antialias",
    obstacle=first_reason(
        (lambda c: c["registers"] == 0, "it has registers"),
        (lambda c: c["class_slot"], "its registers have no position embeddings"),
        *_DINOV2_REASONS,
    ),
)

HUGGINGFACE_BIT = Format(
    source="huggingface",
    family="resnet",
    title="transformers' BiT",
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
