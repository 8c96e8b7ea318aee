"""timm's safetensors files of EVA, EVA-02 and DINOv3, and the `config.json` beside them.

Reference: huggingface/pytorch-image-models, timm/models/eva.py, timm/layers/mlp.py (SwiGLU, GluMlp),
timm/layers/pos_embed_sincos.py.
"""

import re
from dataclasses import asdict, replace

from keras_vit.layers.activations import GELU_EXACT
from keras_vit.layers.rotary import UNTURNED, RotaryOptions
from keras_vit.weights.description import Description
from keras_vit.weights.pytorch import LAYOUTS, LEAVES, pack, split_packed
from keras_vit.weights.rules import GATED, PLAIN, ROTARY, Format, Rule
from keras_vit.weights.timm import TOP_RULES, UNUSED, pack_gates, split_gates
from keras_vit.weights.timm_architectures import timm_arguments, timm_obstacle
from keras_vit.weights.timm_configuration import (
    PLACE,
    POOLING_OF,
    SHOWN,
    configuration_of,
    grid_of,
    mlp_ratio,
    pair,
    size_and_channels,
    take_pooling,
)

EVA_RULES = (
    *TOP_RULES,
    Rule("block_{i}/attention_norm", "blocks.{i}.norm1", "norm"),
    Rule("block_{i}/attention/query", "blocks.{i}.attn.q_proj"),
    Rule("block_{i}/attention/key", "blocks.{i}.attn.k_proj"),
    Rule("block_{i}/attention/value", "blocks.{i}.attn.v_proj"),
    Rule("block_{i}/attention/norm", "blocks.{i}.attn.norm", "norm"),
    Rule("block_{i}/attention/output", "blocks.{i}.attn.proj"),
    Rule("block_{i}/attention_scale/scale", "blocks.{i}.gamma_1", "whole"),
    Rule("block_{i}/mlp_norm", "blocks.{i}.norm2", "norm"),
    Rule("block_{i}/mlp/gate", "blocks.{i}.mlp.fc1_g"),
    Rule("block_{i}/mlp/hidden", "blocks.{i}.mlp.fc1"),  # fc1_x where the gate is apart
    Rule("block_{i}/mlp/norm", "blocks.{i}.mlp.norm", "norm"),
    Rule("block_{i}/mlp/output", "blocks.{i}.mlp.fc2"),
    Rule("block_{i}/mlp_scale/scale", "blocks.{i}.gamma_2", "whole"),
)
# What its files have and those of timm's other ViTs have not
_OWN = ("gamma_1", "attn.q_bias", "attn.q_proj.weight", "attn.norm.weight", "mlp.fc1_g.weight")
_FUSED = re.compile(r"(blocks\.\d+\.attn)\.qkv\.weight")
_PROJECTIONS = ("q_proj", "k_proj", "v_proj")
_EPSILONS = {1e-6: "eva02_tiny_patch14_224", 1e-5: "vit_small_patch16_dinov3"}
# `model_args` that do not change numbers, or that names and shapes show
_EVA_SHOWN = SHOWN | {
    *("img_size", "patch_size", "embed_dim", "depth", "mlp_ratio", "qkv_bias", "qkv_fused"),
    *("swiglu_mlp", "swiglu_align_to", "scale_mlp", "scale_attn_inner", "init_values"),
    *("class_token", "num_reg_tokens", "no_embed_class", "use_abs_pos_emb", "global_pool"),
    *("use_pre_transformer_norm", "use_post_transformer_norm", "use_fc_norm"),
    *("dynamic_img_size", "head_init_scale"),
    *("rope_shift_coords", "rope_jitter_coords", "rope_rescale_coords"),  # in training alone
}


