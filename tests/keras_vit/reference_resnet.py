"""A plain NumPy forward pass of BiT's ResNetV2 and of the hybrids' ResNet stem.

It shares no code with `keras_vit` and computes in float64. Weights are a flat dictionary with the
names of the authors' code: `block{s}/unit{u}/{conv1,conv2,conv3,conv_proj}/kernel` and
`gn1 ...` with a scale and a bias each.

Reference: Kolesnikov et al., "Big Transfer (BiT)", ECCV 2020; He et al., "Identity Mappings in Deep
Residual Networks", ECCV 2016; Qiao et al., "Weight Standardization", 2019; Wu and He, "Group
Normalization", ECCV 2018.
"""

from collections.abc import Sequence

import numpy as np

from tests.keras_vit.reference import Weights, below, dense


def bit_resnet(
    weights: Weights,
    images: np.ndarray,  # (B, H, W, C)
    block_counts: Sequence[int],
    *,
    stem: str = "imagenet",
    groups: int = 32,
    std_epsilon: float = 1e-10,
    epsilon: float = 1e-5,
) -> np.ndarray:
    """Returns the logits (B, K) of the pre-activation network, or the pooled features."""
    weights = {name: np.asarray(value, np.float64) for name, value in weights.items()}

    def conv(name: str, x: np.ndarray, stride: int = 1) -> np.ndarray:
        kernel = standardise(weights[f"{name}/kernel"], std_epsilon, inside_root=True)
        margin = kernel.shape[0] // 2
        return convolution(x, kernel, stride, [(margin, margin), (margin, margin)])

    def norm_relu(name: str, x: np.ndarray) -> np.ndarray:
        return np.maximum(group_norm(below(weights, name), x, groups, epsilon), 0)

    x = np.asarray(images, np.float64)
    if stem == "imagenet":
        x = conv("conv_root", x, stride=2)
        # The published weights were trained with zeros around the map, not with minus infinity.
        x = max_pool(x, [(1, 1), (1, 1)], fill=0.0)
    else:
        x = conv("conv_root", x)
    for s, count in enumerate(block_counts, 1):
        for u in range(1, count + 1):
            unit = f"block{s}/unit{u}"
            stride = 2 if s > 1 and u == 1 else 1
            y = norm_relu(f"{unit}/gn1", x)
            shortcut = x
            if f"{unit}/conv_proj/kernel" in weights:
                shortcut = conv(f"{unit}/conv_proj", y, stride)
            if f"{unit}/conv3/kernel" in weights:
                y = conv(f"{unit}/conv1", y)
                y = conv(f"{unit}/conv2", norm_relu(f"{unit}/gn2", y), stride)
                y = conv(f"{unit}/conv3", norm_relu(f"{unit}/gn3", y))
            else:
                y = conv(f"{unit}/conv1", y, stride)
                y = conv(f"{unit}/conv2", norm_relu(f"{unit}/gn2", y))
            x = shortcut + y
    x = norm_relu("norm-pre-head", x).mean(axis=(1, 2))
    return dense(below(weights, "head"), x) if "head/kernel" in weights else x


