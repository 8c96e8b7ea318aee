"""Scrambling: one permutation of the cells of every image alike.

A model that learns what stands where sees the same task; one that assumes that neighbours belong together
loses what it assumes. The difference is what that assumption, locality, is worth.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from studies.data.dataset import Replicate, Split
from studies.errors import UsageError


class Scramble:
    """A permutation of cells, a function of seed, grid and size of a cell alone.

    It is drawn among all of them, the one that moves nothing included (one of 24 for 2 x 2 cells).

    Args:
        cell: side of a square cell in pixels; 1 permutes single pixels.
        seed: of the trial, >= 0.
        image_shape: (H, W, C).

    Raises:
        UsageError: images cannot be cut into such cells.

    Example:
        >>> scramble = Scramble(7, seed=0, image_shape=(28, 28, 1))
        >>> scrambled = scramble(images)  # (N, 28, 28, 1), of any type
    """

    def __init__(self, cell: int, seed: int, image_shape: tuple[int, ...]) -> None:
        check_scramble(cell, image_shape)
        height, width = image_shape[:2]
        rows, columns = height // cell, width // cell
        order = np.random.default_rng([seed, rows, columns, cell]).permutation(rows * columns)
        pixels = np.arange(height * width).reshape(rows, cell, columns, cell).swapaxes(1, 2)
        cells = pixels.reshape(rows * columns, cell, cell)[order]
        self._pixels = cells.reshape(rows, columns, cell, cell).swapaxes(1, 2).ravel()

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """(N, H, W, C) -> the same, scrambled."""
        flat = images.reshape(len(images), -1, images.shape[-1])
        return flat.take(self._pixels, axis=1).reshape(images.shape)


def check_scramble(cell: int, image_shape: tuple[int, ...]) -> None:
    """Refuses cells that images cannot be cut into, or of which there would be one.

    Args:
        cell: side in pixels; 0: the images stay whole.
        image_shape: (H, W, C).

    Raises:
        UsageError: the side does not divide both of the image, or is the image's.
    """
    height, width = image_shape[:2]
    if cell == 0 or (height % cell == width % cell == 0 and cell < max(height, width)):
        return
    possible = [
        side
        for side in range(1, min(height, width) + 1)
        if height % side == width % side == 0 and side < max(height, width)
    ]
    raise UsageError(
        f"recipe.scramble {cell}: images of {height} x {width} pixels cannot be cut into more than one "
        f"cell of that side; choose {', '.join(map(str, possible))}, or 0 for whole images."
    )


def scrambled(data: Replicate, cell: int, seed: int) -> Replicate:
    """The data set with its validation and test images scrambled as a trial's training images are.

    Training images are scrambled after they are augmented, by `Batches`.

    Args:
        data: as a seed sees it.
        cell: side of a cell in pixels; 0 gives the data as they are.
        seed: of the trial.
    """
    if cell == 0:
        return data
    scramble = Scramble(cell, seed, data.info.image_shape)

    def moved(split: Split) -> Split:
        return replace(split, images=_Scrambled(split.images, scramble))

    return replace(data, validation=moved(data.validation), test=moved(data.test))


class _Scrambled:
    """Images that are scrambled when they are asked for."""

    def __init__(self, images: Any, scramble: Scramble) -> None:
        self._images, self._scramble = images, scramble
        self.shape, self.dtype = images.shape, images.dtype

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, key: Any) -> np.ndarray:
        images = self._images[key]
        return self._scramble(images) if images.ndim == 4 else self._scramble(images[None])[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)
