"""transformers' `config.json` of a ViT, of those akin to it, or of BiT, in both directions.

Reference: huggingface/transformers, models/vit, deit, ijepa, dinov2, dinov2_with_registers,
dinov3_vit, bit and activations.py.
"""

from dataclasses import asdict, replace

from keras_vit.layers.activations import GELU_EXACT, GELU_QUICK, GELU_TANH
from keras_vit.layers.arguments import ATTENTION_PARTS
from keras_vit.layers.rotary import RotaryOptions
from keras_vit.weights.description import Description

# their names of the activations that have one here; of several the first is written
ACTIVATIONS = {
    "gelu": GELU_EXACT,
    "gelu_pytorch_tanh": GELU_TANH,
    "gelu_python": GELU_EXACT,
    "gelu_new": GELU_TANH,
    "gelu_python_tanh": GELU_TANH,
    "gelu_fast": GELU_TANH,
    "gelu_accurate": GELU_TANH,
    "quick_gelu": GELU_QUICK,
    "relu": "relu",
    "relu6": "relu6",
    "silu": "silu",
    "swish": "silu",
    "mish": "mish",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "linear": "linear",
}
_PLACE = "its config.json"


# what the classes of their configurations assume where a file leaves it out
_ASSUMED = {"num_attention_heads": 12, "layer_norm_eps": 1e-12, "hidden_act": "gelu"}
_DINOV2 = {**_ASSUMED, "layer_norm_eps": 1e-6}
_DINOV3 = {"num_attention_heads": 6, "layer_norm_eps": 1e-5, "hidden_act": "gelu"}
_CLIP = {**_ASSUMED, "layer_norm_eps": 1e-5, "hidden_act": "quick_gelu"}
_SIGLIP = {**_ASSUMED, "layer_norm_eps": 1e-6, "hidden_act": "gelu_pytorch_tanh"}


def described_vit(configurations, arrays) -> Description:
    """Returns what the configuration of a ViT, a DeiT or an I-JEPA says."""
    return _described(configurations["config.json"], arrays, _ASSUMED)


def described_dinov2(configurations, arrays) -> Description:
    """Returns what a DINOv2's configuration says."""
    config = dict(configurations["config.json"])
    if config.pop("use_swiglu_ffn", False):
        config["hidden_act"] = "silu"  # theirs of the gates, whatever hidden_act says
    return _described(config, arrays, _DINOV2)


def described_dinov3(configurations, arrays) -> Description:
    """Returns what a DINOv3's configuration says."""
    config = configurations["config.json"]
    found = _described(config, arrays, _DINOV3)
    if "rope_theta" not in config and "model_type" not in config:
        return found
    rotary = RotaryOptions(temperature=config.get("rope_theta", 100.0))
    return replace(found, arguments={**found.arguments, "rotary": asdict(rotary)})


def described_clip(configurations, arrays) -> Description:
    """Returns what the configuration of CLIP says of its image tower."""
    found = _described(_vision_part(configurations["config.json"]), arrays, _CLIP)
    if "classifier.weight" in arrays and "post_layernorm.weight" not in arrays:
        return replace(found, arguments={**found.arguments, "classifier": "gap"})
    return found


def described_siglip(configurations, arrays) -> Description:
    """Returns what the configuration of SigLIP says of its image tower."""
    return _described(_vision_part(configurations["config.json"]), arrays, _SIGLIP)


