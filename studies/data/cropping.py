"""Random crops and mirror images: the augmentation that hardly any photo is spoiled by."""

from __future__ import annotations

import numpy as np


def random_crop(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A window of the same size out of each image padded by an eighth: (B, H, W, C) -> the same.

    Edges are repeated: black borders would be new to images on light ground.
    """
    size, height, width, channels = images.shape
    tall, wide = height // 8, width // 8
    padded = np.empty((size, height + 2 * tall, width + 2 * wide, channels), images.dtype)
    middle = padded[:, tall : tall + height]
    middle[:, :, wide : wide + width] = images
    middle[:, :, :wide] = images[:, :, :1]
    middle[:, :, wide + width :] = images[:, :, -1:]
    padded[:, :tall] = middle[:, :1]
    padded[:, tall + height :] = middle[:, -1:]
    rows = rng.integers(0, 2 * tall + 1, size)
    columns = rng.integers(0, 2 * wide + 1, size)
    result = np.empty_like(images)
    for image, source, row, column in zip(result, padded, rows, columns):
        image[...] = source[row : row + height, column : column + width]
    return result


def random_flip(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mirrors each image left to right with probability one half: (B, H, W, C) -> the same."""
    mirrored = np.flatnonzero(rng.random(len(images)) < 0.5)
    result = images.copy()
    for channel in range(images.shape[-1]):  # longer stretches than a pixel's few bytes
        result[mirrored, :, :, channel] = images[mirrored, :, ::-1, channel]
    return result
