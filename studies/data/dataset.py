"""What a prepared data set looks like to the rest of the studies: plain NumPy arrays and a description.

A `Dataset` holds the images in the splits that their source has. What a trial sees is a `Replicate` of it:
the splits that the source lacks, and the nested draw of training images, follow from (fingerprint, seed).
"""

from __future__ import annotations

import filecmp
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from pydantic import TypeAdapter

from studies.data.splits import SPLITS, plan_splits
from studies.data.subsets import are_alone, nested_order
from studies.errors import UsageError
from studies.machine.files import file_bytes, parsed_json

DRAWN = ("shapes", "relations")  # data sets that are drawn: NAME:N has N training images
_SPLITS, _ORDER = 0, 1  # keep the draw of splits apart from that of training images


@dataclass(frozen=True)
class DatasetInfo:
    """The description of a prepared data set, readable without its images.

    Args:
        name: the name it was asked for by ("shapes", "cifar10", "folder:PATH").
        fingerprint: hash of the content (pixels, labels, classes, groups and the source's splits);
            with a seed it decides the splits and draws on any machine.
        image_shape: (H, W, C) in pixels; C is 1 or 3.
        class_names: one name a label, label 0 first.
        class_counts: images of every class, for each of "train", "validation" and "test", as seed 0
            has them (where there are groups, other seeds may differ by some images).
        official: images in each split that the source has of its own.
    """

    name: str
    fingerprint: str
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    class_counts: dict[str, tuple[int, ...]]
    official: dict[str, int] = field(default_factory=dict)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def counts(self) -> dict[str, int]:
        """Images in each split."""
        return {split: sum(counts) for split, counts in self.class_counts.items()}

    @property
    def has_all_splits(self) -> bool:
        """Whether the source has all splits of its own, so that no seed decides about them."""
        return set(SPLITS) <= self.official.keys()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> DatasetInfo:
        """The description that `to_dict` gave; raises ValueError for anything else."""
        known = {each.name: value[each.name] for each in fields(cls) if each.name in value}
        info: DatasetInfo = TypeAdapter(cls).validate_python(known)
        if set(info.class_counts) != set(SPLITS) or not re.fullmatch("[0-9a-f]+", info.fingerprint):
            raise ValueError("it is no description of a data set")
        return info


@dataclass(frozen=True)
class Split:
    """Images of one split and what is known of each.

    Of a source's own split the arrays are memory-mapped and read-only: the system keeps what of them is
    needed, and millions of images take no memory of the process.

    Attributes:
        images: uint8 (N, H, W, C), or `Rows` of such an array.
        labels: int64 (N,).
        ids: int64 (N,), of a pool to train on a range: each image's number in the data set, the same for
            every seed.
        groups: int64 (N,), equal for images that belong together.
    """

    images: Any
    labels: np.ndarray
    ids: np.ndarray | range = range(0)
    groups: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    def __len__(self) -> int:
        return len(self.labels)


class Rows:
    """Some rows of an array, read when they are asked for: a split's images need not fit in memory.

    Args:
        array: (N, ...).
        indices: (n,) increasing.
    """

    def __init__(self, array: np.ndarray, indices: np.ndarray) -> None:
        self._array, self._indices = array, indices
        self.shape = (len(indices), *array.shape[1:])
        self.dtype = array.dtype

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, key: Any) -> np.ndarray:
        return self._array[self._indices[key]]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)


@dataclass(frozen=True)
class Replicate:
    """A data set as one seed sees it.

    Args:
        info: the data set's description.
        train: the pool that training images are drawn from; `order` says which of it may be drawn.
        validation, test: the other splits.
        order: integers (n,), nested and stratified: the subset of size k is ``order[:k]``, so smaller
            subsets lie in larger ones.

    Example:
        >>> replicate = load("fashion_mnist").replicate(seed=0)
        >>> images = replicate.train.images[replicate.subset(500)]  # (500, 28, 28, 1)
    """

    info: DatasetInfo
    train: Split
    validation: Split
    test: Split
    order: np.ndarray

    @property
    def counts(self) -> dict[str, int]:
        """Images in each split."""
        return {
            "train": len(self.order),
            "validation": len(self.validation),
            "test": len(self.test),
        }

    def subset(self, size: int) -> np.ndarray:
        """The indices into ``train`` of the subset of a size: (size,) integers.

        Raises:
            UsageError: the size is larger than the training data or below one image a class.
        """
        check_sizes(self.info, [size], self.counts)
        return self.order[:size]


