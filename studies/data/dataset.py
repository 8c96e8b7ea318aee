"""What a prepared data set looks like to the rest of the studies: plain NumPy arrays and a description."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from studies.errors import UsageError

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class DatasetInfo:
    """The description of a prepared data set, readable without its images.

    Args:
        name: the name it was asked for by ("shapes", "cifar10", "folder:PATH").
        fingerprint: hash of the content (pixels, labels, classes, splits and subset order); equal
            fingerprints mean equal training data on any machine.
        image_shape: (H, W, C) in pixels; C is 1 or 3.
        class_names: one name a label, label 0 first.
        class_counts: images of every class, for each of "train", "validation" and "test".
    """

    name: str
    fingerprint: str
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    class_counts: dict[str, tuple[int, ...]]

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def counts(self) -> dict[str, int]:
        """Images in each split."""
        return {split: sum(counts) for split, counts in self.class_counts.items()}

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> DatasetInfo:
        height, width, channels = value["image_shape"]
        return cls(
            name=value["name"],
            fingerprint=value["fingerprint"],
            image_shape=(int(height), int(width), int(channels)),
            class_names=tuple(value["class_names"]),
            class_counts={split: tuple(value["class_counts"][split]) for split in SPLITS},
        )


@dataclass(frozen=True)
class Split:
    """Images (N, H, W, C) uint8, possibly memory-mapped and read-only, and labels (N,) int64."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """A data set in three splits, with the nested, stratified order that its subsets follow.

    Args:
        info: the description.
        train, validation, test: the splits.
        order: (N_train,) int64; the subset of size n is ``order[:n]``, so smaller subsets lie in
            larger ones.

    Example:
        >>> data = load("fashion_mnist")
        >>> images = data.train.images[data.subset(500)]  # (500, 28, 28, 1)
    """

    info: DatasetInfo
    train: Split
    validation: Split
    test: Split
    order: np.ndarray

    def subset(self, size: int) -> np.ndarray:
        """The indices into ``train`` of the subset of a size: (size,) int64.

        Raises:
            UsageError: the size is larger than the training data or below one image a class.
        """
        check_sizes(self.info, [size])
        return self.order[:size]


def check_sizes(info: DatasetInfo, sizes: Iterable[int]) -> None:
    """Refuses subset sizes that a data set cannot give.

    Args:
        info: the data set's description.
        sizes: numbers of training images.

    Raises:
        UsageError: a size is larger than the training data or below one image a class.
    """
    low, high = info.num_classes, info.counts["train"]
    for size in sizes:
        if size < low:
            raise UsageError(
                f"The size {size} is below one image a class ({info.name} has {low} classes): "
                f"choose sizes from {low} to {high}."
            )
        if size > high:
            hint = f", or name the data set shapes:{size}" if info.name.startswith("shapes") else ""
            raise UsageError(
                f"The size {size} is larger than the training data ({info.name} has {high} images "
                f"for training): choose sizes from {low} to {high}{hint}."
            )
