"""transformers' safetensors files of CLIP's and SigLIP's image towers.

Both name their weights alike. A file may hold the text tower, too, which is left aside. CLIP's
projection is a head whose bias is zero.

Reference: huggingface/transformers, models/clip, siglip and metaclip_2.
"""

from dataclasses import replace

import numpy as np

from keras_vit.weights.huggingface import activation_differences, first_reason
from keras_vit.weights.huggingface_configuration import (
    clip_configuration,
    described_clip,
    described_siglip,
    siglip_configuration,
)
from keras_vit.weights.pytorch import LAYOUTS, LEAVES
from keras_vit.weights.rules import POSITION, TOKEN, WITHOUT_BATCH, Format, Rule

_BLOCK, _PROBE = "encoder.layers.{i}", "head.attention"
RULES = (
    Rule("patch_embedding/projection", "embeddings.patch_embedding", "patches"),
    Rule("class_token/class_token", "embeddings.class_embedding", "whole"),
    Rule(POSITION, "embeddings.position_embedding.weight", "whole"),
    Rule("pre_norm", "pre_layrnorm", "norm"),  # so it is spelt
    Rule("block_{i}/attention_norm", f"{_BLOCK}.layer_norm1", "norm"),
    Rule("block_{i}/attention/query", f"{_BLOCK}.self_attn.q_proj"),
    Rule("block_{i}/attention/key", f"{_BLOCK}.self_attn.k_proj"),
    Rule("block_{i}/attention/value", f"{_BLOCK}.self_attn.v_proj"),
    Rule("block_{i}/attention/output", f"{_BLOCK}.self_attn.out_proj"),
    Rule("block_{i}/mlp_norm", f"{_BLOCK}.layer_norm2", "norm"),
    Rule("block_{i}/mlp/hidden", f"{_BLOCK}.mlp.fc1"),
    Rule("block_{i}/mlp/output", f"{_BLOCK}.mlp.fc2"),
    Rule("encoder_norm", "post_layernorm", "norm"),
    Rule("pooling/probe", "head.probe", "whole"),
    Rule("pooling/attention/query", f"{_PROBE}.in_proj", part=(0, 3)),
    Rule("pooling/attention/key", f"{_PROBE}.in_proj", part=(1, 3)),
    Rule("pooling/attention/value", f"{_PROBE}.in_proj", part=(2, 3)),
    Rule("pooling/attention/output", f"{_PROBE}.out_proj"),
    Rule("pooling/norm", "head.layernorm", "norm"),
    Rule("pooling/mlp/hidden", "head.mlp.fc1"),
    Rule("pooling/mlp/output", "head.mlp.fc2"),
    Rule("head", "classifier"),
)
_LAYOUTS = {**LAYOUTS, "whole": {"class_token": TOKEN, "position_embedding": WITHOUT_BATCH}}

# of models for images and text
_TEXT = ("text_model.", "text_projection.", "logit_scale", "logit_bias")
_IN_PROJ = {f"{_PROBE}.in_proj_{leaf}": f"{_PROBE}.in_proj.{leaf}" for leaf in ("weight", "bias")}


def _bare(name):
    return name.removeprefix("vision_model.")


def _image_part(arrays):
    result = {}
    for name in arrays:
        bare = _bare(name)
        if not bare.startswith(_TEXT) and bare != "embeddings.position_ids":
            result[_IN_PROJ.get(bare, bare)] = (name, arrays[name])
    return result


def _canonical_clip(arrays):
    """The projection becomes a head; a classifier is on the mean of tokens without their norm."""
    result = _image_part(arrays)
    if "classifier.weight" in result:
        return {n: v for n, v in result.items() if not n.startswith("post_layernorm.")}
    if "visual_projection.weight" in result:
        name, kernel = result.pop("visual_projection.weight")
        result["classifier.weight"] = (name, kernel)
        result["classifier.bias"] = (name, np.zeros(len(kernel), kernel.dtype))
    return result


