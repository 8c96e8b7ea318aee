"""timm's `config.json` of a ViT, a hybrid or BiT, in both directions.

It names an architecture, whose function knows heads and the like, and `model_args` that replace
single ones of its values.

Reference: huggingface/pytorch-image-models, timm/models/_hub.py, vision_transformer.py,
vision_transformer_hybrid.py, resnetv2.py.
"""

import re

from keras_vit.layers.activations import GELU_EXACT, GELU_QUICK, GELU_TANH
from keras_vit.models.variants import BIT_DEPTHS
from keras_vit.weights.description import Description
from keras_vit.weights.huggingface_configuration import described_dinov2
from keras_vit.weights.timm_architectures import timm_arguments, timm_obstacle

ACTIVATIONS = {
    "gelu": GELU_EXACT,
    "gelu_tanh": GELU_TANH,
    "quick_gelu": GELU_QUICK,
    "relu": "relu",
    "relu6": "relu6",
    "silu": "silu",
    "swish": "silu",
    "mish": "mish",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
}
POOLING = {"token": "token", "avg": "gap", "map": "map"}
POOLING_OF = {ours: theirs for theirs, ours in POOLING.items()}
# the epsilon is an architecture's own; 1e-6 but for these
_BY_EPSILON = {1e-5: "vit_base_patch16_clip_224"}
_HYBRIDS = {
    (): "vit_tiny_r_s16_p8_224",
    (2, 2, 2, 2): "vit_small_r26_s32_224",
    (3, 4, 9): "vit_base_r50_s16_224",
    (3, 4, 6, 3): "vit_large_r50_s32_224",
}
_BITS = ("50x1", "50x3", "101x1", "101x3", "152x2", "152x4")

# `model_args` that do not change numbers, or that names and shapes show
SHOWN = {"num_classes", "in_chans", "pretrained_strict", "features_only"}
_VIT_SHOWN = SHOWN | {
    *("img_size", "embed_dim", "depth", "mlp_ratio", "qkv_bias", "qk_norm", "proj_bias"),
    *("scale_attn_norm", "scale_mlp_norm", "init_values", "class_token", "no_embed_class"),
    *("pos_embed", "reg_tokens", "pre_norm", "final_norm", "fc_norm", "dynamic_img_size"),
    *("dynamic_img_pad", "strict_img_size", "weight_init", "fix_init", "global_pool"),
}
_BIT_SHOWN = SHOWN | {"layers", "channels", "width_factor", "stem_chs", "zero_init_last"}
PLACE = "its config.json"


def described_vit(configurations, arrays) -> Description:
    """Returns what a ViT's configuration says."""
    config = configurations["config.json"]
    if "model_type" in config:  # transformers keeps some models' own names, which timm's are like
        return described_dinov2(configurations, arrays)
    architecture = config.get("architecture") or ""
    args = config.get("model_args") or {}
    arguments = timm_arguments(architecture)
    obstacles = [reason] if (reason := timm_obstacle(architecture)) else []
    for name, value in args.items():
        if name == "num_heads":
            arguments["num_heads"] = value
        elif name == "patch_size":
            arguments["patch_size"] = pair(value)
        elif name == "act_layer" and str(value) in ACTIVATIONS:
            arguments["activation"] = ACTIVATIONS[value]
        elif (name, value) == ("norm_layer", "layernorm"):
            arguments["epsilon"] = 1e-6
        elif not (
            name in _VIT_SHOWN
            or name.endswith("_rate")
            or value in (None, False)  # leaves out what is not known here
        ):
            obstacles.append(f"{name}={value!r}")
    head_obstacles: tuple[str, ...] = ()
    if "attn_pool.latent" not in arrays and "head_dist.bias" not in arrays:
        head_obstacles = take_pooling(config, args, arguments)
    grid = grid_of(config, args, arrays)
    return Description(arguments, grid, tuple(obstacles), head_obstacles, PLACE)


def take_pooling(config, args, arguments) -> tuple[str, ...]:
    """Puts the classifier that `global_pool` names into the arguments; returns what none here computes."""
    pooling = args.get("global_pool", config.get("global_pool"))
    if pooling in ("token", "avg"):
        arguments["classifier"] = POOLING[pooling]
    elif pooling:
        return (f"global_pool={pooling!r}",)
    return ()


def described_bit(configurations, arrays) -> Description:
    """Returns what a BiT's configuration says."""
    config = configurations["config.json"]
    obstacles = []
    architecture = config.get("architecture")
    if architecture is not None and not re.match(r"resnetv2_\d+x\d+_bit", architecture):
        obstacles.append(f"architecture={architecture!r}")
    ours = {"global_pool": "avg", "stem_type": "", "avg_down": False, "preact": True}
    for name, value in (config.get("model_args") or {}).items():
        if name == "output_stride" and value >= 32:
            continue
        if name not in _BIT_SHOWN and not name.endswith("_rate") and value != ours.get(name):
            obstacles.append(f"{name}={value!r}")
    return Description({}, None, tuple(obstacles), place=PLACE)


