"""timm's EVA, EVA-02 and DINOv3, written down again: their weights, and a NumPy forward pass.

Positions turn queries and keys as complex numbers here. It shares no code with `keras_vit` and needs
no timm, whose outputs it gives: compared by hand with timm 1.0.31
(`python -m tests.keras_vit.weights.eva_reference`, where timm is).

Reference: huggingface/pytorch-image-models, timm/models/eva.py and timm/layers/mlp.py.
"""

import sys
from collections.abc import Mapping

import numpy as np

from tests.keras_vit.weights.timm_reference import (
    Arrays,
    activate,
    attend,
    compare_with_timm,
    embed,
)

WIDTH, HIDDEN, HEADS, DEPTH, PATCH, CLASSES = 16, 24, 2, 2, 4, 3


def draw(
    rng: np.random.Generator,
    *,
    grid: tuple[int, int] = (3, 2),
    class_token: bool = True,
    registers: int = 0,
    positions: bool = True,
    layer_scale: bool = False,
    norm: str = "norm",  # or "fc_norm"
    fused: bool = True,  # query, key and value
    biases: bool = True,
    mlp: str = "plain",  # "packed", "apart", "normed"
    attention_norm: bool = False,
    classes: int = CLASSES,
    depth: int = DEPTH,
) -> Arrays:
    """Random weights of a model with these options."""

    def normal(*shape, mean=0.0):
        return (mean + 0.3 * rng.standard_normal(shape)).astype("float32")

    def linear(name, inputs, outputs, bias=True):
        made = {f"{name}.weight": normal(outputs, inputs)}
        return made | ({f"{name}.bias": normal(outputs)} if bias else {})

    def layer_norm(name, width=WIDTH):
        return {f"{name}.weight": normal(width, mean=1.0), f"{name}.bias": normal(width)}

    result = linear("patch_embed.proj", 1, WIDTH)
    result["patch_embed.proj.weight"] = normal(WIDTH, 3, PATCH, PATCH)
    tokens = {"cls_token": int(class_token), "reg_token": registers}
    result |= {name: normal(1, number, WIDTH) for name, number in tokens.items() if number}
    if positions:
        result["pos_embed"] = normal(1, grid[0] * grid[1] + sum(tokens.values()), WIDTH)
    for i in range(depth):
        block = f"blocks.{i}"
        result |= layer_norm(f"{block}.norm1") | layer_norm(f"{block}.norm2")
        if fused:
            result[f"{block}.attn.qkv.weight"] = normal(3 * WIDTH, WIDTH)
            result |= {f"{block}.attn.{part}_bias": normal(WIDTH) for part in "qv" if biases}
        else:
            for part in "qkv":
                has = biases and part != "k"
                result |= linear(f"{block}.attn.{part}_proj", WIDTH, WIDTH, has)
        result |= linear(f"{block}.attn.proj", WIDTH, WIDTH)
        result |= layer_norm(f"{block}.attn.norm") if attention_norm else {}
        if mlp in ("plain", "packed"):
            result |= linear(f"{block}.mlp.fc1", WIDTH, HIDDEN * (1 + (mlp == "packed")))
        else:
            result |= linear(f"{block}.mlp.fc1_g", WIDTH, HIDDEN)
            result |= linear(f"{block}.mlp.fc1_x", WIDTH, HIDDEN)
        result |= layer_norm(f"{block}.mlp.norm", HIDDEN) if mlp == "normed" else {}
        result |= linear(f"{block}.mlp.fc2", HIDDEN, WIDTH)
        if layer_scale:
            result |= {f"{block}.gamma_{n}": normal(WIDTH, mean=1.0) for n in (1, 2)}
    result |= layer_norm(norm)
    return result | (linear("head", WIDTH, classes) if classes else {})


