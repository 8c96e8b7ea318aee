"""timm's plain ViTs, written down again: names and shapes of their weights, and a NumPy forward pass.

It shares no code with `keras_vit` and needs no timm, whose outputs it gives: compared by hand with
timm 1.0.31 over the options below (`python -m tests.keras_vit.weights.timm_reference`, where timm is).

Reference: huggingface/pytorch-image-models, timm/models/vision_transformer.py, deit.py and
timm/layers/attention_pool.py.
"""

import sys
from collections.abc import Mapping
from types import ModuleType

import numpy as np
from scipy.special import erf

Arrays = dict[str, np.ndarray]
WIDTH, HIDDEN, HEADS, DEPTH, PATCH, CLASSES = 8, 12, 2, 2, 4, 3


def draw(
    rng: np.random.Generator,
    *,
    grid: tuple[int, int] = (3, 2),
    class_token: bool = True,
    dist_token: bool = False,
    registers: int = 0,
    slots: bool = True,  # timm's `no_embed_class=False`
    layer_scale: bool = False,
    pre_norm: bool = False,  # without a bias of the patches
    norm: str = "norm",  # or "fc_norm", or ""
    pool: bool = False,
    qkv_bias: bool = True,
    gated: bool = False,  # the gate in front of the hidden layer
    classes: int = CLASSES,
    channels: int = 3,
    depth: int = DEPTH,
) -> Arrays:
    """Random weights of a model with these options."""

    def normal(*shape, mean=0.0):
        return (mean + 0.3 * rng.standard_normal(shape)).astype("float32")

    def linear(name, inputs, outputs, bias=True):
        made = {f"{name}.weight": normal(outputs, inputs)}
        return made | ({f"{name}.bias": normal(outputs)} if bias else {})

    def layer_norm(name):
        return {f"{name}.weight": normal(WIDTH, mean=1.0), f"{name}.bias": normal(WIDTH)}

    result = {"patch_embed.proj.weight": normal(WIDTH, channels, PATCH, PATCH)}
    if not pre_norm:
        result["patch_embed.proj.bias"] = normal(WIDTH)
    tokens = {"cls_token": int(class_token), "dist_token": int(dist_token), "reg_token": registers}
    result |= {name: normal(1, number, WIDTH) for name, number in tokens.items() if number}
    count = grid[0] * grid[1] + (sum(tokens.values()) if slots else 0)
    result["pos_embed"] = normal(1, count, WIDTH)
    if pre_norm:
        result |= layer_norm("norm_pre")
    for i in range(depth):
        block = f"blocks.{i}"
        result |= layer_norm(f"{block}.norm1") | layer_norm(f"{block}.norm2")
        result |= linear(f"{block}.attn.qkv", WIDTH, 3 * WIDTH, qkv_bias)
        result |= linear(f"{block}.attn.proj", WIDTH, WIDTH)
        result |= linear(f"{block}.mlp.fc1", WIDTH, (1 + gated) * HIDDEN)
        result |= linear(f"{block}.mlp.fc2", HIDDEN, WIDTH)
        if layer_scale:
            result |= {f"{block}.ls{n}.gamma": normal(WIDTH, mean=1.0) for n in (1, 2)}
    if norm:
        result |= layer_norm(norm)
    if pool:
        result |= {"attn_pool.latent": normal(1, 1, WIDTH)} | linear("attn_pool.q", WIDTH, WIDTH)
        result |= linear("attn_pool.kv", WIDTH, 2 * WIDTH) | linear("attn_pool.proj", WIDTH, WIDTH)
        result |= layer_norm("attn_pool.norm") | linear("attn_pool.mlp.fc1", WIDTH, HIDDEN)
        result |= linear("attn_pool.mlp.fc2", HIDDEN, WIDTH)
    if classes:
        result |= linear("head", WIDTH, classes)
    if dist_token and classes:
        result |= linear("head_dist", WIDTH, classes)
    return result


