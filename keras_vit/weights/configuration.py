"""What a `config.json` beside the weights says of the model, as arguments of ours.

timm's names an architecture; transformers' spells the model out, sometimes below `vision_config`.
"""

from keras_vit.layers.activations import GELU_EXACT, GELU_QUICK, GELU_TANH
from keras_vit.weights.timm_architectures import timm_arguments

# transformers' (and timm's) names of activations that have one here
ACTIVATIONS = {
    "gelu": GELU_EXACT,
    "gelu_python": GELU_EXACT,
    "gelu_new": GELU_TANH,
    "gelu_pytorch_tanh": GELU_TANH,
    "gelu_fast": GELU_TANH,
    "gelu_accurate": GELU_TANH,
    "gelu_tanh": GELU_TANH,
    "quick_gelu": GELU_QUICK,
}
_TIMM_POOLING = {"token": "token", "avg": "gap", "map": "map", "": None, None: None}
# timm's arguments that names and shapes in the file tell, or that inference does not need
_TOLD_BY_NAMES = {
    *("img_size", "patch_size", "in_chans", "num_classes", "embed_dim", "depth", "mlp_ratio"),
    *("qkv_bias", "init_values", "class_token", "reg_tokens", "no_embed_class", "pos_embed"),
    *("pre_norm", "final_norm", "fc_norm", "drop_rate", "pos_drop_rate", "patch_drop_rate"),
    *("proj_drop_rate", "attn_drop_rate", "drop_path_rate", "weight_init", "fix_init"),
    *("dynamic_img_size", "dynamic_img_pad"),
}


def vision_part(config: dict) -> dict:
    """Returns the part of a configuration that is about images."""
    part = config.get("vision_config")
    return part if isinstance(part, dict) else config


def described(config: dict) -> dict:
    """Returns the arguments of VisionTransformer that a configuration decides.

    Args:
        config: the content of a `config.json`; may be empty.

    Raises:
        ValueError: for a model that no VisionTransformer computes, with the reason.
    """
    if isinstance(config.get("architecture"), str):
        return _timm(config)
    config = vision_part(config)
    return _transformers(config) if "num_attention_heads" in config else {}


def _timm(config):
    name, changed = config["architecture"], dict(config.get("model_args") or {})
    found = dict(timm_arguments(name) or {})
    pooling = changed.pop("global_pool", config.get("global_pool"))
    if pooling not in _TIMM_POOLING:
        raise ValueError(
            f"timm's {name} has global_pool={pooling!r}, which no classifier here computes; those "
            "that are: 'token', 'avg' and 'map'."
        )
    if _TIMM_POOLING[pooling] is not None:
        found["classifier"] = _TIMM_POOLING[pooling]
    if "num_heads" in changed:
        found["num_heads"] = changed.pop("num_heads")
    if changed.get("act_layer") in ACTIVATIONS:
        found["activation"] = ACTIVATIONS[changed.pop("act_layer")]
    if others := sorted(set(changed) - _TOLD_BY_NAMES):
        raise ValueError(
            f"timm's {name} was built with {', '.join(others)}, which no VisionTransformer here "
            "computes."
        )
    return found


def _transformers(config):
    kind = config.get("model_type", "transformers' model")
    if config.get("use_swiglu_ffn"):
        raise ValueError(f"{kind} has SwiGLU in its blocks, which no VisionTransformer computes.")
    if config.get("pooler_act", "tanh") != "tanh":
        raise ValueError(
            f"{kind} has pooler_act={config['pooler_act']!r}; the representation layer is tanh."
        )
    found = {"num_heads": config["num_attention_heads"]}
    if (name := config.get("hidden_act")) is not None:
        found["activation"] = ACTIVATIONS.get(name, name)
    if (epsilon := config.get("layer_norm_eps")) is not None:
        found["epsilon"] = epsilon
    return found
