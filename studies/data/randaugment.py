"""RandAugment, vectorised: the images of a batch are worked on by groups, not one by one.

Of each image some operations are drawn, one after another, all of one magnitude. Most of them are of
two kinds: an affine map of the pixels' places, or a table of 256 values that the pixels' values are
looked up in; each kind is one gather over all the images for which one of its operations was drawn.

The magnitude is that of the authors' code, where 10 is the greatest of AutoAugment's and more goes on
beyond it. As in torchvision, and in timm's increasing form, operations grow stronger with it, and brightness,
colour, contrast and sharpness are factors of 1 - 0.9 or 1 + 0.9 at 10 (in the authors' code posterize and
solarize grow weaker, and these four go from 0.1 to 1.9 once). Autocontrast, equalize and invert have no
strength: they act fully at any magnitude. Half of all images get the opposite direction where there is one,
and what is moved in from outside is the nearest pixel.

Reference: Cubuk et al., arXiv 1909.13719; the ranges at 10: AutoAugment, arXiv 1805.09501. For ViTs,
Steiner et al., "How to train your ViT?", arXiv 2106.10270, go from 2 layers of magnitude 0 without mixup to
2 of magnitude 20 with an alpha of 0.8.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from studies.data.affine import affine

Size = tuple[int, ...]  # (H, W)
_UNIT = 10.0  # the magnitude at which an operation's strength is 1


def randaugment(
    images: np.ndarray, layers: int, magnitude: float, rng: np.random.Generator
) -> np.ndarray:
    """Changes each image by `layers` operations drawn for it.

    Args:
        images: (B, H, W, C) uint8, C = 1 or 3.
        layers: operations an image, one after another.
        magnitude: of all of them; 10 is AutoAugment's greatest.
        rng: draws operations and directions.

    Returns:
        (B, H, W, C) uint8.

    Example:
        >>> changed = randaugment(images, 2, 10.0, np.random.default_rng(0))
    """
    for _ in range(layers):
        drawn = rng.integers(0, len(OPERATIONS), len(images))
        strength = np.where(rng.random(len(images)) < 0.5, -1, 1) * (magnitude / _UNIT)
        images = changed(images, drawn, strength)
    return images


def changed(images: np.ndarray, drawn: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Each image after one operation.

    Args:
        images: (B, H, W, C) uint8.
        drawn: (B,) places in `OPERATIONS`.
        strength: (B,) 1 is AutoAugment's greatest; the sign is the direction.
    """
    result = images.copy()
    names = np.array(OPERATIONS)[drawn]
    moved = np.flatnonzero(np.isin(names, list(MAPS)))
    if len(moved):
        maps = np.empty((len(moved), 2, 3), np.float32)
        for name, own in _groups(names[moved]):
            maps[own] = MAPS[name](strength[moved[own]], images.shape[1:3])
        result[moved] = affine(images[moved], maps)
    looked_up = np.flatnonzero(np.isin(names, list(TABLES)))
    if len(looked_up):
        tables = np.empty((len(looked_up), images.shape[-1], 256), np.uint8)
        for name, own in _groups(names[looked_up]):
            chosen = looked_up[own]
            tables[own] = TABLES[name](images[chosen], strength[chosen])
        result[looked_up] = _look_up(images[looked_up], tables)
    for name, own in _groups(names):
        if name in BLENDS:
            result[own] = _blend(BLENDS[name](images[own]), images[own], _factor(strength[own]))
    return result


def _groups(names: np.ndarray) -> list[tuple[str, np.ndarray]]:
    return [(str(name), np.flatnonzero(names == name)) for name in np.unique(names)]


# Affine maps: strength (n,) and (H, W) -> (n, 2, 3), as `affine` takes them.


def _still(strength: np.ndarray) -> np.ndarray:
    """Maps that leave every pixel where it is."""
    return np.tile(np.eye(2, 3, dtype=np.float32), (len(strength), 1, 1))


def _rotate(strength: np.ndarray, size: Size) -> np.ndarray:
    maps, angle = _still(strength), np.deg2rad(30 * strength)
    maps[:, 0, 0] = maps[:, 1, 1] = np.cos(angle)
    maps[:, 1, 0] = np.sin(angle)
    maps[:, 0, 1] = -maps[:, 1, 0]
    return maps


def _shear_x(strength: np.ndarray, size: Size) -> np.ndarray:
    maps = _still(strength)
    maps[:, 0, 1] = 0.3 * strength
    return maps


def _shear_y(strength: np.ndarray, size: Size) -> np.ndarray:
    maps = _still(strength)
    maps[:, 1, 0] = 0.3 * strength
    return maps


def _translate_x(strength: np.ndarray, size: Size) -> np.ndarray:
    maps = _still(strength)
    maps[:, 0, 2] = 0.45 * size[1] * strength
    return maps


def _translate_y(strength: np.ndarray, size: Size) -> np.ndarray:
    maps = _still(strength)
    maps[:, 1, 2] = 0.45 * size[0] * strength
    return maps