def forward(
    weights: Mapping[str, np.ndarray],
    images: np.ndarray,  # (B, H, W, C)
    heads: int = HEADS,
    pooling: str = "token",  # "avg", "map"
    activation: str = "gelu",
    epsilon: float = 1e-6,
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

    def mlp(name, x):
        x = linear(f"{name}.fc1", x)
        if x.shape[-1] == 2 * w[f"{name}.fc2.weight"].shape[-1]:
            gate, x = np.split(x, 2, axis=-1)
            return linear(f"{name}.fc2", activate(gate, "silu") * x)
        return linear(f"{name}.fc2", activate(x, activation))

    x = embed(w, np.asarray(images, np.float64))  # (B, N, D)
    before = [
        np.broadcast_to(w[name], (len(x), *w[name].shape[1:]))
        for name in ("cls_token", "dist_token", "reg_token")
        if name in w
    ]
    prefix = sum(token.shape[1] for token in before)
    if w["pos_embed"].shape[1] == x.shape[1]:  # positions first, tokens after
        x = np.concatenate([*before, x + w["pos_embed"]], axis=1)
    else:
        x = np.concatenate([*before, x], axis=1) + w["pos_embed"]
    x = layer_norm("norm_pre", x)
    for i in range(sum(name.endswith(".norm2.weight") for name in w)):
        block = f"blocks.{i}"
        y = layer_norm(f"{block}.norm1", x)
        q, k, v = np.split(linear(f"{block}.attn.qkv", y), 3, axis=-1)
        y = linear(f"{block}.attn.proj", attend(q, k, v, heads))
        x = x + y * w.get(f"{block}.ls1.gamma", 1.0)
        y = mlp(f"{block}.mlp", layer_norm(f"{block}.norm2", x))
        x = x + y * w.get(f"{block}.ls2.gamma", 1.0)
    x = layer_norm("norm", x)
    if pooling == "map":
        latent = np.broadcast_to(w["attn_pool.latent"], (len(x), 1, x.shape[-1]))
        k, v = np.split(linear("attn_pool.kv", x[:, prefix:]), 2, axis=-1)
        y = linear("attn_pool.proj", attend(linear("attn_pool.q", latent), k, v, heads))
        pooled = (y + mlp("attn_pool.mlp", layer_norm("attn_pool.norm", y)))[:, 0]
    else:
        pooled = x[:, prefix:].mean(axis=1) if pooling == "avg" else x[:, 0]
    if "head_dist.weight" in w:
        return (linear("head", pooled) + linear("head_dist", x[:, 1])) / 2
    pooled = layer_norm("fc_norm", pooled)
    return linear("head", pooled) if "head.weight" in w else pooled


def embed(w: Arrays, images: np.ndarray) -> np.ndarray:
    """One patch after the other, row by row."""
    kernel = w["patch_embed.proj.weight"]
    size, tokens = kernel.shape[-1], []
    for row in range(0, images.shape[1], size):
        for column in range(0, images.shape[2], size):
            patch = images[:, row : row + size, column : column + size].transpose(0, 3, 1, 2)
            tokens.append(patch.reshape(len(images), -1) @ kernel.reshape(len(kernel), -1).T)
    return np.stack(tokens, axis=1) + w.get("patch_embed.proj.bias", 0.0)


def attend(q: np.ndarray, k: np.ndarray, v: np.ndarray, heads: int) -> np.ndarray:
    """Softmax attention, head by head."""
    result = []
    for a, b, c in zip(*(np.split(x, heads, axis=-1) for x in (q, k, v)), strict=True):
        logits = a @ b.transpose(0, 2, 1) / np.sqrt(a.shape[-1])
        scores = np.exp(logits - logits.max(axis=-1, keepdims=True))
        result.append(scores / scores.sum(axis=-1, keepdims=True) @ c)
    return np.concatenate(result, axis=-1)


def activate(x: np.ndarray, name: str) -> np.ndarray:
    """The activations of their plain ViTs."""
    if name in ("quick_gelu", "silu"):
        return x / (1.0 + np.exp(-(1.702 if name == "quick_gelu" else 1.0) * x))
    if name == "gelu_tanh":
        return x * 0.5 * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3)))
    return x * 0.5 * (1.0 + erf(x / np.sqrt(2.0)))


