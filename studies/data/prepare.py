"""Writes a source's images into a folder as memory-mappable arrays, and reads such a folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from studies.data.dataset import NAMES_FILE, Dataset, DatasetInfo, Split
from studies.data.splits import SPLITS, check_splits
from studies.data.twins import pixel_hash, twins
from studies.machine.files import stamp

_AT_ONCE, _MOST = 64 * 2**20, 10_000  # bytes and number of images held before they go to the file


class Source(Protocol):
    """Where images come from: labels known at once, pixels asked for in parts.

    A source may also have `groups` (split -> (N,) integers, equal for images that belong together, over
    all splits; below 0: on its own) and `names` (split -> what people call each image).
    """

    name: str
    class_names: list[str]
    labels: dict[str, np.ndarray]  # split -> (N,) integers; at least "train"

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of every image."""
        ...

    def images(self, split: str, indices: np.ndarray) -> np.ndarray:
        """The images (n, H, W, C) uint8 at increasing indices of a split."""
        ...


def write(folder: Path, source: Source, hashes: np.ndarray | None = None) -> dict[str, Any]:
    """Writes all splits that a source has into a folder.

    Args:
        folder: empty.
        source: the images.
        hashes: (N, 2) uint64, to be filled with those of all splits' images (see `twins.pixel_hash`).

    Returns:
        the description, as of `DatasetInfo.to_dict`.

    Raises:
        UsageError: a split is empty, or there are too few images to cut the missing ones from.
    """
    check_splits(source.name, source.labels)
    offered = [split for split in SPLITS if split in source.labels]
    digest = _begun(source.class_names, source.image_shape)
    rows = rows_of(source)
    if hashes is None:
        hashes = np.empty((max(part.stop for part in rows.values()), 2), np.uint64)
    for split in offered:
        _write_images(folder / images_file(split), source, split, digest, hashes[rows[split]])
        digest.update(split.encode())
        _write_integers(folder / f"{split}_labels.npy", source.labels[split], digest)
    given = getattr(source, "groups", None)
    groups = join_groups(hashes, np.concatenate([given[s] for s in offered]) if given else None)
    for split in offered:
        _write_integers(folder / f"{split}_groups.npy", groups[rows[split]], digest)
    del groups  # the description below needs memory of its own
    names: Mapping[str, Sequence[str]] | None = getattr(source, "names", None)
    if names:
        _write_names(folder / NAMES_FILE, chain.from_iterable(names[s] for s in offered))
    info = DatasetInfo(
        name=source.name,
        fingerprint=digest.hexdigest(),
        image_shape=source.image_shape,
        class_names=tuple(source.class_names),
        class_counts={},
        official={split: len(source.labels[split]) for split in offered},
    )
    return {**info.to_dict(), "class_counts": _class_counts(read(folder, info))}


def fingerprint_of(folder: Path, info: DatasetInfo) -> str:
    """The fingerprint of what a written folder holds.

    Args:
        folder: as of `write`.
        info: its description, of which the fingerprint does not count.

    Raises:
        OSError, ValueError: it does not hold what the description says.
    """
    pools = read(folder, info).pools
    offered = [split for split in SPLITS if split in pools]
    digest = _begun(info.class_names, info.image_shape)
    step = _at_once(info.image_shape)
    for split in offered:
        images = pools[split].images
        for start in range(0, len(images), step):
            digest.update(np.ascontiguousarray(images[start : start + step]).data)
        digest.update(split.encode())
        digest.update(pools[split].labels.data)
    for split in offered:
        digest.update(pools[split].groups.data)
    return str(digest.hexdigest())


def _begun(class_names: Sequence[str], image_shape: Sequence[int]) -> Any:
    """What a fingerprint begins with."""
    return hashlib.sha256(json.dumps([list(class_names), list(image_shape)]).encode())