# Tables: images (n, H, W, C) and strength (n,) -> (n, C, 256) uint8, or what broadcasts to it.


def _autocontrast(images: np.ndarray, strength: np.ndarray) -> np.ndarray:
    low = images.min(axis=(1, 2)).astype(np.float64)[..., None]  # (n, C, 1)
    high = images.max(axis=(1, 2)).astype(np.float64)[..., None]
    scale = 255 / np.maximum(high - low, 1)
    table = np.clip(_VALUES * scale - low * scale, 0, 255).astype(np.uint8)
    return np.where(high > low, table, _VALUES)


def _equalize(images: np.ndarray, strength: np.ndarray) -> np.ndarray:
    size, height, width, channels = images.shape
    places = images + _first_of_table(size, channels)
    counts = np.bincount(places.ravel(), minlength=size * channels * 256)
    counts = counts.reshape(size, channels, 256)
    brightest = images.max(axis=(1, 2)).astype(np.int64)[..., None]
    step = (height * width - np.take_along_axis(counts, brightest, -1)) // 255  # (n, C, 1)
    darker = np.cumsum(counts, axis=-1) - counts
    table = (step // 2 + darker) // np.maximum(step, 1)
    return np.where(step > 0, np.minimum(table, 255), _VALUES)


def _invert(images: np.ndarray, strength: np.ndarray) -> np.ndarray:
    return 255 - _VALUES


def _posterize(images: np.ndarray, strength: np.ndarray) -> np.ndarray:
    dropped = np.minimum(np.rint(4 * np.abs(strength)), 7).astype(np.uint8)[:, None, None]  # bits
    return _VALUES >> dropped << dropped


def _solarize(images: np.ndarray, strength: np.ndarray) -> np.ndarray:
    threshold = 256 * (1 - np.abs(strength))[:, None, None]
    return np.where(threshold > _VALUES, _VALUES, 255 - _VALUES)


def _brightness(images: np.ndarray, strength: np.ndarray) -> np.ndarray:
    return _blend(np.zeros((len(images), 1, 1)), _VALUES, _factor(strength))


def _contrast(images: np.ndarray, strength: np.ndarray) -> np.ndarray:
    mean = np.floor(grey(images).mean(axis=(1, 2)) + 0.5)[:, None]  # (n, 1, 1)
    return _blend(mean, _VALUES, _factor(strength))


# Blends: images (n, H, W, C) -> what they are blended with, or led away from.


def _colourless(images: np.ndarray) -> np.ndarray:
    return grey(images)


def _smooth(images: np.ndarray) -> np.ndarray:
    """Each pixel's mean with its eight neighbours, itself five times; the border is left as it is."""
    wide = images.astype(np.int32)
    height, width = images.shape[1:3]
    total = 4 * wide[:, 1:-1, 1:-1]
    for row in range(3):
        for column in range(3):
            total += wide[:, row : row + height - 2, column : column + width - 2]
    result = images.copy()
    result[:, 1:-1, 1:-1] = (2 * total + 13) // 26
    return result


_VALUES = np.arange(256, dtype=np.uint8)
MAPS: dict[str, Callable[[np.ndarray, Size], np.ndarray]] = {
    "rotate": _rotate,
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "translate_x": _translate_x,
    "translate_y": _translate_y,
}
TABLES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "autocontrast": _autocontrast,
    "brightness": _brightness,
    "contrast": _contrast,
    "equalize": _equalize,
    "invert": _invert,
    "posterize": _posterize,
    "solarize": _solarize,
}
BLENDS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"color": _colourless, "sharpness": _smooth}
OPERATIONS = tuple(sorted([*MAPS, *TABLES, *BLENDS]))


def grey(images: np.ndarray) -> np.ndarray:
    """Luma of ITU-R 601, (..., 3) or (..., 1) -> (..., 1) uint8."""
    if images.shape[-1] == 1:
        return images
    red, green, blue = np.moveaxis(images.astype(np.int32), -1, 0)
    return ((19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16).astype(np.uint8)[..., None]


def _factor(strength: np.ndarray) -> np.ndarray:
    """What an image's part in a blend is: 1 leaves it as it is, less than 1 loses, more exaggerates."""
    return np.maximum(1 + 0.9 * strength, 0.1)


def _blend(other: np.ndarray, images: np.ndarray, factor: np.ndarray) -> np.ndarray:
    factor = factor.astype(np.float32).reshape(-1, *[1] * (max(other.ndim, images.ndim) - 1))
    other = other.astype(np.float32)
    return np.clip(other + factor * (images.astype(np.float32) - other), 0, 255).astype(np.uint8)


def _look_up(images: np.ndarray, tables: np.ndarray) -> np.ndarray:
    size, channels = len(images), images.shape[-1]
    return tables.ravel().take(images + _first_of_table(size, channels))


def _first_of_table(size: int, channels: int) -> np.ndarray:
    return (256 * np.arange(size * channels, dtype=np.int32)).reshape(size, 1, 1, channels)