def forward(
    weights: Mapping[str, np.ndarray],
    images: np.ndarray,  # (B, H, W, C)
    rotary: str = "",  # "numbered" (EVA-02), "centred" (DINOv3)
    pooling: str = "avg",  # "token"
    epsilon: float = 1e-6,
    reference: tuple[int, int] = (16, 16),
) -> np.ndarray:
    """The logits (B, K), or what is pooled where the weights hold no head."""
    w = {name: np.asarray(value, np.float64) for name, value in weights.items()}

    def linear(name, x):
        return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0.0)

    def layer_norm(name, x):
        if f"{name}.weight" not in w:
            return x
        x = x - x.mean(axis=-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + epsilon)
        return x * w[f"{name}.weight"] + w[f"{name}.bias"]

    def projections(name, x):
        if f"{name}.q_proj.weight" in w:
            return [linear(f"{name}.{part}_proj", x) for part in "qkv"]
        q, k, v = np.split(x @ w[f"{name}.qkv.weight"].T, 3, axis=-1)
        return q + w.get(f"{name}.q_bias", 0.0), k, v + w.get(f"{name}.v_bias", 0.0)

    def mlp(name, x):
        if f"{name}.fc1_g.weight" in w:
            gate, hidden = linear(f"{name}.fc1_g", x), linear(f"{name}.fc1_x", x)
        elif len(w[f"{name}.fc1.weight"]) == 2 * HIDDEN:
            gate, hidden = np.split(linear(f"{name}.fc1", x), 2, axis=-1)
        else:
            return linear(f"{name}.fc2", activate(linear(f"{name}.fc1", x), "gelu"))
        y = layer_norm(f"{name}.norm", activate(gate, "silu") * hidden)
        return linear(f"{name}.fc2", y)

    x = embed(w, np.asarray(images, np.float64))  # (B, N, D)
    before = [
        np.broadcast_to(w[name], (len(x), *w[name].shape[1:]))
        for name in ("cls_token", "reg_token")
        if name in w
    ]
    prefix = sum(token.shape[1] for token in before)
    x = np.concatenate([*before, x], axis=1) + w.get("pos_embed", 0.0)
    grid = (images.shape[1] // PATCH, images.shape[2] // PATCH)
    angles = turns(rotary, grid, reference)
    for i in range(sum(name.endswith(".norm2.weight") for name in w)):
        block = f"blocks.{i}"
        q, k, v = projections(f"{block}.attn", layer_norm(f"{block}.norm1", x))
        if rotary:
            q, k = turned(q, angles, prefix, rotary), turned(k, angles, prefix, rotary)
        y = layer_norm(f"{block}.attn.norm", attend(q, k, v, HEADS))
        x = x + linear(f"{block}.attn.proj", y) * w.get(f"{block}.gamma_1", 1.0)
        y = mlp(f"{block}.mlp", layer_norm(f"{block}.norm2", x))
        x = x + y * w.get(f"{block}.gamma_2", 1.0)
    x = layer_norm("norm", x)
    pooled = x[:, prefix:].mean(axis=1) if pooling == "avg" else x[:, 0]
    pooled = layer_norm("fc_norm", pooled)
    return linear("head", pooled) if "head.weight" in w else pooled


def turns(rotary: str, grid: tuple[int, int], reference: tuple[int, int]) -> np.ndarray:
    """The angles (patches, head width / 2): first those of the row, then those of the column."""
    quarter, result = WIDTH // HEADS // 4, []
    temperature = 100.0 if rotary == "centred" else 10000.0
    for row in range(grid[0]):
        for column in range(grid[1]):
            if rotary == "centred":
                at = [
                    2 * np.pi * (2 * (n + 0.5) / side - 1) for n, side in zip((row, column), grid)
                ]
            else:
                at = [n * ref / side for n, ref, side in zip((row, column), reference, grid)]
            result.append([a / temperature ** (k / quarter) for a in at for k in range(quarter)])
    return np.array(result)


def turned(x: np.ndarray, angles: np.ndarray, prefix: int, rotary: str) -> np.ndarray:
    """Each head's values, two by two, as complex numbers times exp(i * angle)."""
    heads = []
    for head in np.split(x, HEADS, axis=-1):
        tokens, patches = head[:, :prefix], head[:, prefix:]
        if rotary == "centred":
            real, imaginary = np.split(patches, 2, axis=-1)
        else:
            real, imaginary = patches[..., 0::2], patches[..., 1::2]
        z = (real + 1j * imaginary) * np.exp(1j * angles)
        if rotary == "centred":
            patches = np.concatenate([z.real, z.imag], axis=-1)
        else:
            patches = np.stack([z.real, z.imag], axis=-1).reshape(patches.shape)
        heads.append(np.concatenate([tokens, patches], axis=1))
    return np.concatenate(heads, axis=-1)


# name of an architecture -> options of `draw`, options of `forward`
FAMILIES: dict[str, tuple[dict, dict]] = {
    "eva02_tiny_patch14_336.mim_in22k_ft_in1k": (
        {"norm": "fc_norm", "mlp": "packed"},
        {"rotary": "numbered"},
    ),
    "eva02_base_patch14_448": (
        {"norm": "fc_norm", "mlp": "normed", "fused": False},
        {"rotary": "numbered"},
    ),
    "eva02_large_patch14_clip_336": (
        {"mlp": "normed", "fused": False, "attention_norm": True},
        {"rotary": "numbered", "pooling": "token"},
    ),
    "eva_giant_patch14_224": ({"norm": "fc_norm"}, {}),
    "vit_base_patch16_dinov3.lvd1689m": (
        {"registers": 4, "positions": False, "layer_scale": True, "biases": False, "classes": 0},
        {"rotary": "centred", "epsilon": 1e-5},
    ),
    "vit_small_plus_patch16_dinov3_qkvb": (
        {"registers": 4, "positions": False, "layer_scale": True, "mlp": "apart"},
        {"rotary": "centred", "epsilon": 1e-5, "pooling": "token"},
    ),
    "vit_medium_patch16_rope_reg1_gap_256": (
        {
            "class_token": False,
            "registers": 1,
            "positions": False,
            "layer_scale": True,
            "norm": "fc_norm",
        },
        {"rotary": "numbered"},
    ),
}


def timm_options(made: dict, run: dict) -> dict:
    """The arguments of timm's constructors, as in a config's `model_args`."""
    return dict(
        img_size=[12, 8],
        patch_size=PATCH,
        embed_dim=WIDTH,
        depth=DEPTH,
        num_heads=HEADS,
        mlp_ratio=HIDDEN / WIDTH,
        num_classes=made.get("classes", CLASSES),
        global_pool=run.get("pooling", "avg"),
    )


if __name__ == "__main__":
    compare_with_timm(sys.modules[__name__])
