"""Images with the same pixels, found by their hashes with little memory: hardly any image has a twin."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np


def pixel_hash(image: np.ndarray) -> np.ndarray:
    """The hash of an image's pixels: (2,) uint64."""
    digest = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
    return np.frombuffer(digest, np.uint64)


def hashes_on_disk(path: Path, number: int) -> np.ndarray:
    """An array for the hashes of so many images, (N, 2) uint64, that lies in a file and not in memory."""
    if not number:
        return np.empty((0, 2), np.uint64)
    return np.memmap(path, np.uint64, "w+", shape=(number, 2)).view(np.ndarray)


def twins(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which images have the same pixels as another.

    Args:
        hashes: (N, ...), equal rows for identical images.

    Returns:
        (places, number): places (P,) of images that have a twin, ascending, and numbers (P,) that those
        with the same pixels have in common.
    """
    rows = hashes.reshape(len(hashes), -1)
    first = np.sort(rows[:, 0])  # equal in the first part: a twin, or very seldom a chance
    several = first[1:][first[1:] == first[:-1]]
    del first
    places = np.flatnonzero(np.isin(rows[:, 0], several)) if len(several) else np.empty(0, int)
    _, number, counts = np.unique(rows[places], axis=0, return_inverse=True, return_counts=True)
    number = number.ravel()
    real = counts[number] > 1
    return places[real], number[real]
