"""Stratified choices: nested subsets of the training data, and the cutting of missing splits.

Both are drawn by `numpy.random.default_rng` from a few integers (`entropy`), so that the same data and
the same seed give the same choice on any machine. Millions of images are ordered in the process of every
trial: that takes 20 bytes an image for a moment, and 4 from then on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Entropy = Sequence[int]


def nested_order(labels: np.ndarray, entropy: Entropy) -> np.ndarray:
    """Orders images so that every first part of them is a stratified subset.

    Each class is shuffled, and its image at position p gets the rank (p + random) / class size;
    sorting by rank mixes the classes in proportion. The first image of every class comes before
    all others, so that no subset of at least one image a class lacks a class (with classes of
    equal sizes this changes nothing).

    Args:
        labels: (N,) integers >= 0.
        entropy: integers >= 0 that decide the shuffle.

    Returns:
        (N,) integers, a permutation; the subset of size n is its first n entries.
    """
    labels = np.asarray(labels)
    rank = np.empty(len(labels), np.float64)
    for label in np.flatnonzero(np.bincount(labels)):
        members = np.flatnonzero(labels == label)
        rng = np.random.default_rng([*entropy, int(label)])  # a class does not depend on the others
        position = rng.permutation(len(members))
        rank[members] = (position + rng.random(len(members))) / len(members)
        rank[members[position == 0]] -= 1.0
    order = np.argsort(rank, kind="stable")
    del rank  # before there is another array
    return order.astype(index_type(len(labels)))


def stratified_cut(
    labels: np.ndarray,
    count: int,
    entropy: Entropy,
    groups: np.ndarray | None = None,
    staying: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """Cuts about ``count`` images out, every class in proportion, leaving each class at least one.

    Groups are cut out whole or not at all. A group counts for the class that most of its images
    have. A class gives as many groups, in the order drawn, as come nearest to its share of the
    images; where that is none, since the first one drawn is large, its smallest group.

    Args:
        labels: (N,) integers.
        count: images to cut out; fewer are cut where classes of one group do not allow more.
        entropy: integers >= 0 that decide the choice.
        groups: (N,) integers, equal for images that belong together; None: each on its own.
        staying: groups that a class keeps at least, where it has more: 2 where another cut follows.

    Returns:
        (rest, cut): sorted indices, together all of range(N).
    """
    labels = np.asarray(labels)
    if groups is None or are_alone(groups):
        chosen = _cut_alone(labels, count, entropy)
    else:
        chosen = _cut_groups(labels, count, entropy, np.asarray(groups), staying)
    kind = index_type(len(labels))
    return np.flatnonzero(~chosen).astype(kind), np.flatnonzero(chosen).astype(kind)


def are_alone(groups: np.ndarray) -> bool:
    """Whether each image is a group of its own, numbered in the images' order."""
    return bool((groups[1:] > groups[:-1]).all())


def index_type(number: int) -> type[np.signedinteger]:
    """The smallest type of indices of so many things; what is drawn from them is the same in any."""
    return np.int32 if number <= np.iinfo(np.int32).max else np.int64


def _cut_alone(labels: np.ndarray, count: int, entropy: Entropy) -> np.ndarray:
    """`_cut_groups` where every group is one image, with little memory: (N,) whether it is cut out."""
    chosen = np.zeros(len(labels), bool)
    for label, wanted in enumerate(_quotas(np.bincount(labels), count)):
        members = np.flatnonzero(labels == label).astype(index_type(len(labels)))
        if wanted and len(members) > 1:
            drawn = np.random.default_rng([*entropy, label]).permutation(members)
            chosen[drawn[: min(wanted, len(members) - 1)]] = True
    return chosen


def _cut_groups(
    labels: np.ndarray, count: int, entropy: Entropy, groups: np.ndarray, staying: int = 1
) -> np.ndarray:
    """(N,) whether an image's group is cut out."""
    _, group = np.unique(groups, return_inverse=True)  # (N,) in 0..G-1
    weight = np.bincount(group)  # (G,) images
    home = _home(labels, group, len(weight))  # (G,) class
    quota = _quotas(np.bincount(home, weights=weight).astype(int), count)
    chosen = np.zeros(len(weight), bool)
    by_home, ends = np.argsort(home, kind="stable"), np.cumsum(np.bincount(home))
    for label, (end, wanted) in enumerate(zip(ends, quota, strict=True)):
        members = by_home[ends[label - 1] if label else 0 : end]  # in their order
        if not wanted or len(members) < 2:
            continue
        rng = np.random.default_rng([*entropy, label])
        able = len(members) - (staying if len(members) > staying else 1)
        members = rng.permutation(members)
        total = np.cumsum(weight[members[:able]])
        # As many groups as come nearest; of two equally near numbers the larger, lest nothing is cut.
        miss = np.abs(np.concatenate([[0], total]) - wanted)
        nearest = len(total) - int(np.argmin(miss[::-1]))
        chosen[members[:nearest] if nearest else members[np.argmin(weight[members])]] = True
    return chosen[group]


def _home(labels: np.ndarray, group: np.ndarray, number: int) -> np.ndarray:
    """The class that most images of each group have (the lowest of several): (G,)."""
    classes = int(labels.max(initial=0)) + 1
    pairs, images = np.unique(group * classes + labels, return_counts=True)
    home = np.zeros(number, np.int64)
    most = np.zeros(number, np.int64)
    of, label = np.divmod(pairs, classes)
    for size in np.unique(images)[::-1]:  # from large to small: the first to come stays
        here = (images == size) & (most[of] == 0)
        first = np.unique(of[here], return_index=True)[1]
        rows = np.flatnonzero(here)[first]
        home[of[rows]], most[of[rows]] = label[rows], size
    return home


def _quotas(sizes: np.ndarray, count: int) -> np.ndarray:
    """How many images of each class to cut out: in proportion, leaving at least one."""
    share = sizes * min(count / max(sizes.sum(), 1), 1.0)
    quota = np.minimum(np.floor(share).astype(int), np.maximum(sizes - 1, 0))
    # The largest remainders get what rounding down has left over; ties go to the lower label.
    by_remainder = np.argsort(-(share - np.floor(share)), kind="stable")
    while (missing := count - quota.sum()) > 0:
        able = [c for c in by_remainder if quota[c] < sizes[c] - 1][:missing]
        if not able:
            break
        quota[able] += 1
    return quota
