"""Affine maps of many images at once, each with a map of its own: one gather, bilinear."""

from __future__ import annotations

import numpy as np


def affine(images: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Moves every image by its own affine map about its middle.

    What a map takes from beyond an image is its nearest pixel, as in random crops.

    Args:
        images: (n, H, W, C) uint8.
        maps: (n, 2, 3); a pixel at (x, y) from the middle, x to the right and y down, takes its value
            from ``maps @ (x, y, 1)`` from the middle, in pixels.

    Returns:
        (n, H, W, C) uint8.

    Example:
        >>> shifted = affine(images, np.tile([[1.0, 0, 2], [0, 1, 0]], (len(images), 1, 1)))
        >>> (shifted[:, :, :-2] == images[:, :, 2:]).all()
        True
    """
    size, height, width, channels = images.shape
    maps = np.asarray(maps, np.float32)[:, :, :, None, None]
    x = np.arange(width, dtype=np.float32) - np.float32((width - 1) / 2)  # (W,)
    y = np.arange(height, dtype=np.float32)[:, None] - np.float32((height - 1) / 2)  # (H, 1)
    left, right, across = _neighbours(maps[:, 0, 0] * x + maps[:, 0, 1] * y + maps[:, 0, 2], width)
    above, below, down = _neighbours(maps[:, 1, 0] * x + maps[:, 1, 1] * y + maps[:, 1, 2], height)
    pixels = images.reshape(-1, channels)  # (n * H * W, C)
    first = (np.arange(size, dtype=np.int32) * (height * width))[:, None, None]
    above, below = first + above * width, first + below * width
    upper = _between(pixels, above + left, above + right, across)
    lower = _between(pixels, below + left, below + right, across)
    lower -= upper
    lower *= down[..., None]
    upper += lower
    upper += np.float32(0.5)
    return upper.astype(np.uint8)


def _neighbours(place: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The whole pixels around places counted from the middle, and how far each is to the second."""
    place = np.clip(place + np.float32((side - 1) / 2), 0, side - 1)
    first = place.astype(np.int32)
    return first, np.minimum(first + 1, side - 1), place - first


def _between(
    pixels: np.ndarray, one: np.ndarray, other: np.ndarray, part: np.ndarray
) -> np.ndarray:
    start = pixels.take(one, axis=0).astype(np.float32)  # (n, H, W, C)
    end = pixels.take(other, axis=0).astype(np.float32)
    end -= start
    end *= part[..., None]
    end += start
    return end