def described_eva(configurations, arrays) -> Description:
    """Returns what the configuration of an EVA, EVA-02 or DINOv3 says."""
    config = configurations["config.json"]
    architecture, args = config.get("architecture") or "", config.get("model_args") or {}
    arguments = timm_arguments(architecture)
    obstacles = [reason] if (reason := timm_obstacle(architecture)) else []
    rotary = RotaryOptions(**arguments["rotary"]) if "rotary" in arguments else UNTURNED
    turning = {name: value for name, value in args.items() if name in _TURNING}
    for name, value in args.items():
        if name == "num_heads":
            arguments["num_heads"] = value
        elif not _is_shown(name, value):
            obstacles.append(f"{name}={value!r}")
    if turning and not obstacles:
        rotary = _turned(rotary, turning)
    if architecture or turning:
        arguments["rotary"] = asdict(rotary)
    # of all these models, whatever their configuration says
    arguments["activation"] = "silu" if "blocks.0.mlp.fc1_g.weight" in arrays else GELU_EXACT
    head_obstacles = take_pooling(config, args, arguments)
    grid = grid_of(config, args, arrays)
    return Description(arguments, grid, tuple(obstacles), head_obstacles, PLACE)


def eva_configuration(arguments, grid) -> dict:
    """Returns the configuration with which timm computes the same."""
    (size, channels), width = size_and_channels(arguments, grid), arguments["hidden_size"]
    gated, norms = arguments.get("gated", False), arguments.get("inner_norms", ())
    rotary = RotaryOptions(**arguments.get("rotary", asdict(UNTURNED)))
    pooling = POOLING_OF[arguments["classifier"]]
    args: dict = {
        "img_size": list(size),
        "patch_size": list(arguments["patch_size"]),
        "dynamic_img_size": False,
        "in_chans": channels,
        "num_classes": arguments["classes"] or 0,
        "embed_dim": width,
        "depth": arguments["num_layers"],
        "num_heads": arguments["num_heads"],
        "qkv_bias": bool(arguments["qkv_bias"]),
        "qkv_fused": _fused(arguments),
        "mlp_ratio": mlp_ratio(arguments["mlp_dim"], width),
        "swiglu_mlp": gated,
        "swiglu_align_to": int(_gates_apart(arguments)),
        "scale_mlp": "mlp" in norms,
        "scale_attn_inner": "attention" in norms,
        "init_values": arguments["layer_scale"],
        "class_token": arguments["class_token"],
        "num_reg_tokens": arguments["registers"],
        "no_embed_class": not arguments["class_slot"],
        "use_abs_pos_emb": arguments["position_embedding"] != "none",
        "use_pre_transformer_norm": arguments["pre_norm"],
        "use_post_transformer_norm": arguments["final_norm"] == "before",
        "use_fc_norm": arguments["final_norm"] == "after",
        "global_pool": pooling,
        "use_rot_pos_emb": rotary != UNTURNED,
    }
    if rotary.coordinates != "none":
        args["rope_type"] = _TYPES[rotary.coordinates]
        args["rope_temperature"] = rotary.temperature
        args["rope_rotate_half"] = rotary.layout == "halves"
        args["ref_feat_shape"] = rotary.reference_grid
    architecture = _EPSILONS.get(arguments["epsilon"], _EPSILONS[1e-6])
    first = "patch_embed.proj"
    return configuration_of(architecture, args, pooling, width, (channels, *size), first, "head")


_COORDINATES = {"cat": "grid", "dinov3": "centred"}
_TYPES = {ours: theirs for theirs, ours in _COORDINATES.items()}
_TURNING = (
    *("use_rot_pos_emb", "rope_type", "rope_temperature", "rope_rotate_half"),
    "ref_feat_shape",
)


def _is_shown(name, value):
    """Whether an argument is known here, or leaves out what is not."""
    if name == "rope_type":
        return value in _COORDINATES
    known = name in _EVA_SHOWN or name in _TURNING or name.endswith("_rate")
    usual = (name, value) in (("rope_grid_indexing", "ij"), ("attn_type", "eva"))
    return known or usual or value in (None, False)


