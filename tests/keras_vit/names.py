"""Our weights under the authors' names, written down by hand for the tests.

It is deliberately not `keras_vit.weights`: the references must not lean on the code they check.
"""

import re

import keras
import numpy as np

ATTENTION = {"query": "query", "key": "key", "value": "value", "output": "out"}
BLOCK = {
    "attention_norm": "LayerNorm_0",
    "mlp_norm": "LayerNorm_2",
    "mlp/hidden": "MlpBlock_3/Dense_0",
    "mlp/output": "MlpBlock_3/Dense_1",
    **{f"attention/{ours}": f"MultiHeadDotProductAttention_1/{n}" for ours, n in ATTENTION.items()},
}
POOLING = {
    "norm": "LayerNorm_0",
    "mlp/hidden": "MlpBlock_0/Dense_0",
    "mlp/output": "MlpBlock_0/Dense_1",
    **{f"attention/{ours}": f"MultiHeadDotProductAttention_0/{n}" for ours, n in ATTENTION.items()},
}
UNIT = {
    **{f"conv{i}": f"conv{i}" for i in (1, 2, 3)},
    **{f"norm{i}": f"gn{i}" for i in (1, 2, 3)},
    "projection": "conv_proj",
    "projection_norm": "gn_proj",
}
TOP = {
    "patch_embedding/projection": "embedding",
    "encoder_norm": "Transformer/encoder_norm",
    "pre_logits": "pre_logits",
    "head": "head",
    "stem_conv": "conv_root",
    "stem_norm": "gn_root",
    "root_conv": "conv_root",
    "final_norm": "norm-pre-head",
}
WHOLE = {
    "class_token/class_token": "cls",
    "position_embedding/position_embedding": "Transformer/posembed_input/pos_embedding",
    "position_embedding/row_embedding": "Transformer/posembed_input/row_embedding",
    "position_embedding/column_embedding": "Transformer/posembed_input/column_embedding",
    "position_embedding/prefix_embedding": "Transformer/posembed_input/prefix_embedding",
    "pooling/probe": "MAPHead_0/probe",
}
LEAVES = {"gamma": "scale", "beta": "bias", "kernel": "kernel", "bias": "bias"}


def reference_name(path: str) -> str:
    """The authors' name for a weight of ours; a path without one fails the test."""
    if path in WHOLE:
        return WHOLE[path]
    layer, leaf = path.rsplit("/", 1)
    if match := re.fullmatch(r"block_(\d+)/attention/position_bias", layer):
        return f"Transformer/encoderblock_{match[1]}/relative_bias"
    if match := re.fullmatch(r"block_(\d+)/(.+)", layer):
        name = f"Transformer/encoderblock_{match[1]}/{BLOCK[match[2]]}"
    elif match := re.fullmatch(r"pooling/(.+)", layer):
        name = f"MAPHead_0/{POOLING[match[1]]}"
    elif match := re.fullmatch(r"(?:stem_)?stage(\d+)_unit(\d+)/(.+)", layer):
        name = f"block{match[1]}/unit{match[2]}/{UNIT[match[3]]}"
    else:
        name = TOP[layer]
    return f"{name}/{LEAVES[leaf]}"


def reference_weights(model: keras.Model) -> dict[str, np.ndarray]:
    """Every weight of the model under the authors' names and in their shapes."""
    result = {}
    for weight in model.weights:
        if weight.path.endswith("seed_generator_state"):
            continue
        name = reference_name(weight.path)
        value = np.array(keras.ops.convert_to_numpy(weight))
        heads = model.get_config().get("num_heads")
        if re.search(r"Attention_\d/(query|key|value)/", name):
            value = value.reshape(*value.shape[:-1], heads, -1)  # (D, heads, d) and (heads, d)
        elif re.search(r"Attention_\d/out/kernel", name):
            value = value.reshape(heads, -1, value.shape[-1])  # (heads, d, D)
        elif name == "embedding/kernel":
            value = value.reshape(*model.get_config()["patch_size"], -1, value.shape[-1])
        assert name not in result, f"two weights are called {name}"
        result[name] = value
    return result


def randomise(model: keras.Model, rng: np.random.Generator, scale: float = 0.3) -> None:
    """Gives every weight, biases, norms and heads too, a value that matters."""
    for weight in model.weights:
        if weight.path.endswith("seed_generator_state"):
            continue
        shift = 1.0 if weight.path.endswith("gamma") else 0.0
        weight.assign((shift + rng.normal(scale=scale, size=weight.shape)).astype("float32"))
