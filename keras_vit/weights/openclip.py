"""OpenCLIP's own files: the image tower, a plain ViT; the text tower beside it is left aside.

Reference: mlfoundations/open_clip, src/open_clip/transformer.py and model.py (`CLIPVisionCfg`).
"""

import numpy as np

from keras_vit.layers.activations import GELU_EXACT, GELU_QUICK
from keras_vit.weights.description import OPENCLIP_CONFIG, Description
from keras_vit.weights.pytorch import LAYOUTS, LEAVES
from keras_vit.weights.rules import POSITION, TOKEN, WITHOUT_BATCH, Format, Rule

_BLOCK = "visual.transformer.resblocks.{i}"
RULES = (
    Rule("patch_embedding/projection", "visual.conv1", "patches"),
    Rule("class_token/class_token", "visual.class_embedding", "whole"),
    Rule(POSITION, "visual.positional_embedding", "whole"),
    Rule("pre_norm", "visual.ln_pre", "norm"),
    Rule("block_{i}/attention_norm", f"{_BLOCK}.ln_1", "norm"),
    Rule("block_{i}/attention/query", f"{_BLOCK}.attn.in_proj", part=(0, 3)),
    Rule("block_{i}/attention/key", f"{_BLOCK}.attn.in_proj", part=(1, 3)),
    Rule("block_{i}/attention/value", f"{_BLOCK}.attn.in_proj", part=(2, 3)),
    Rule("block_{i}/attention/output", f"{_BLOCK}.attn.out_proj"),
    Rule("block_{i}/attention_scale/scale", f"{_BLOCK}.ls_1.gamma", "whole"),
    Rule("block_{i}/mlp_norm", f"{_BLOCK}.ln_2", "norm"),
    Rule("block_{i}/mlp/hidden", f"{_BLOCK}.mlp.c_fc"),
    Rule("block_{i}/mlp/output", f"{_BLOCK}.mlp.c_proj"),
    Rule("block_{i}/mlp_scale/scale", f"{_BLOCK}.ls_2.gamma", "whole"),
    Rule("encoder_norm", "visual.ln_post", "norm"),
    Rule("head/kernel", "visual.proj", "whole"),  # (D, outputs)
    Rule("head/bias", "visual.proj.bias", "whole"),
)
# of a `vision_cfg`, what shapes and names show, and what inference does not need
_SHOWN = {
    *("image_size", "patch_size", "width", "layers", "mlp_ratio", "ls_init_value"),
    *("patch_dropout", "output_tokens"),
}


def _canonical(arrays):
    result = {}
    for name in arrays:
        if name.startswith("visual."):
            result[name.replace(".attn.in_proj_", ".attn.in_proj.")] = (name, arrays[name])
    if "visual.proj" in result:  # a head without a bias
        kernel = result["visual.proj"][1]
        result["visual.proj.bias"] = ("visual.proj", np.zeros(kernel.shape[1], kernel.dtype))
    return result


def _described(configurations, arrays) -> Description:
    config = configurations[OPENCLIP_CONFIG].get("model_cfg") or {}
    vision = config.get("vision_cfg") or {}
    arguments, obstacles = {}, []
    if "width" in vision:
        arguments["num_heads"] = vision["width"] // vision.get("head_width", 64)
        arguments["activation"] = GELU_QUICK if config.get("quick_gelu") else GELU_EXACT
    for name, value in vision.items():
        if name == "act_kwargs" and value == {"approximate": "tanh"}:
            arguments["activation"] = "gelu_tanh"
        elif name == "norm_kwargs" and set(value or {}) == {"eps"}:
            arguments["epsilon"] = value["eps"]
        elif (name, value) == ("pool_type", "tok"):
            continue
        elif name not in _SHOWN and name != "head_width" and value not in (None, False, {}):
            obstacles.append(f"{name}={value!r}")
    size, kernel, grid = vision.get("image_size"), arrays.get("visual.conv1.weight"), None
    if size is not None and kernel is not None:
        sides = (size, size) if isinstance(size, int) else size
        grid = tuple(side // step for side, step in zip(sides, kernel.shape[2:], strict=True))
    return Description(arguments, grid, tuple(obstacles), place=f"its {OPENCLIP_CONFIG}")


OPENCLIP = Format(
    source="openclip",
    family="vit",
    title="OpenCLIP's image tower",
    rules=RULES,
    leaves=LEAVES,
    layouts={**LAYOUTS, "whole": {"class_token": TOKEN, "position_embedding": WITHOUT_BATCH}},
    recognises=lambda names: {"visual.conv1.weight", "visual.class_embedding"} <= set(names),
    canonical=_canonical,
    interpolation="bicubic_antialias",
    epsilon=1e-5,
    obstacle=lambda config: "weights are not written in OpenCLIP's layout",
    described=_described,
)
