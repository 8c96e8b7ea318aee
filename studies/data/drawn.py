"""Data sets that are drawn with NumPy: their images cost nothing and never run out.

Images are drawn in blocks of `BLOCK`, each from a random stream of its own that depends on nothing
but the data set, the split and the block's number: image i is the same whatever number is drawn.
Within each ten images every class comes once, so the first n images are a stratified subset.
"""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from studies.data.images import ImageSize
from studies.errors import UsageError

COUNTS = {"train": 100_000, "validation": 2_000, "test": 5_000}
LEAST = 1_000  # training images
SIZE = (32, 32)  # (H, W) in pixels, where none is asked for
BLOCK = 100  # images a random stream

_SPLITS = ("train", "validation", "test")


class Drawn(ABC):
    """The source of a drawn data set's images; a subclass says how a block is drawn.

    Args:
        name: the data set's own name, or NAME:N for N training images.
        size: (H, W) in pixels.

    Attributes:
        kind: the data set's own name.
        seed: keeps its random streams apart from those of the others.
        class_names: one name a label.
        code: the files that draw, for `version`.

    Raises:
        UsageError: the number is no number or below `LEAST`.
    """

    kind: ClassVar[str]
    seed: ClassVar[int]
    class_names: ClassVar[list[str]]
    code: ClassVar[tuple[str, ...]]

    def __init__(self, name: str | None = None, size: ImageSize | None = None) -> None:
        self.name = self.kind if name is None else name
        match = re.fullmatch(rf"{self.kind}(?::([1-9]\d*))?", self.name)
        number = int(match[1] or COUNTS["train"]) if match else 0
        if number < LEAST:
            raise UsageError(
                f"The data set {name!r} is unknown: choose {self.kind}, or {self.kind}:N for N "
                f"training images, at least {LEAST}."
            )
        self.size = size or SIZE
        self.image_shape = (*self.size, 3)
        self._counts = {**COUNTS, "train": number}

    @cached_property  # only who prepares the images needs them
    def labels(self) -> dict[str, np.ndarray]:
        """split -> (N,) int64."""
        return {split: self.first_labels(split, n) for split, n in self._counts.items()}

    @classmethod
    def draw(cls, split: str, block: int, size: ImageSize = SIZE) -> tuple[np.ndarray, np.ndarray]:
        """Draws one block of images.

        Args:
            split: "train", "validation" or "test".
            block: its number, from 0.
            size: (H, W) in pixels.

        Returns:
            images (BLOCK, H, W, 3) uint8, labels (BLOCK,) int64.
        """
        rng = cls._stream(split, block)
        classes = cls._labels(rng)
        return cls._images(rng, classes, size), classes

    @classmethod
    def first_labels(cls, split: str, number: int) -> np.ndarray:
        """The labels of a split's first images: (number,) int64."""
        labels = np.empty(number, np.int64)
        for block in range(-(-number // BLOCK)):
            part = labels[block * BLOCK : (block + 1) * BLOCK]
            part[:] = cls._labels(cls._stream(split, block))[: len(part)]
        return labels

    @classmethod
    def version(cls) -> str:
        """Hash of the code that draws: with other code, the cache is drawn again."""
        here = Path(__file__)
        code = b"".join(here.with_name(name).read_bytes() for name in (here.name, *cls.code))
        return hashlib.sha256(code).hexdigest()[:16]

    def images(self, split: str, indices: np.ndarray) -> np.ndarray:
        blocks = np.unique(indices // BLOCK)
        drawn = np.concatenate([self.draw(split, int(block), self.size)[0] for block in blocks])
        return drawn[np.searchsorted(blocks, indices // BLOCK) * BLOCK + indices % BLOCK]

    @classmethod
    def _stream(cls, split: str, block: int) -> np.random.Generator:
        return np.random.default_rng([cls.seed, _SPLITS.index(split), block])

    @classmethod
    def _labels(cls, rng: np.random.Generator) -> np.ndarray:
        classes = len(cls.class_names)
        rows = np.tile(np.arange(classes), (BLOCK // classes, 1))
        return rng.permuted(rows, axis=1).ravel()

    @classmethod
    @abstractmethod
    def _images(cls, rng: np.random.Generator, classes: np.ndarray, size: ImageSize) -> np.ndarray:
        """Draws images (BLOCK, H, W, 3) uint8 of the classes (BLOCK,)."""