def _at_once(image_shape: tuple[int, int, int]) -> int:
    """How many images are held at a time."""
    return min(max(1, _AT_ONCE // int(np.prod(image_shape))), _MOST)


def rows_of(source: Source) -> dict[str, slice]:
    """Where the images of each split are among all of them: split -> rows."""
    offered = [split for split in SPLITS if split in source.labels]
    ends = np.cumsum([0, *(len(source.labels[split]) for split in offered)]).tolist()
    return {split: slice(*span) for split, span in zip(offered, pairwise(ends))}


def images_file(split: str) -> str:
    """The name of the file with a split's images."""
    return f"{split}_images.npy"


def join_groups(pixels: np.ndarray, given: np.ndarray | None = None) -> np.ndarray:
    """Numbers the groups of images that belong together: those given, and identical pixels.

    Args:
        pixels: (N, ...) equal rows for identical images.
        given: (N,) integers, equal for images that belong together; below 0: on its own.

    Returns:
        (N,) int64, numbered in the order of their first image.
    """
    count = len(pixels)
    places, number = twins(pixels)
    pairs = [places[_chain(number)]]
    if given is not None:
        given = np.asarray(given)
        together = np.flatnonzero(given >= 0)
        pairs.append(together[_chain(given[together])])
    if not sum(map(len, pairs)):
        return np.arange(count)
    # Every image on its own, but for those that are in a pair.
    paired, place = np.unique(np.concatenate(pairs), return_inverse=True)
    links = place.reshape(-1, 2)  # (P, 2)
    shape = (len(paired), len(paired))
    graph = coo_array((np.ones(len(links), np.int8), (links[:, 0], links[:, 1])), shape)
    component = connected_components(graph, directed=False)[1]
    first, inside = np.unique(component, return_index=True, return_inverse=True)[1:]
    own = np.ones(count, bool)
    own[paired] = False
    own[paired[first]] = True  # the first image of a group counts for it
    groups = np.cumsum(own)
    groups -= 1
    groups[paired] = groups[paired[first]][inside]
    return groups


def _chain(values: np.ndarray) -> np.ndarray:
    """Pairs of neighbouring places with the same value, in the order of the values: (P, 2)."""
    order = np.argsort(values, kind="stable")
    equal = values[order][1:] == values[order][:-1]
    return np.stack([order[:-1][equal], order[1:][equal]], axis=1)


def _write_images(path: Path, source: Source, split: str, digest: Any, hashes: np.ndarray) -> None:
    """Writes a split's images, and the hash of each one's pixels to (N, 2) uint64."""
    count = len(source.labels[split])
    with open(path, "wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, *source.image_shape)}
        np.lib.format.write_array_header_1_0(file, header)
        step = _at_once(source.image_shape)
        for start in range(0, count, step):
            indices = np.arange(start, min(start + step, count))
            part = np.ascontiguousarray(source.images(split, indices))
            file.write(part.data)
            digest.update(part.data)
            for place, image in zip(indices, part):
                hashes[place] = pixel_hash(image)


def _write_names(path: Path, names: Iterable[str]) -> None:
    """Writes a list as JSON, a name at a time: the text of a million takes a hundred megabytes."""
    with open(path, "w", encoding="utf-8") as file:
        for number, name in enumerate(names):
            file.write(f"{', ' if number else '['}{json.dumps(name)}")
        file.write("]")


def _write_integers(path: Path, values: np.ndarray, digest: Any) -> None:
    """Writes an array as (N,) int64."""
    values = np.ascontiguousarray(values, np.int64)
    np.save(path, values)
    digest.update(values.data)


def _class_counts(data: Dataset) -> dict[str, list[int]]:
    """Images of every class in each split, as seed 0 has them."""
    replicate = data.replicate(0)
    labels = {
        "train": replicate.train.labels[replicate.order],
        "validation": replicate.validation.labels,
        "test": replicate.test.labels,
    }
    classes = data.info.num_classes
    return {split: np.bincount(labels[split], minlength=classes).tolist() for split in SPLITS}


def read(folder: Path, info: DatasetInfo) -> Dataset:
    """Opens a written folder; its arrays are mapped, not read, so processes share one copy.

    Raises:
        OSError, ValueError: it does not hold what the description says.
    """
    pools = {}
    start = 0
    for split in (s for s in SPLITS if s in info.official):
        count = info.official[split]
        images = _mapped(folder / images_file(split), np.uint8, (count, *info.image_shape))
        labels = _mapped(folder / f"{split}_labels.npy", np.int64, (count,))
        groups = _mapped(folder / f"{split}_groups.npy", np.int64, (count,))
        if labels.min() < 0 or labels.max() >= info.num_classes:
            raise ValueError(f"there are labels in {folder} that no class has")
        pools[split] = Split(images, labels, range(start, start + count), groups)
        start += count
    if "train" not in pools:
        raise ValueError(f"there is nothing to train on in {folder}")
    return Dataset(info, pools, folder)


def _mapped(path: Path, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    """A file's array; mapped, since a file may say that it holds more than any memory."""
    stamp(path)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # of many types, from the reader of its head
        raise ValueError(f"{path} is damaged: {error}") from error
    if not isinstance(array, np.memmap) or array.dtype != dtype or array.shape != shape:
        raise ValueError(f"{path} does not hold {dtype.__name__} {shape}")
    return array.view(np.ndarray)
