"""transformers' safetensors files of DINOv3.

Reference: huggingface/transformers, models/dinov3_vit.
"""

import numpy as np

from keras_vit.weights.huggingface import activation_differences, first_reason
from keras_vit.weights.huggingface_configuration import described_dinov3, dinov3_configuration
from keras_vit.weights.pytorch import LAYOUTS, LEAVES
from keras_vit.weights.rules import ROTARY, Format, Rule

_PATCHES = "embeddings.patch_embeddings"
_REGISTERS = "embeddings.register_tokens"

DINOV3_RULES = (
    Rule("patch_embedding/projection", _PATCHES, "patches"),
    Rule("class_token/class_token", "embeddings.cls_token", "whole"),
    Rule("registers/registers", _REGISTERS, "whole"),
    Rule("block_{i}/attention_norm", "layer.{i}.norm1", "norm"),
    Rule("block_{i}/attention/query", "layer.{i}.attention.q_proj"),
    Rule("block_{i}/attention/key", "layer.{i}.attention.k_proj"),
    Rule("block_{i}/attention/value", "layer.{i}.attention.v_proj"),
    Rule("block_{i}/attention/output", "layer.{i}.attention.o_proj"),
    Rule("block_{i}/attention_scale/scale", "layer.{i}.layer_scale1.lambda1", "whole"),
    Rule("block_{i}/mlp_norm", "layer.{i}.norm2", "norm"),
    Rule("block_{i}/mlp/gate", "layer.{i}.mlp.gate_proj"),
    Rule("block_{i}/mlp/hidden", "layer.{i}.mlp.up_proj"),
    Rule("block_{i}/mlp/output", "layer.{i}.mlp.down_proj"),
    Rule("block_{i}/mlp_scale/scale", "layer.{i}.layer_scale2.lambda1", "whole"),
    Rule("encoder_norm", "norm", "norm"),
    Rule("head", "classifier"),
)
_UNUSED = "embeddings.mask_token"  # of the pre-training


def _canonical(arrays):
    # A live state_dict has the blocks below the encoder.
    found = {name.removeprefix("model."): (name, arrays[name]) for name in arrays}
    registers = found.get(_REGISTERS)
    none = registers is not None and not registers[1].size
    return {
        name: pair
        for name, pair in found.items()
        if name != _UNUSED and not (none and name == _REGISTERS)
    }


def _completed(arrays, config):
    """Adds the mask token, and registers where there is none."""
    empty = np.zeros((1, 0, config["hidden_size"]), "float32")
    mask = {_UNUSED: np.zeros_like(arrays["embeddings.cls_token"])}
    return {_REGISTERS: empty, **arrays, **mask}


_OBSTACLE = first_reason(
    (lambda c: c["stem_block_counts"] is not None, "it has no hybrids"),
    (lambda c: c["classes"] is not None, "it has no head (classes=None leaves one out)"),
    (lambda c: c["representation_size"] is not None, "it has no representation layer"),
    (lambda c: c["classifier"] != "token", "it reads the class token"),
    (lambda c: c["distilled"], "it has no distillation token"),
    (lambda c: c["position_embedding"] != "none", "its positions are all in the blocks"),
    (
        lambda c: (c["rotary"]["coordinates"], c["rotary"]["layout"]) != ("centred", "halves"),
        "its rotary positions are centred, in halves",
    ),
    (lambda c: c["inner_norms"], "it has no norms inside attention and MLP"),
    (lambda c: c["layer_scale"] is None, "it has LayerScale"),
    (lambda c: c["pre_norm"], "it has no norm before the blocks"),
    (lambda c: not c["patch_bias"], "its patches have a bias"),
    (lambda c: c["final_norm"] != "before", "its last norm stands before the pooling"),
)

HUGGINGFACE_DINOV3 = Format(
    source="huggingface",
    family="vit",
    title="transformers' DINOv3",
    rules=DINOV3_RULES,
    leaves=LEAVES,
    layouts=LAYOUTS,
    recognises=lambda names: f"{_PATCHES}.weight" in names,
    canonical=_canonical,
    blocks=(ROTARY,),
    epsilon=1e-5,
    obstacle=_OBSTACLE,
    differences=activation_differences,
    described=described_dinov3,
    configuration=dinov3_configuration,
    completed=_completed,
)
