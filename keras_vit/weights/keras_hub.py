"""keras-hub's ViT: `.weights.h5` files and preset folders.

Keras numbers a layer's weights in such files instead of naming them: `vars/0`, `vars/1`. The layers
between backbone and output are called by their class, so that the last one is the head and one
before it the representation layer. What the head is on, the class token or the average, only a
preset folder says, in its task.json.

Reference: keras-team/keras-hub, keras_hub/src/models/vit.
"""

import re

from keras_vit.weights.description import Description
from keras_vit.weights.rules import (
    HEADS_IN,
    HEADS_OUT,
    PATCHES,
    POSITION,
    WITHOUT_BATCH,
    Format,
    Rule,
)

_EMBEDDING = "vi_t_patching_and_embedding"
_BLOCK = "vi_t_encoder/encoder_layers/vi_t_encoder_block{tail}"

VIT_RULES = (
    Rule("patch_embedding/projection", f"{_EMBEDDING}/patch_embedding/vars", "patches"),
    Rule("class_token/class_token", f"{_EMBEDDING}/vars/0", "whole"),
    Rule(POSITION, f"{_EMBEDDING}/position_embedding/vars/0", "whole"),
    Rule("block_{i}/attention_norm", f"{_BLOCK}/layer_norm_1/vars"),
    Rule("block_{i}/attention/query", f"{_BLOCK}/mha/query_dense/vars", "heads out"),
    Rule("block_{i}/attention/key", f"{_BLOCK}/mha/key_dense/vars", "heads out"),
    Rule("block_{i}/attention/value", f"{_BLOCK}/mha/value_dense/vars", "heads out"),
    Rule("block_{i}/attention/output", f"{_BLOCK}/mha/output_dense/vars", "heads in"),
    Rule("block_{i}/mlp_norm", f"{_BLOCK}/layer_norm_2/vars"),
    Rule("block_{i}/mlp/hidden", f"{_BLOCK}/mlp/dense_1/vars"),
    Rule("block_{i}/mlp/output", f"{_BLOCK}/mlp/dense_2/vars"),
    Rule("encoder_norm", "vi_t_encoder/layer_norm/vars"),
    Rule("pre_logits", "pre_logits/vars"),
    Rule("head", "predictions/vars"),
)

_LIST = "(?:layers|_layer_checkpoint_dependencies)"  # the latter in files of early Keras 3
_PREFIX = re.compile(rf"{_LIST}/(?:vi_t_backbone\w*/{_LIST}/)?")


def _canonical(arrays):
    names = {name: _PREFIX.sub("", name, count=1) for name in arrays}
    two_layers = any(name.startswith("dense_1/") for name in names.values())
    result = {}
    for origin, name in names.items():
        if name.startswith("optimizer/"):
            continue
        if match := re.fullmatch(r"dense(_1)?/(vars/.+)", name):
            last = bool(match[1]) == two_layers
            name = f"{'predictions' if last else 'pre_logits'}/{match[2]}"
        result[name] = (origin, arrays[origin])
    return result


def _described(configurations, arrays):
    config = configurations["config.json"].get("config") or {}
    arguments = {}
    if "layer_norm_epsilon" in config:
        arguments["epsilon"] = config["layer_norm_epsilon"]
    size, patch = config.get("image_shape"), config.get("patch_size")
    grid = None
    if size is not None and patch is not None and config.get("data_format") != "channels_first":
        sides = (patch, patch) if isinstance(patch, int) else patch
        grid = tuple(side // step for side, step in zip(size[:2], sides, strict=True))
    pooling = (configurations["task.json"].get("config") or {}).get("pooling")
    token = f"{_EMBEDDING}/vars/0" in arrays
    obstacles: tuple[str, ...] = ()
    if pooling not in (None, "token" if token else "gap"):
        obstacles = (f"pooling={pooling!r} {'with' if token else 'without'} a class token",)
    return Description(arguments, grid, head_obstacles=obstacles, place="its preset folder")


KERAS_HUB_VIT = Format(
    source="keras_hub",
    family="vit",
    title="keras-hub's ViT",
    rules=VIT_RULES,
    leaves={"kernel": "0", "bias": "1", "gamma": "0", "beta": "1"},
    layouts={
        "patches": {"kernel": PATCHES},
        "heads out": {"kernel": HEADS_OUT, "bias": HEADS_OUT},
        "heads in": {"kernel": HEADS_IN},
        "whole": {"position_embedding": WITHOUT_BATCH},
    },
    recognises=lambda names: any(f"{_EMBEDDING}/" in name for name in names),
    canonical=_canonical,
    separator="/",
    activation="gelu",
    epsilon=1e-6,
    described=_described,
    obstacle=lambda config: "weights are not written in keras-hub's layout",
)