def vit_configuration(arguments, grid) -> dict | None:
    """Returns the configuration with which timm computes the same; None where it has none."""
    stem, width = arguments["stem_block_counts"], arguments["hidden_size"]
    if stem is not None and stem not in _HYBRIDS:
        return None
    size, channels = size_and_channels(arguments, grid)
    classifier, gated = arguments["classifier"], arguments.get("gated", False)
    pooling = "token" if classifier == "distilled" else POOLING_OF[classifier]
    args = {
        "img_size": list(size),
        "patch_size": list(arguments["patch_size"]),
        "in_chans": channels,
        "num_classes": arguments["classes"] or 0,
        "embed_dim": width,
        "depth": arguments["num_layers"],
        "num_heads": arguments["num_heads"],
        "mlp_ratio": mlp_ratio((1 + gated) * arguments["mlp_dim"], width),
        "global_pool": pooling,
        "class_token": arguments["class_token"],
        "fc_norm": arguments["final_norm"] == "after",
        **({"dynamic_img_size": True} if None in arguments["input_shape"] else {}),
        "pos_embed": "none" if arguments["position_embedding"] == "none" else "learn",
    }
    options = {
        "reg_tokens": arguments["registers"],
        "no_embed_class": not arguments["class_slot"],
        "init_values": arguments["layer_scale"],
        "pre_norm": arguments["pre_norm"],
    }
    args |= {name: value for name, value in options.items() if value}
    args |= {} if arguments["qkv_bias"] else {"qkv_bias": False}
    args |= {"final_norm": False} if arguments["final_norm"] == "none" else {}
    if activation := activation_name(arguments["activation"]):
        args["act_layer"] = activation
    architecture = _BY_EPSILON.get(arguments["epsilon"], "vit_base_patch16_224")
    if gated:
        architecture = "vit_giant_patch14_dinov2"  # whose gates no argument brings
    if arguments["distilled"]:
        architecture = "deit_base_distilled_patch16_224"
    if stem is not None:
        architecture = _HYBRIDS[stem]
    if architecture in _BY_EPSILON.values():
        args["pre_norm"] = arguments["pre_norm"]
    backbone = "backbone.stem.conv" if stem else "backbone.conv"
    first = "patch_embed.proj" if stem is None else f"patch_embed.{backbone}"
    return configuration_of(architecture, args, pooling, width, (channels, *size), first, "head")


def bit_configuration(arguments, grid) -> dict | None:
    """Returns the configuration with which timm computes the same; None where it has none."""
    depth = next((d for d, counts in BIT_DEPTHS.items() if counts == arguments["block_counts"]), 0)
    name = f"{depth}x{arguments['width_factor']}"
    if name not in _BITS or arguments["groups"] != 32:
        return None
    size, channels = size_and_channels(arguments, grid)
    args = {"in_chans": channels, "num_classes": arguments["classes"] or 0}
    features = 2048 * arguments["width_factor"]
    architecture = f"resnetv2_{name}_bit"
    shape = (channels, *size)
    return configuration_of(architecture, args, "avg", features, shape, "stem.conv", "head.fc")


def activation_name(activation) -> str | None:
    """Returns their name of an activation; None where they have none."""
    return next((theirs for theirs, ours in ACTIVATIONS.items() if ours == activation), None)


def mlp_ratio(hidden: int, width: int) -> float:
    """Returns the ratio from which timm, which rounds down, comes to a hidden width."""
    ratio = hidden / width
    return ratio if int(width * ratio) == hidden else (hidden + 0.5) / width


def configuration_of(architecture, args, pooling, features, shape, first, classifier):
    return {
        "architecture": architecture,
        "num_classes": args["num_classes"],
        "num_features": features,
        "global_pool": pooling,
        "model_args": args,
        "pretrained_cfg": {
            "num_classes": args["num_classes"],
            "input_size": list(shape),
            "fixed_input_size": "img_size" in args,
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "mean": [0.5] * shape[0],
            "std": [0.5] * shape[0],
            "first_conv": first,
            "classifier": classifier,
        },
    }


def grid_of(config, args, arrays):
    """The grid of the position embeddings, where the patches are on the image itself."""
    size = args.get("img_size") or (config.get("pretrained_cfg") or {}).get("input_size")
    patches = arrays.get("patch_embed.proj.weight")
    if size is None or patches is None or any("backbone" in name for name in arrays):
        return None
    return tuple(side // p for side, p in zip(pair(size), patches.shape[-2:], strict=True))


def size_and_channels(arguments, grid):
    """The size of the images, where it is open that which fills the position embeddings' grid."""
    *size, channels = arguments["input_shape"]
    if arguments["data_format"] == "channels_first":
        channels, *size = arguments["input_shape"]
    stem = arguments.get("stem_block_counts")
    step = 1 if stem is None else 4 * 2 ** max(len(stem) - 1, 0)
    if grid is not None and None in size:
        size = [rows * p * step for rows, p in zip(grid, arguments["patch_size"], strict=True)]
    return tuple(side or 224 for side in size), channels


def pair(value):
    return (value, value) if isinstance(value, int) else tuple(value)[-2:]