def _canonical_siglip(arrays):
    """A classifier is on the mean of the tokens, not on what attention pools."""
    result = _image_part(arrays)
    if "classifier.weight" in result:
        return {n: v for n, v in result.items() if not n.startswith("head.")}
    return result


def _exported(name, config):
    if name.startswith("classifier."):
        return name
    name = {ours: theirs for theirs, ours in _IN_PROJ.items()}.get(name, name)
    return name if config["classes"] is None else f"vision_model.{name}"


def _complete_clip(arrays, config):
    """Writes the head as a projection, or puts a norm beside it that no classifier reads."""
    arrays = dict(arrays)
    if config["classes"] is None:
        return arrays
    if config["classifier"] == "gap":
        width = config["hidden_size"]
        arrays["vision_model.post_layernorm.weight"] = np.ones(width, "float32")
        arrays["vision_model.post_layernorm.bias"] = np.zeros(width, "float32")
        return arrays
    if np.any(arrays.pop("classifier.bias")):
        raise ValueError(
            "transformers' CLIP projects the class token without a bias, and the head has one that "
            "is not zero; make it zero, or write for another target."
        )
    arrays["visual_projection.weight"] = arrays.pop("classifier.weight")
    return arrays


_SAME = (
    (lambda c: c["stem_block_counts"] is not None, "it has no hybrids"),
    (lambda c: c["position_embedding"] != "learned", "it has learned position embeddings only"),
    (lambda c: c["representation_size"] is not None, "it has no representation layer"),
    (lambda c: c["layer_scale"] is not None, "it has no LayerScale"),
    (lambda c: c["registers"] > 0 or c["distilled"], "it has no registers or distillation token"),
    (lambda c: c["qkv_bias"] is not True, "its queries, keys and values have a bias"),
)
_CLIP_OBSTACLE = first_reason(
    *_SAME,
    (lambda c: not c["class_token"] or not c["class_slot"], "it has a class token with a position"),
    (lambda c: not c["pre_norm"] or c["patch_bias"], "it has a norm in place of the patches' bias"),
    (
        lambda c: (
            (c["classifier"], c["final_norm"] == "none")
            not in (("token", False), *((("gap", True),) if c["classes"] else ()))
        ),
        "it projects the normalised class token, or classifies by a mean without a norm",
    ),
)
_SIGLIP_OBSTACLE = first_reason(
    *_SAME,
    (lambda c: c["class_token"], "it has no class token"),
    (lambda c: c["pre_norm"] or not c["patch_bias"], "its patches have a bias and no norm"),
    (lambda c: c["final_norm"] != "before", "its last norm stands before the pooling"),
    (
        lambda c: c["classifier"] != ("map" if c["classes"] is None else "gap"),
        "it pools by attention, and classifies by the mean",
    ),
)


def _recognises(class_token):
    def recognises(names):
        bare = {_bare(name) for name in names}
        return {
            "embeddings.patch_embedding.weight",
            "embeddings.position_embedding.weight",
        } <= bare and (("embeddings.class_embedding" in bare) == class_token)

    return recognises


HUGGINGFACE_CLIP = Format(
    source="huggingface",
    family="vit",
    title="transformers' CLIP",
    rules=RULES,
    leaves=LEAVES,
    layouts=_LAYOUTS,
    recognises=_recognises(class_token=True),
    canonical=_canonical_clip,
    exported=_exported,
    interpolation="bicubic",
    epsilon=1e-5,
    obstacle=_CLIP_OBSTACLE,
    differences=activation_differences,
    completed=_complete_clip,
    described=described_clip,
    configuration=clip_configuration,
)

HUGGINGFACE_SIGLIP = replace(
    HUGGINGFACE_CLIP,
    title="transformers' SigLIP",
    recognises=_recognises(class_token=False),
    canonical=_canonical_siglip,
    activation="gelu_tanh",
    epsilon=1e-6,
    obstacle=_SIGLIP_OBSTACLE,
    completed=lambda arrays, config: arrays,
    described=described_siglip,
    configuration=siglip_configuration,
)
