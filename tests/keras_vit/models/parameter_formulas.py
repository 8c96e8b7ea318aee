"""Parameter counts from the papers' sizes alone, by arithmetic, without the library.

Reference: Dosovitskiy et al. 2021, table 1; Zhai et al. 2022, table 2; the authors' model
configurations for the hybrids; Kolesnikov et al. 2020 for BiT.
"""

import re

# width, depth, MLP width
WIDTHS = {
    "Ti": (192, 12, 768),
    "S": (384, 12, 1536),
    "M": (512, 12, 2048),
    "b": (384, 12, 1536),  # ViT-B with every hidden dimension halved
    "B": (768, 12, 3072),
    "L": (1024, 24, 4096),
    "So400m": (1152, 27, 4304),
    "H": (1280, 32, 5120),
    "g": (1408, 40, 6144),
    "G": (1664, 48, 8192),
}
# blocks a stage and the patch size on the stem's feature map
STEMS = {
    ("R", 16): ((), 8),
    ("R26", 32): ((2, 2, 2, 2), 1),
    ("R50", 16): ((3, 4, 9), 1),
    ("R50", 32): ((3, 4, 6, 3), 1),
}
DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3), 200: (3, 24, 36, 3)}


def parameters(name: str, image_size: int = 224, classes: int = 1000) -> int:
    """The number of weights of the model `name` (token classifier, learned positions)."""
    if match := re.fullmatch(r"BiT-R(\d+)x(\d+)", name):
        return bit(DEPTHS[int(match[1])], int(match[2]), classes)
    match = re.fullmatch(r"(?:(R\d*)\+)?ViT-(\w+)/(\d+)", name)
    assert match, f"The test knows no formula for {name!r}: add one."
    stem, size, patch = match[1], match[2], int(match[3])
    if stem is None:
        return vit(WIDTHS[size], patch, (image_size // patch) ** 2, 3, classes)
    blocks, inner = STEMS[stem, patch]
    weights, channels = hybrid_stem(blocks)
    stride = 4 * 2 ** max(len(blocks) - 1, 0) * inner
    return weights + vit(WIDTHS[size], inner, (image_size // stride) ** 2, channels, classes)


def vit(sizes: tuple[int, int, int], patch: int, tokens: int, channels: int, classes: int) -> int:
    """Embedding, class token, positions, blocks, the last norm and the head."""
    width, depth, hidden = sizes
    embedding = patch * patch * channels * width + width
    positions = (tokens + 1) * width
    attention = 4 * (width * width + width)
    mlp = width * hidden + hidden + hidden * width + width
    norm = 2 * width
    head = width * classes + classes
    return embedding + width + positions + depth * (2 * norm + attention + mlp) + norm + head


def bit(blocks: tuple[int, ...], factor: int, classes: int) -> int:
    """Pre-activation bottlenecks: a norm before each of three convolutions, no biases."""
    channels = 64 * factor
    total = 7 * 7 * 3 * channels
    for stage, count in enumerate(blocks):
        inner = 64 * factor * 2**stage
        for unit in range(count):
            total += 2 * channels + 2 * inner + 2 * inner
            total += channels * inner + 9 * inner * inner + inner * 4 * inner
            total += channels * 4 * inner if unit == 0 else 0
            channels = 4 * inner
    return total + 2 * channels + channels * classes + classes


def hybrid_stem(blocks: tuple[int, ...]) -> tuple[int, int]:
    """Post-activation bottlenecks: a norm after every convolution, also after the projection."""
    channels = 64
    total = 7 * 7 * 3 * channels + 2 * channels
    for stage, count in enumerate(blocks):
        inner = 64 * 2**stage
        for unit in range(count):
            total += channels * inner + 9 * inner * inner + inner * 4 * inner
            total += 2 * inner + 2 * inner + 2 * 4 * inner
            total += (channels + 2) * 4 * inner if unit == 0 else 0
            channels = 4 * inner
    return total, channels