def _turned(rotary, args):
    """What an architecture turns by, with single arguments replaced."""
    if not args.get("use_rot_pos_emb", rotary != UNTURNED):
        return UNTURNED
    changed: dict = {}
    if "rope_type" in args:
        changed["coordinates"] = _COORDINATES[args["rope_type"]]
    elif rotary == UNTURNED:
        changed |= {"coordinates": "grid", "temperature": 1e4, "layout": "neighbours"}
    if "rope_temperature" in args:
        changed["temperature"] = args["rope_temperature"]
    if "rope_rotate_half" in args:
        changed["layout"] = "halves" if args["rope_rotate_half"] else "neighbours"
    if "ref_feat_shape" in args:
        shape = args["ref_feat_shape"]
        changed["reference_grid"] = None if shape is None else pair(shape)
    return replace(rotary, **changed)


def _canonical(arrays):
    found = {}
    for name in arrays:
        table_name = name.replace(".mlp.fc1_x.", ".mlp.fc1.")
        for part in "qv":
            table_name = table_name.replace(f".attn.{part}_bias", f".attn.{part}_proj.bias")
        # timm computes the frequencies anew, but for learned ones.
        frequencies = name.startswith("rope.") and name != "rope.freqs"
        if name not in UNUSED and not frequencies:
            found[table_name] = (name, arrays[name])
    for match in [match for name in found if (match := _FUSED.fullmatch(name))]:
        split_packed(found, match[0], [f"{match[1]}.{part}.weight" for part in _PROJECTIONS])
    split_gates(found)
    return found


def _completed(arrays, config):
    """The same weights, put together as timm has them in a model of this kind."""
    arrays = dict(arrays)
    if _fused(config):
        for root in {m[1] for name in arrays if (m := re.match(r"(.*\.attn)\.q_proj\.", name))}:
            pack(arrays, f"{root}.qkv.weight", [f"{root}.{part}.weight" for part in _PROJECTIONS])
            for part in "qv":
                if (bias := f"{root}.{part}_proj.bias") in arrays:
                    arrays[f"{root}.{part}_bias"] = arrays.pop(bias)
    if _gates_apart(config):
        return {name.replace(".mlp.fc1.", ".mlp.fc1_x."): array for name, array in arrays.items()}
    return pack_gates(arrays)


def _fused(arguments):
    """EVA-02's models with norms inside keep query, key and value apart."""
    return not arguments.get("inner_norms")


def _gates_apart(arguments):
    """So do they with the gate, and DINOv3's."""
    norms, rotary = arguments.get("inner_norms", ()), arguments.get("rotary")
    centred = rotary is not None and rotary["coordinates"] == "centred"
    return bool(arguments.get("gated")) and ("mlp" in norms or centred)


def _obstacle(config):
    if config["stem_block_counts"] is not None:
        return "it has no hybrids"
    if config["representation_size"] is not None:
        return "it has no representation layer"
    if config["position_embedding"] not in ("learned", "none"):
        return "it has learned position embeddings or none"
    if config["distilled"]:
        return "it has no distillation token"
    if config["classifier"] not in ("token", "gap"):
        return "it classifies by the class token or by the mean"
    if config["qkv_bias"] not in (False, ("query", "value")):
        return "its queries and values have a bias and its keys none, or none has"
    if config["patch_bias"] == config["pre_norm"]:
        return "its patches have a bias just where no norm stands before the blocks"
    wanted = "silu" if config.get("gated") else GELU_EXACT
    if config["activation"] != wanted:
        return f"its activation is {wanted!r} in such MLPs"
    return None


def _differences(config):
    if config["epsilon"] in _EPSILONS:
        return []
    return [f"timm's epsilon is 1e-06 or 1e-05 (here {config['epsilon']:g})"]


def _recognises(names):
    return "patch_embed.proj.weight" in names and any(f"blocks.0.{own}" in names for own in _OWN)


TIMM_EVA = Format(
    source="timm",
    family="vit",
    title="timm's EVA",
    rules=EVA_RULES,
    leaves=LEAVES,
    layouts=LAYOUTS,
    recognises=_recognises,
    canonical=_canonical,
    interpolation="bicubic_antialias",
    blocks=(PLAIN, GATED, ROTARY),
    epsilon=1e-6,
    obstacle=_obstacle,
    differences=_differences,
    described=described_eva,
    configuration=eva_configuration,
    completed=_completed,
)
