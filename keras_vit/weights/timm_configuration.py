"""timm's `config.json` of a ViT, a hybrid or BiT, in both directions.

It names an architecture, whose function knows heads and the like, and `model_args` that replace
single ones of its values.

Reference: huggingface/pytorch-image-models, timm/models/_hub.py, vision_transformer.py,
vision_transformer_hybrid.py, resnetv2.py.
"""

import re

from keras_vit.layers.activations import GELU_EXACT, GELU_TANH
from keras_vit.models.variants import BIT_DEPTHS, VIT_SIZES
from keras_vit.weights.description import Description

ACTIVATIONS = {
    "gelu": GELU_EXACT,
    "gelu_tanh": GELU_TANH,
    "relu": "relu",
    "relu6": "relu6",
    "silu": "silu",
    "swish": "silu",
    "mish": "mish",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
}
POOLING = {"token": "token", "avg": "gap", "map": "map"}
# the words in the names of their plain ViTs and hybrids, and DeiTs
_SIZES = {
    "tiny": "Ti",
    "small": "S",
    "base": "B",
    "large": "L",
    "huge": "H",
    "giant": "g",
    "gigantic": "G",
}
_PLAIN = re.compile(rf"(?:vit|deit)_({'|'.join(_SIZES)})_(?:patch\d+|r\d*_s\d+(?:_p\d+)?)_\d+")
_HYBRIDS = {
    (): "vit_tiny_r_s16_p8_224",
    (2, 2, 2, 2): "vit_small_r26_s32_224",
    (3, 4, 9): "vit_base_r50_s16_224",
    (3, 4, 6, 3): "vit_large_r50_s32_224",
}
_BITS = ("50x1", "50x3", "101x1", "101x3", "152x2", "152x4")

# `model_args` that do not change numbers, or that names and shapes show
_SHOWN = {"num_classes", "in_chans", "pretrained_strict", "features_only"}
_VIT_SHOWN = _SHOWN | {
    *("img_size", "embed_dim", "depth", "mlp_ratio", "qkv_bias", "qk_norm", "proj_bias"),
    *("scale_attn_norm", "scale_mlp_norm", "init_values", "class_token", "no_embed_class"),
    *("pos_embed", "reg_tokens", "pre_norm", "final_norm", "fc_norm", "dynamic_img_size"),
    *("dynamic_img_pad", "strict_img_size", "weight_init", "fix_init", "global_pool"),
}
_BIT_SHOWN = _SHOWN | {"layers", "channels", "width_factor", "stem_chs", "zero_init_last"}
_PLACE = "its config.json"


def described_vit(configurations, arrays) -> Description:
    """Returns what a ViT's configuration says."""
    config = configurations["config.json"]
    args = config.get("model_args") or {}
    arguments: dict = {}
    obstacles = []
    if plain := _PLAIN.fullmatch(config.get("architecture", "").partition(".")[0]):
        arguments["num_heads"] = VIT_SIZES[_SIZES[plain[1]]][3]
    for name, value in args.items():
        if name == "num_heads":
            arguments["num_heads"] = value
        elif name == "patch_size":
            arguments["patch_size"] = _pair(value)
        elif name == "act_layer" and str(value) in ACTIVATIONS:
            arguments["activation"] = ACTIVATIONS[value]
        elif not (
            name in _VIT_SHOWN
            or name.endswith("_rate")
            or value in (None, False)  # leaves out what is not known here
            or (name, value) == ("norm_layer", "layernorm")
        ):
            obstacles.append(f"{name}={value!r}")
    return Description(
        arguments,
        _grid(config, args, arrays),
        tuple(obstacles),
        _pooling_obstacles(args.get("global_pool", config.get("global_pool")), arrays),
        _PLACE,
    )


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
    return Description({}, None, tuple(obstacles), place=_PLACE)


