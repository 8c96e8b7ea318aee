"""A plain NumPy forward pass of the Vision Transformer, written from the paper's equations.

It shares no code with `keras_vit` and computes in float64. Weights are a flat dictionary under the
names of the authors' published `.npz` files; the kinds of position embedding that those files do not
know have names of their own (`Transformer/posembed_input/{row,column}_embedding` and
`Transformer/encoderblock_{i}/relative_bias`).

Reference: Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, equations 1 to 4 and
appendices A and D.4; the attention pooling head is that of Zhai et al., "Scaling Vision
Transformers", CVPR 2022.
"""

from collections.abc import Mapping

import numpy as np
from scipy.special import erf

Weights = Mapping[str, np.ndarray]


def vision_transformer(
    weights: Weights,
    images: np.ndarray,  # (B, H, W, C)
    *,
    patch_size: tuple[int, int],
    num_heads: int,
    num_layers: int,
    classifier: str = "token",
    position_embedding: str = "learned",
    activation: str = "gelu_tanh",
    epsilon: float = 1e-6,
) -> np.ndarray:
    """Returns the logits (B, K), or the representation where the weights hold no head."""
    weights = {name: np.asarray(value, np.float64) for name, value in weights.items()}
    tokens, grid = embed_patches(weights, np.asarray(images, np.float64), patch_size)
    prefix = 1 if classifier == "token" else 0
    if prefix:
        cls = np.broadcast_to(weights["cls"], (len(tokens), 1, tokens.shape[-1]))
        tokens = np.concatenate([cls, tokens], axis=1)
    tokens = tokens + position_table(weights, position_embedding, grid, prefix, tokens.shape[-1])
    for i in range(num_layers):
        block = below(weights, f"Transformer/encoderblock_{i}")
        bias = None
        if position_embedding == "relative":
            bias = relative_bias(block["relative_bias"], grid, prefix)
        tokens = encoder_block(block, tokens, num_heads, activation, epsilon, bias)
    tokens = layer_norm(below(weights, "Transformer/encoder_norm"), tokens, epsilon)
    if classifier == "token":
        features = tokens[:, 0]
    elif classifier == "gap":
        features = tokens.mean(axis=1)
    else:
        head = below(weights, "MAPHead_0")
        features = attention_pooling(head, tokens, num_heads, activation, epsilon)
    if "pre_logits/kernel" in weights:
        features = np.tanh(dense(below(weights, "pre_logits"), features))
    if "head/kernel" in weights:
        features = dense(below(weights, "head"), features)
    return features


def embed_patches(
    weights: Weights, images: np.ndarray, patch_size: tuple[int, int]
) -> tuple[np.ndarray, tuple[int, int]]:
    """Cuts out one patch after the other, row by row, and projects it (equation 1)."""
    ph, pw = patch_size
    rows, columns = images.shape[1] // ph, images.shape[2] // pw
    kernel = weights["embedding/kernel"].reshape(-1, weights["embedding/kernel"].shape[-1])
    tokens = []
    for r in range(rows):
        for c in range(columns):
            patch = images[:, r * ph : (r + 1) * ph, c * pw : (c + 1) * pw, :]
            tokens.append(patch.reshape(len(images), -1) @ kernel + weights["embedding/bias"])
    return np.stack(tokens, axis=1), (rows, columns)  # (B, N, D)


