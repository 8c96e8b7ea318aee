"""Random erasing: a rectangle of noise in some of the images.

Reference: Zhong et al., arXiv 1708.04896; its best settings, which are those of the constants, and its
best filling, noise of one draw a pixel.
"""

from __future__ import annotations

import numpy as np

AREA = (0.02, 0.4)  # of the image
ASPECT = 0.3  # height over width is between it and 1 / it


def random_erasing(images: np.ndarray, probability: float, rng: np.random.Generator) -> np.ndarray:
    """Puts a rectangle of uniform noise anywhere into some of the images.

    Args:
        images: (B, H, W, C) uint8.
        probability: of an image to get one.
        rng: draws images, rectangles and noise.

    Returns:
        (B, H, W, C) uint8; a rectangle that would be longer than the image is as long as it.

    Example:
        >>> erased = random_erasing(images, 0.25, np.random.default_rng(0))
    """
    size, height, width, channels = images.shape
    chosen = np.flatnonzero(rng.random(size) < probability)
    number = len(chosen)
    area = rng.uniform(*AREA, number) * height * width
    # By its logarithm, so that lying and standing rectangles are equally frequent.
    aspect = np.exp(rng.uniform(np.log(ASPECT), -np.log(ASPECT), number))
    rows = _stretches(np.sqrt(area * aspect), height, rng)
    columns = _stretches(np.sqrt(area / aspect), width, rng)
    noise = rng.integers(0, 256, (number, height, width, channels), np.uint8)
    result = images.copy()
    for place, pixels, row, column in zip(chosen, noise, rows, columns):
        result[place, row, column] = pixels[row, column]
    return result


def _stretches(lengths: np.ndarray, side: int, rng: np.random.Generator) -> list[slice]:
    """A stretch of each length, anywhere on a side."""
    lengths = np.clip(np.rint(lengths), 1, side).astype(np.int64)
    starts = rng.integers(0, side - lengths + 1)
    return [slice(start, start + length) for start, length in zip(starts, lengths)]