def vit_configuration(arguments, grid) -> dict | None:
    """Returns the configuration with which timm computes the same; None where it has none."""
    stem, width = arguments["stem_block_counts"], arguments["hidden_size"]
    if stem is not None and stem not in _HYBRIDS:
        return None
    size, channels = _size_and_channels(arguments, grid)
    classifier = arguments["classifier"]
    pooling = next(theirs for theirs, ours in POOLING.items() if ours == classifier)
    args = {
        "img_size": list(size),
        "patch_size": list(arguments["patch_size"]),
        "in_chans": channels,
        "num_classes": arguments["classes"] or 0,
        "embed_dim": width,
        "depth": arguments["num_layers"],
        "num_heads": arguments["num_heads"],
        "mlp_ratio": arguments["mlp_dim"] / width,
        "global_pool": pooling,
        "class_token": classifier == "token",
        "fc_norm": False,
        **({"dynamic_img_size": True} if None in arguments["input_shape"] else {}),
        "pos_embed": "none" if arguments["position_embedding"] == "none" else "learn",
    }
    if int(width * args["mlp_ratio"]) < arguments["mlp_dim"]:  # timm rounds down
        args["mlp_ratio"] = (arguments["mlp_dim"] + 0.5) / width
    if activation := activation_name(arguments["activation"]):
        args["act_layer"] = activation
    architecture = "vit_base_patch16_224" if stem is None else _HYBRIDS[stem]
    backbone = "backbone.stem.conv" if stem else "backbone.conv"
    first = "patch_embed.proj" if stem is None else f"patch_embed.{backbone}"
    return _configuration(architecture, args, pooling, width, (channels, *size), first, "head")


def bit_configuration(arguments, grid) -> dict | None:
    """Returns the configuration with which timm computes the same; None where it has none."""
    depth = next((d for d, counts in BIT_DEPTHS.items() if counts == arguments["block_counts"]), 0)
    name = f"{depth}x{arguments['width_factor']}"
    if name not in _BITS or arguments["groups"] != 32:
        return None
    size, channels = _size_and_channels(arguments, grid)
    args = {"in_chans": channels, "num_classes": arguments["classes"] or 0}
    features = 2048 * arguments["width_factor"]
    architecture = f"resnetv2_{name}_bit"
    return _configuration(
        architecture, args, "avg", features, (channels, *size), "stem.conv", "head.fc"
    )


def activation_name(activation) -> str | None:
    """Returns their name of an activation; None where they have none."""
    return next((theirs for theirs, ours in ACTIVATIONS.items() if ours == activation), None)


def _configuration(architecture, args, pooling, features, shape, first, classifier):
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


def _pooling_obstacles(pooling, arrays):
    """What the head is on; names and shapes are the same whether it is a token or an average."""
    if "attn_pool.latent" in arrays:
        ours = "map"
    else:
        ours = "token" if "cls_token" in arrays else "gap"
    if pooling is None or POOLING.get(pooling) == ours:
        return ()
    token = "with" if "cls_token" in arrays else "without"
    return (f"global_pool={pooling!r} {token} a class token",)


def _grid(config, args, arrays):
    """The grid of the position embeddings, where the patches are on the image itself."""
    size = args.get("img_size") or (config.get("pretrained_cfg") or {}).get("input_size")
    patches = arrays.get("patch_embed.proj.weight")
    if size is None or patches is None or any("backbone" in name for name in arrays):
        return None
    return tuple(side // p for side, p in zip(_pair(size), patches.shape[-2:], strict=True))


def _size_and_channels(arguments, grid):
    """The size of the images, where it is open that which fills the position embeddings' grid."""
    *size, channels = arguments["input_shape"]
    if arguments["data_format"] == "channels_first":
        channels, *size = arguments["input_shape"]
    stem = arguments.get("stem_block_counts")
    step = 1 if stem is None else 4 * 2 ** max(len(stem) - 1, 0)
    if grid is not None and None in size:
        size = [rows * p * step for rows, p in zip(grid, arguments["patch_size"], strict=True)]
    return tuple(side or 224 for side in size), channels


def _pair(value):
    return (value, value) if isinstance(value, int) else tuple(value)[-2:]