def hybrid_stem(
    weights: Weights,
    images: np.ndarray,
    block_counts: Sequence[int],
    *,
    groups: int = 32,
    std_epsilon: float = 1e-5,
    epsilon: float = 1e-6,
) -> np.ndarray:
    """Returns the feature map (B, h, w, C) of the post-activation ResNet below a ViT."""
    weights = {name: np.asarray(value, np.float64) for name, value in weights.items()}

    def conv_norm(conv: str, norm: str, x: np.ndarray, stride: int = 1) -> np.ndarray:
        kernel = standardise(weights[f"{conv}/kernel"], std_epsilon, inside_root=False)
        x = convolution(x, kernel, stride, same_padding(x, kernel.shape[0], stride))
        return group_norm(below(weights, norm), x, groups, epsilon)

    x = np.maximum(conv_norm("conv_root", "gn_root", np.asarray(images, np.float64), 2), 0)
    x = max_pool(x, same_padding(x, 3, 2), fill=-np.inf)
    for s, count in enumerate(block_counts, 1):
        for u in range(1, count + 1):
            unit = f"block{s}/unit{u}"
            stride = 2 if s > 1 and u == 1 else 1
            shortcut = x
            if f"{unit}/conv_proj/kernel" in weights:
                shortcut = conv_norm(f"{unit}/conv_proj", f"{unit}/gn_proj", x, stride)
            y = np.maximum(conv_norm(f"{unit}/conv1", f"{unit}/gn1", x), 0)
            y = np.maximum(conv_norm(f"{unit}/conv2", f"{unit}/gn2", y, stride), 0)
            x = np.maximum(shortcut + conv_norm(f"{unit}/conv3", f"{unit}/gn3", y), 0)
    return x


def standardise(kernel: np.ndarray, epsilon: float, inside_root: bool) -> np.ndarray:
    """Gives every output channel's kernel mean 0 and deviation 1."""
    kernel = kernel - kernel.mean(axis=(0, 1, 2))
    variance = (kernel**2).mean(axis=(0, 1, 2))
    if inside_root:
        return kernel / np.sqrt(variance + epsilon)
    return kernel / (np.sqrt(variance) + epsilon)


def convolution(
    x: np.ndarray, kernel: np.ndarray, stride: int, padding: Sequence[tuple[int, int]]
) -> np.ndarray:
    """Cross-correlation of (B, H, W, C) with (h, w, C, D), one output place at a time."""
    x = np.pad(x, [(0, 0), *padding, (0, 0)])
    size_h, size_w = kernel.shape[:2]
    rows = (x.shape[1] - size_h) // stride + 1
    columns = (x.shape[2] - size_w) // stride + 1
    result = np.zeros((len(x), rows, columns, kernel.shape[-1]))
    flat = kernel.reshape(-1, kernel.shape[-1])
    for r in range(rows):
        for c in range(columns):
            top, left = r * stride, c * stride
            window = x[:, top : top + size_h, left : left + size_w]
            result[:, r, c] = window.reshape(len(x), -1) @ flat
    return result


def max_pool(x: np.ndarray, padding: Sequence[tuple[int, int]], fill: float) -> np.ndarray:
    """The largest of every 3x3 window, stride 2, with `fill` around the map."""
    x = np.pad(x, [(0, 0), *padding, (0, 0)], constant_values=fill)
    rows, columns = (x.shape[1] - 3) // 2 + 1, (x.shape[2] - 3) // 2 + 1
    result = np.zeros((len(x), rows, columns, x.shape[-1]))
    for r in range(rows):
        for c in range(columns):
            result[:, r, c] = x[:, 2 * r : 2 * r + 3, 2 * c : 2 * c + 3].max(axis=(1, 2))
    return result


def same_padding(x: np.ndarray, size: int, stride: int) -> list[tuple[int, int]]:
    """TensorFlow's and Flax' "SAME": the odd one goes to the end."""
    pairs = []
    for length in x.shape[1:3]:
        total = max((-(-length // stride) - 1) * stride + size - length, 0)
        pairs.append((total // 2, total - total // 2))
    return pairs


def group_norm(weights: Weights, x: np.ndarray, groups: int, epsilon: float) -> np.ndarray:
    """Standardises each group of channels over the whole map, then scales and shifts."""
    shape = x.shape
    x = x.reshape(*shape[:3], groups, shape[3] // groups)
    x = x - x.mean(axis=(1, 2, 4), keepdims=True)
    x = x / np.sqrt((x**2).mean(axis=(1, 2, 4), keepdims=True) + epsilon)
    return x.reshape(shape) * weights["scale"].reshape(-1) + weights["bias"].reshape(-1)
