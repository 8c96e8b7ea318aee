"""Stratified choices: nested subsets of the training data, and the cutting of missing splits."""

from __future__ import annotations

import numpy as np

SPLIT_SEED = 20210503  # fixed, so that everybody's splits and subsets are the same


def nested_order(labels: np.ndarray, seed: int = SPLIT_SEED) -> np.ndarray:
    """Orders images so that every first part of them is a stratified subset.

    Each class is shuffled, and its image at position p gets the rank (p + random) / class size;
    sorting by rank mixes the classes in proportion. The first image of every class comes before
    all others, so that no subset of at least one image a class lacks a class (with classes of
    equal sizes this changes nothing).

    Args:
        labels: (N,) integers.
        seed: of the shuffle.

    Returns:
        (N,) int64, a permutation; the subset of size n is its first n entries.
    """
    labels = np.asarray(labels)
    rank = np.empty(len(labels), np.float64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        rng = np.random.default_rng([seed, int(label)])  # a class does not depend on the others
        position = rng.permutation(len(members))
        rank[members] = (position + rng.random(len(members))) / len(members)
        rank[members[position == 0]] -= 1.0
    return np.argsort(rank, kind="stable").astype(np.int64)


def stratified_cut(labels: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Cuts about ``count`` images out, every class in proportion, leaving each class at least one.

    Args:
        labels: (N,) integers.
        count: images to cut out; fewer are cut where classes of one image do not allow more.
        seed: of the choice.

    Returns:
        (rest, cut): sorted int64 indices, together all of range(N).
    """
    labels = np.asarray(labels)
    classes, sizes = np.unique(labels, return_counts=True)
    share = sizes * min(count / max(len(labels), 1), 1.0)
    quota = np.minimum(np.floor(share).astype(int), sizes - 1)
    # The largest remainders get what rounding down has left over; ties go to the lower label.
    by_remainder = np.argsort(-(share - np.floor(share)), kind="stable")
    while (missing := count - quota.sum()) > 0:
        able = [c for c in by_remainder if quota[c] < sizes[c] - 1][:missing]
        if not able:
            break
        quota[able] += 1
    chosen = np.zeros(len(labels), bool)
    for label, number in zip(classes, quota, strict=True):
        members = np.flatnonzero(labels == label)
        rng = np.random.default_rng([seed, int(label)])
        chosen[rng.permutation(members)[:number]] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)