def position_table(
    weights: Weights, kind: str, grid: tuple[int, int], prefix: int, width: int
) -> np.ndarray:
    """The addend of every token, (1, prefix + N, D) or something that broadcasts to it."""
    root = "Transformer/posembed_input"
    if kind == "learned":
        return weights[f"{root}/pos_embedding"]
    if kind in ("none", "relative"):
        return np.zeros((1, 1, 1))
    table = np.zeros((prefix + grid[0] * grid[1], width))
    for r in range(grid[0]):
        for c in range(grid[1]):
            if kind == "learned_2d":
                entry = np.concatenate(
                    [weights[f"{root}/column_embedding"][c], weights[f"{root}/row_embedding"][r]]
                )
            else:
                omega = 1.0 / 10_000 ** (np.arange(width // 4) / (width // 4 - 1))
                entry = np.concatenate(
                    [np.sin(c * omega), np.cos(c * omega), np.sin(r * omega), np.cos(r * omega)]
                )
            table[prefix + r * grid[1] + c] = entry
    if kind == "learned_2d" and prefix:
        table[0] = weights[f"{root}/prefix_embedding"].reshape(-1)
    return table[None]


def relative_bias(table: np.ndarray, grid: tuple[int, int], prefix: int) -> np.ndarray:
    """Spreads a table over row and column offsets to (heads, prefix + N, prefix + N).

    `table` is (heads, (2 rows - 1) (2 columns - 1) + 3): offsets from key to query, row offset
    first, then prefix to patch, patch to prefix and prefix to prefix.
    """
    rows, columns = grid
    count = prefix + rows * columns
    bias = np.zeros((table.shape[0], count, count))
    bias[:, :prefix, prefix:] = table[:, -3, None, None]
    bias[:, prefix:, :prefix] = table[:, -2, None, None]
    bias[:, :prefix, :prefix] = table[:, -1, None, None]
    offsets = table[:, :-3].reshape(-1, 2 * rows - 1, 2 * columns - 1)
    for query in range(rows * columns):
        for key in range(rows * columns):
            dr = query // columns - key // columns + rows - 1
            dc = query % columns - key % columns + columns - 1
            bias[:, prefix + query, prefix + key] = offsets[:, dr, dc]
    return bias


def encoder_block(
    weights: Weights,
    x: np.ndarray,
    num_heads: int,
    activation: str,
    epsilon: float,
    bias: np.ndarray | None = None,
) -> np.ndarray:
    """Equations 2 and 3: x + MSA(LN(x)), then x + MLP(LN(x))."""
    y = layer_norm(below(weights, "LayerNorm_0"), x, epsilon)
    x = x + attention(below(weights, "MultiHeadDotProductAttention_1"), y, y, num_heads, bias)
    y = layer_norm(below(weights, "LayerNorm_2"), x, epsilon)
    return x + mlp(below(weights, "MlpBlock_3"), y, activation)


def attention(
    weights: Weights,
    queries: np.ndarray,  # (B, M, D)
    values: np.ndarray,  # (B, N, D)
    num_heads: int,
    bias: np.ndarray | None = None,
) -> np.ndarray:
    """Appendix A, equations 5 to 8, one head at a time."""
    size = weights["query/kernel"].shape[-1]
    result = np.zeros(queries.shape)
    for h in range(num_heads):
        q = queries @ weights["query/kernel"][:, h] + weights["query/bias"][h]
        k = values @ weights["key/kernel"][:, h] + weights["key/bias"][h]
        v = values @ weights["value/kernel"][:, h] + weights["value/bias"][h]
        logits = q @ k.transpose(0, 2, 1) / np.sqrt(size)  # (B, M, N)
        if bias is not None:
            logits = logits + bias[h]
        scores = np.exp(logits - logits.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        result = result + scores @ v @ weights["out/kernel"][h]
    return result + weights["out/bias"]


def attention_pooling(
    weights: Weights, tokens: np.ndarray, num_heads: int, activation: str, epsilon: float
) -> np.ndarray:
    """One learned query attends to all tokens; a residual MLP follows (B, D)."""
    probe = np.broadcast_to(weights["probe"], (len(tokens), 1, tokens.shape[-1]))
    x = attention(below(weights, "MultiHeadDotProductAttention_0"), probe, tokens, num_heads)
    y = layer_norm(below(weights, "LayerNorm_0"), x, epsilon)
    return (x + mlp(below(weights, "MlpBlock_0"), y, activation))[:, 0]


def mlp(weights: Weights, x: np.ndarray, activation: str) -> np.ndarray:
    """Two dense layers with a GELU between them."""
    x = gelu(dense(below(weights, "Dense_0"), x), exact=activation == "gelu")
    return dense(below(weights, "Dense_1"), x)


def gelu(x: np.ndarray, exact: bool) -> np.ndarray:
    """x times the normal distribution function, or the tanh approximation of it."""
    if exact:
        return x * 0.5 * (1.0 + erf(x / np.sqrt(2.0)))
    return x * 0.5 * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3)))


def layer_norm(weights: Weights, x: np.ndarray, epsilon: float) -> np.ndarray:
    """Standardises the last axis, then scales and shifts it."""
    x = x - x.mean(axis=-1, keepdims=True)
    x = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + epsilon)
    return x * weights["scale"] + weights["bias"]


def dense(weights: Weights, x: np.ndarray) -> np.ndarray:
    """x W + b."""
    return x @ weights["kernel"] + weights["bias"]


def below(weights: Weights, prefix: str) -> dict[str, np.ndarray]:
    """The weights whose names start with `prefix/`, without it."""
    cut = len(prefix) + 1
    return {name[cut:]: w for name, w in weights.items() if name.startswith(prefix + "/")}
