"""Writes a source's images into a folder as memory-mappable arrays, and reads such a folder."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from studies.data.dataset import SPLITS, Dataset, DatasetInfo, Split
from studies.data.splits import plan_splits
from studies.data.subsets import nested_order

_AT_ONCE = 64 * 2**20  # bytes of images held before they go to the file


class Source(Protocol):
    """Where images come from: labels known at once, pixels asked for in parts."""

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


def write(folder: Path, source: Source) -> dict[str, Any]:
    """Writes all splits of a source, and the subsets' order, into a folder.

    Args:
        folder: empty.
        source: the images.

    Returns:
        the description, as of `DatasetInfo.to_dict`.
    """
    digest = hashlib.sha256()
    digest.update(json.dumps([list(source.class_names), list(source.image_shape)]).encode())
    counts = {}
    plan = plan_splits(source.name, source.labels)
    for split in SPLITS:
        origin, indices = plan[split]
        labels = np.asarray(source.labels[origin][indices], np.int64)
        _write_images(folder / f"{split}_images.npy", source, origin, indices, digest)
        np.save(folder / f"{split}_labels.npy", labels)
        digest.update(labels.tobytes())
        counts[split] = np.bincount(labels, minlength=len(source.class_names)).tolist()
        if split == "train":
            order = nested_order(labels)
    if (own := getattr(source, "order", None)) is not None:
        order = own()
    np.save(folder / "order.npy", order)
    digest.update(order.tobytes())
    own_fingerprint = getattr(source, "fingerprint", None)
    fingerprint = own_fingerprint() if own_fingerprint else digest.hexdigest()
    return {
        "name": source.name,
        "fingerprint": fingerprint,
        "image_shape": list(source.image_shape),
        "class_names": list(source.class_names),
        "class_counts": counts,
    }


def _write_images(
    path: Path, source: Source, origin: str, indices: np.ndarray, digest: Any
) -> None:
    shape = (len(indices), *source.image_shape)
    with open(path, "wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        step = max(1, _AT_ONCE // int(np.prod(source.image_shape)))
        for start in range(0, len(indices), step):
            part = np.ascontiguousarray(source.images(origin, indices[start : start + step]))
            file.write(part.data)
            digest.update(part.data)


def read(folder: Path, info: DatasetInfo) -> Dataset:
    """Opens a written folder; the images are mapped, not read, so processes share one copy."""
    splits = {}
    for split in SPLITS:
        images = np.load(folder / f"{split}_images.npy", mmap_mode="r")
        labels = np.load(folder / f"{split}_labels.npy")
        splits[split] = Split(images.view(np.ndarray), labels)
    return Dataset(info=info, order=np.load(folder / "order.npy"), **splits)
