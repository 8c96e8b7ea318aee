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
    # A view of every possible window, of which one an image is copied: no index arrays by pixel.
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
    windows = windows.transpose(0, 1, 2, 4, 5, 3)  # (B, rows, columns, H, W, C)
    return windows[np.arange(size), rows, columns]


def random_flip(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mirrors each image left to right with probability one half: (B, H, W, C) -> the same."""
    mirrored = rng.random(len(images)) < 0.5
    images = images.copy()
    images[mirrored] = images[mirrored][:, :, ::-1]
    return images