@dataclass(frozen=True)
class Dataset:
    """A data set in the splits of its source.

    Args:
        info: the description.
        pools: a `Split` for each split that the source has; at least "train".
        folder: of the prepared files.
    """

    info: DatasetInfo
    pools: Mapping[str, Split]
    folder: Path | None = None

    def replicate(
        self, seed: int, like: Dataset | None = None, compared: bool = False
    ) -> Replicate:
        """The data set as a seed sees it: splits that the source lacks, and the draw of training images.

        Args:
            seed: of the trial, >= 0.
            like: the same images at another size, whose splits and draw these have: what is tested on at
                one size would else be trained on at the other. By default its own.
            compared: `refuse_others` has passed data of these two fingerprints. What has the same pixels
                may have other names, which then tell nothing.

        Raises:
            UsageError: there are too few images to cut a split from, or `like` has other images.
        """
        if like is not None:
            self.refuse_others(like, names=not compared)
        whole, drawn = self.pools["train"], like or self
        data = int(drawn.info.fingerprint[:15], 16)
        plan = drawn.plan(seed)
        left = plan.pop("train")[1]
        if len(left) == len(whole):  # of what is left as it is no copies are needed
            del left
            order = nested_order(whole.labels, [data, seed, _ORDER])
        else:
            own = whole.labels[left].astype(left.dtype)
            order = left[nested_order(own, [data, seed, _ORDER])]
        others = {split: self._part(*place) for split, place in plan.items()}
        return Replicate(self.info, train=whole, order=order, **others)

    def plan(self, seed: int) -> dict[str, tuple[str, np.ndarray]]:
        """Where a seed's splits come from; see `plan_splits`."""
        labels = {split: pool.labels for split, pool in self.pools.items()}
        data = int(self.info.fingerprint[:15], 16)
        entropy = [data, seed, _SPLITS]
        return plan_splits(self.info.name, labels, entropy, self.pools["train"].groups)

    def refuse_others(self, other: Dataset, names: bool = True) -> None:
        """Raise UsageError unless another data set has the same images in the same order.

        They are known by their labels and, where they have some, names (unless these do not count).
        """
        alike = self.info.class_names == other.info.class_names
        alike = alike and self.pools.keys() == other.pools.keys()
        alike = alike and all(
            np.array_equal(pool.labels, other.pools[split].labels)
            for split, pool in self.pools.items()
        )
        if not alike or (names and not self._same_names(other)):
            one, two = (f"{h}x{w}" for h, w, _ in (self.info.image_shape, other.info.image_shape))
            raise UsageError(
                f"The data set {self.info.name} has other images at {one} than at {two} pixels, so that "
                f"they cannot be split alike: run again once its files no longer change."
            )

    def _same_names(self, other: Dataset) -> bool:
        folders = [data.folder for data in (self, other) if data.folder is not None]
        files = [file for folder in folders if (file := folder / NAMES_FILE).exists()]
        return not files or (len(files) == 2 and filecmp.cmp(files[0], files[1], shallow=False))

    def names(self) -> list[str] | None:
        """What people call each image, by its id (a path relative to its folder); None: nothing."""
        if self.folder is None or not (self.folder / NAMES_FILE).exists():
            return None
        return names_in(self.folder / NAMES_FILE)

    def _part(self, origin: str, indices: np.ndarray) -> Split:
        pool = self.pools[origin]
        ids = np.asarray(indices, np.int64)
        ids = pool.ids.start + ids if isinstance(pool.ids, range) else pool.ids[ids]
        if len(indices) == len(pool):
            return replace(pool, ids=ids)
        return Split(Rows(pool.images, indices), pool.labels[indices], ids, pool.groups[indices])


NAMES_FILE = "names.json"


def names_in(path: Path) -> list[str]:
    """The images' names in a file.

    Raises:
        OSError, ValueError: it cannot be read, or holds none.
    """
    names = parsed_json(file_bytes(path))
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{path} holds no names of images")
    return names


def counts_by_seed(data: Dataset, seeds: int) -> list[dict[str, int]]:
    """Images in each split, for each of the first seeds; only where some belong together do they differ."""
    if are_alone(data.pools["train"].groups):
        return [data.info.counts] * seeds
    plans = (data.plan(seed) for seed in range(seeds))
    return [{split: len(indices) for split, (_, indices) in plan.items()} for plan in plans]


class Counted(Protocol):
    """A description that says how many images and classes there are."""

    @property
    def name(self) -> str: ...
    @property
    def num_classes(self) -> int: ...
    @property
    def counts(self) -> Mapping[str, int]: ...


def check_sizes(
    info: Counted, sizes: Iterable[int], counts: Mapping[str, int] | None = None
) -> None:
    """Refuses subset sizes that a data set cannot give.

    Args:
        info: the data set's description.
        sizes: numbers of training images.
        counts: images in each split; by default those of seed 0.

    Raises:
        UsageError: a size is larger than the training data or below one image a class.
    """
    low, high = info.num_classes, (counts or info.counts)["train"]
    for size in sizes:
        if size < low:
            raise UsageError(
                f"The size {size} is below one image a class ({info.name} has {low} classes): "
                f"choose sizes from {low} to {high}."
            )
        if size > high:
            kind = info.name.partition(":")[0]
            hint = f", or name the data set {kind}:{size}" if kind in DRAWN else ""
            raise UsageError(
                f"The size {size} is larger than the training data ({info.name} has {high} images "
                f"for training): choose sizes from {low} to {high}{hint}."
            )