def _described(config, arrays, assumed):
    if "model_type" in config:
        config = {**assumed, **config}
    obstacles, arguments = [], {}
    name = config.get("hidden_act", "gelu")
    if name not in ACTIVATIONS:
        obstacles.append(f"hidden_act={name!r}")
    elif "hidden_act" in config:
        arguments["activation"] = ACTIVATIONS[name]
    for theirs, ours in (("num_attention_heads", "num_heads"), ("layer_norm_eps", "epsilon")):
        if theirs in config:
            arguments[ours] = config[theirs]
    pooler = config.get("pooler_act", "tanh")
    head_obstacles = []
    if pooler != "tanh" and "pooler.dense.weight" in arrays:
        head_obstacles.append(f"pooler_act={pooler!r} (here 'tanh')")
    size, patch = config.get("image_size"), config.get("patch_size")
    if patch is not None:
        arguments["patch_size"] = _pair(patch)
    grid = None
    if size is not None and patch is not None:
        grid = tuple(side // step for side, step in zip(_pair(size), _pair(patch), strict=True))
    return Description(arguments, grid, tuple(obstacles), tuple(head_obstacles), _PLACE)


def _vision_part(config):
    part = config.get("vision_config")
    return part if isinstance(part, dict) else config


def described_bit(configurations, arrays) -> Description:
    """Returns what a BiT's configuration says."""
    config = configurations["config.json"]
    arguments = {"groups": config["num_groups"]} if "num_groups" in config else {}
    ours = {
        "layer_type": "preactivation",
        "hidden_act": "relu",
        "global_padding": None,
        "embedding_dynamic_padding": False,
    }
    obstacles = [
        f"{name}={config[name]!r} (here {value!r})"
        for name, value in ours.items()
        if config.get(name, value) != value
    ]
    # Beyond it, stages dilate their convolutions instead of halving the resolution.
    stride = 4 * 2 ** (len(config.get("depths", (0,) * 4)) - 1)
    if config.get("output_stride", stride) < stride:
        obstacles.append(f"output_stride={config['output_stride']} (here {stride})")
    return Description(arguments, None, tuple(obstacles), place=_PLACE)


def vit_configuration(arguments, grid) -> dict:
    """Returns the configuration with which transformers' ViT computes the same."""
    return _vit_like("vit", "ViT", "ForImageClassification", arguments, grid)


def deit_configuration(arguments, grid) -> dict:
    """Returns the configuration with which transformers' DeiT computes the same."""
    two_heads = arguments["classifier"] == "distilled"
    head = "ForImageClassificationWithTeacher" if two_heads else "ForImageClassification"
    return _vit_like("deit", "DeiT", head, arguments, grid)


def ijepa_configuration(arguments, grid) -> dict:
    """Returns the configuration with which transformers' I-JEPA computes the same."""
    return _vit_like("ijepa", "IJepa", "ForImageClassification", arguments, grid)


def dinov2_configuration(arguments, grid) -> dict:
    """Returns the configuration with which transformers' DINOv2 computes the same."""
    registers = {"num_register_tokens": arguments["registers"]} if arguments["registers"] else {}
    kind = ("dinov2_with_registers", "Dinov2WithRegisters") if registers else ("dinov2", "Dinov2")
    config = _common(*kind, "ForImageClassification", arguments, grid)
    if arguments.get("gated"):
        config["use_swiglu_ffn"] = True
    ratio = dinov2_mlp_ratio(arguments)
    return {**config, "mlp_ratio": ratio, "layerscale_value": arguments["layer_scale"], **registers}


def dinov2_mlp_ratio(arguments) -> int | None:
    """Returns the ratio from which transformers' DINOv2 comes to the MLPs' width, or None."""
    width, wanted = arguments["hidden_size"], arguments["mlp_dim"]
    if not arguments.get("gated"):
        return None if wanted % width else wanted // width
    ratio = round(1.5 * wanted / width)
    return ratio if (int(width * ratio * 2 / 3) + 7) // 8 * 8 == wanted else None


def dinov3_configuration(arguments, grid) -> dict:
    """Returns the configuration with which transformers' DINOv3 computes the same."""
    config = _common("dinov3_vit", "DINOv3ViT", "", arguments, grid)
    for ours in ("qkv_bias", "hidden_dropout_prob", "attention_probs_dropout_prob"):
        del config[ours]
    biased = arguments["qkv_bias"]
    return {
        **config,
        **{f"{part}_bias": biased is True or part in (biased or ()) for part in ATTENTION_PARTS},
        "attention_dropout": arguments["attention_dropout_rate"],
        "intermediate_size": arguments["mlp_dim"],
        "use_gated_mlp": arguments["gated"],
        "layerscale_value": arguments["layer_scale"],
        "num_register_tokens": arguments["registers"],
        "rope_theta": arguments["rotary"]["temperature"],
    }


def clip_configuration(arguments, grid) -> dict:
    """Returns the configuration with which transformers' CLIP computes the same."""
    config = _tower("clip", "CLIPVision", arguments, grid)
    if arguments["classes"] is None:
        return config
    if arguments["classifier"] == "gap":
        return _classifying("clip", "CLIP", config, arguments)
    return {
        **config,
        "architectures": ["CLIPVisionModelWithProjection"],
        "projection_dim": arguments["classes"],
    }


def siglip_configuration(arguments, grid) -> dict:
    """Returns the configuration with which transformers' SigLIP computes the same."""
    config = _tower("siglip", "SiglipVision", arguments, grid)
    if arguments["classes"] is None:
        return config
    return _classifying("siglip", "Siglip", {**config, "vision_use_head": False}, arguments)


def _tower(kind, name, arguments, grid):
    config = _common(f"{kind}_vision_model", name, "", {**arguments, "classes": None}, grid)
    for ours in ("qkv_bias", "hidden_dropout_prob", "attention_probs_dropout_prob"):
        del config[ours]
    rate = arguments["attention_dropout_rate"]
    return {**config, "intermediate_size": arguments["mlp_dim"], "attention_dropout": rate}


def _classifying(kind, name, tower, arguments):
    architectures = [f"{name}ForImageClassification"]
    labels = _labels(arguments["classes"])
    return {"model_type": kind, "architectures": architectures, "vision_config": tower, **labels}


def _vit_like(kind, name, head, arguments, grid):
    config = _common(kind, name, head, arguments, grid)
    config["intermediate_size"] = arguments["mlp_dim"]
    if arguments["classes"] is None:
        width = arguments["representation_size"] or arguments["hidden_size"]
        config |= {"pooler_output_size": width, "pooler_act": "tanh"}
    return config


def _common(kind, name, head, arguments, grid):
    (ph, pw), channels = arguments["patch_size"], _channels(arguments)
    config = {
        "model_type": kind,
        "architectures": [f"{name}{'Model' if arguments['classes'] is None else head}"],
        "hidden_size": arguments["hidden_size"],
        "num_hidden_layers": arguments["num_layers"],
        "num_attention_heads": arguments["num_heads"],
        "layer_norm_eps": arguments["epsilon"],
        "image_size": _single((grid[0] * ph, grid[1] * pw)),
        "patch_size": _single((ph, pw)),
        "num_channels": channels,
        "qkv_bias": arguments["qkv_bias"],
        "hidden_dropout_prob": arguments["dropout_rate"],
        "attention_probs_dropout_prob": arguments["attention_dropout_rate"],
        **_labels(arguments["classes"]),
    }
    if activation := activation_name(arguments["activation"]):
        config["hidden_act"] = activation
    return config


def bit_configuration(arguments, grid) -> dict:
    """Returns the configuration with which transformers computes the same."""
    width, depths = int(64 * arguments["width_factor"]), list(arguments["block_counts"])
    headless = arguments["classes"] is None
    return {
        "model_type": "bit",
        "architectures": ["BitModel" if headless else "BitForImageClassification"],
        "num_channels": _channels(arguments),
        "embedding_size": width,
        "hidden_sizes": [4 * width * 2**stage for stage in range(len(depths))],
        "depths": depths,
        "layer_type": "preactivation",
        "hidden_act": "relu",
        "global_padding": None,
        "num_groups": arguments["groups"],
        "embedding_dynamic_padding": False,
        "output_stride": max(32, 4 * 2 ** (len(depths) - 1)),
        "width_factor": 1,
        **_labels(arguments["classes"]),
    }


def activation_name(activation) -> str | None:
    """Returns their name of an activation; None where they have none."""
    return next((theirs for theirs, ours in ACTIVATIONS.items() if ours == activation), None)


def _labels(classes):
    """The number of classes, which transformers counts by their names."""
    if classes is None:
        return {}
    names = [f"LABEL_{index}" for index in range(classes)]
    return {
        "id2label": {str(index): name for index, name in enumerate(names)},
        "label2id": {name: index for index, name in enumerate(names)},
    }


def _channels(arguments):
    return arguments["input_shape"][-1 if arguments["data_format"] == "channels_last" else 0]


def _pair(value):
    return (value, value) if isinstance(value, int) else tuple(value)[:2]


def _single(pair):
    return pair[0] if pair[0] == pair[1] else list(pair)
