"""Sources whose images are decoded one by one, some of which may turn out to be broken."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np

from studies.data.images import Decoded, ImageSize, UnreadableImage, parallel
from studies.errors import UsageError


class DecodedSource(ABC):
    """Images that are decoded when they are asked for.

    One that cannot be read is black, and noted in `broken`: so that all of them become known in one
    go. `Chosen` gives a source without them.

    Attributes:
        name, class_names, labels: as of `prepare.Source`.
        broken: split -> {index: why the image cannot be read}.
        sizes: (height, width) in its file -> how many of the images that were read have it.
    """

    name: str
    class_names: list[str]
    labels: dict[str, np.ndarray]

    def __init__(self) -> None:
        self.broken: dict[str, dict[int, str]] = defaultdict(dict)
        self.sizes: Counter[ImageSize] = Counter()

    @property
    @abstractmethod
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of every image."""

    @abstractmethod
    def read(self, split: str, index: int) -> Decoded:
        """One image; raises UnreadableImage where that is impossible."""

    def images(self, split: str, indices: np.ndarray) -> np.ndarray:
        """The images (n, H, W, C) uint8 at increasing indices of a split."""
        shape = self.image_shape
        sizes: list[ImageSize] = []  # threads may append to a list

        def read(index: int) -> np.ndarray:
            try:
                image = self.read(split, index)
            except UnreadableImage as error:
                self.broken[split][index] = error.reason
                return np.zeros(shape, np.uint8)
            if image.pixels.shape != shape:
                raise UsageError(
                    f"The images of {self.name} differ in size ({image_name(self, split, index)} has "
                    f"{image.size[1]}x{image.size[0]} pixels, {shape[1]}x{shape[0]} elsewhere): give "
                    f"an image size (--image-size 32)."
                )
            sizes.append(image.size)
            return image.pixels

        images = parallel(read, [int(index) for index in indices])
        self.sizes.update(sizes)
        return images


class Chosen:
    """Some of the images of a source.

    Args:
        source: all of them.
        kept: split -> increasing indices.
    """

    def __init__(self, source: Any, kept: Mapping[str, np.ndarray]) -> None:
        self.name, self.class_names = source.name, source.class_names
        self.image_shape = source.image_shape
        self.labels = {s: labels[kept[s]] for s, labels in source.labels.items()}
        self.groups = {s: g[kept[s]] for s, g in getattr(source, "groups", {}).items()}
        self.names = {
            s: [image_name(source, s, int(i)) for i in indices] for s, indices in kept.items()
        }
        self._source, self._kept = source, kept

    @property
    def sizes(self) -> Counter[ImageSize]:
        return self._source.sizes

    def images(self, split: str, indices: np.ndarray) -> np.ndarray:
        return self._source.images(split, self._kept[split][indices])


def image_name(source: Any, split: str, index: int) -> str:
    """What to call an image: its file's name, else its number."""
    names = getattr(source, "names", {}).get(split)
    return names[index] if names else f"{index} of {split}"