# name of an architecture -> options of `draw`, options of `forward`
FAMILIES: dict[str, tuple[dict, dict]] = {
    "vit_base_patch16_224.augreg_in21k": ({}, {}),
    "vit_base_patch16_224_miil": ({"qkv_bias": False}, {}),
    "vit_small_patch14_dinov2.lvd142m": ({"layer_scale": True, "classes": 0}, {}),
    "vit_small_patch14_reg4_dinov2": (
        {"layer_scale": True, "registers": 4, "slots": False, "classes": 0},
        {},
    ),
    "vit_base_patch14_reg1_tipsv2": (
        {"layer_scale": True, "registers": 1, "slots": False, "classes": 0},
        {},
    ),
    "vit_giant_patch14_reg4_dinov2": (
        {"layer_scale": True, "registers": 4, "slots": False, "classes": 0, "gated": True},
        {},
    ),
    "deit3_base_patch16_224": ({"layer_scale": True, "slots": False}, {}),
    "flexivit_base": ({"slots": False}, {}),
    "deit_tiny_distilled_patch16_224": ({"dist_token": True}, {}),
    "vit_medium_patch16_reg4_gap_256": (
        {
            "class_token": False,
            "registers": 4,
            "slots": False,
            "layer_scale": True,
            "norm": "fc_norm",
        },
        {"pooling": "avg"},
    ),
    "vit_so150m_patch16_reg4_gap_256": ({"class_token": False, "registers": 4}, {"pooling": "avg"}),
    "vit_so150m_patch16_reg4_map_256": (
        {"class_token": False, "registers": 4, "pool": True},
        {"pooling": "map"},
    ),
    "eva_large_patch14_196": ({"norm": "fc_norm"}, {"pooling": "avg"}),
    "vit_base_patch16_gap_224": ({"class_token": False}, {"pooling": "avg"}),
    "vit_base_patch16_siglip_224": (
        {"class_token": False, "pool": True, "classes": 0},
        {"pooling": "map"},
    ),
    "vit_so400m_patch16_siglip_gap_256": (
        {"class_token": False, "classes": 0},
        {"pooling": "avg", "activation": "gelu_tanh"},
    ),
    "vit_base_patch32_clip_224.openai": ({"pre_norm": True}, {"epsilon": 1e-5}),
    "vit_base_patch32_clip_quickgelu_224": (
        {"pre_norm": True},
        {"epsilon": 1e-5, "activation": "quick_gelu"},
    ),
    "vit_intern300m_patch14_448": ({"layer_scale": True, "norm": ""}, {}),
}


def timm_options(made: dict, run: dict) -> dict:
    """The arguments of timm's constructors for the options here, as in a config's `model_args`."""
    dist = made.get("dist_token", False)
    options = dict(
        img_size=[12, 8],
        patch_size=PATCH,
        in_chans=3,
        embed_dim=WIDTH,
        depth=DEPTH,
        num_heads=HEADS,
        mlp_ratio=(1 + made.get("gated", False)) * HIDDEN / WIDTH,
        num_classes=made.get("classes", CLASSES),
        class_token=made.get("class_token", True),
        reg_tokens=made.get("registers", 0),
        no_embed_class=not made.get("slots", True),
        init_values=1e-5 if made.get("layer_scale") else None,
        pre_norm=made.get("pre_norm", False),
        qkv_bias=made.get("qkv_bias", True),
        global_pool=run.get("pooling", "token"),
        final_norm=bool(made.get("norm", "norm")),
        fc_norm=made.get("norm") == "fc_norm",
    )
    return {k: v for k, v in options.items() if not dist or k not in ("reg_tokens",)}


def compare_with_timm(reference: ModuleType) -> None:
    """Prints how far timm's own outputs are from those of this module, or one like it."""
    import timm
    import torch

    for name, (made, run) in reference.FAMILIES.items():
        rng = np.random.default_rng(0)
        arrays = reference.draw(rng, **made)
        images = rng.normal(size=(2, 12, 8, 3)).astype("float32")
        model = timm.create_model(
            name.partition(".")[0], **reference.timm_options(made, run)
        ).eval()
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        model.load_state_dict(tensors, strict=True)
        with torch.no_grad():
            theirs = model(torch.from_numpy(images.transpose(0, 3, 1, 2))).numpy()
        ours = reference.forward(arrays, images, **run)
        error = np.abs(theirs - ours).max() / np.abs(theirs).max()
        print(f"{error:.1e}  {name}")


if __name__ == "__main__":
    compare_with_timm(sys.modules[__name__])
