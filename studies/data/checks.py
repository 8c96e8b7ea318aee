"""What is known of a data set before anything is trained on it: arrays and names in, findings out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from studies.data.decoded import image_name
from studies.data.twins import twins

SHOWN = 200  # of a list of pairs of images; their number is kept besides


@dataclass(frozen=True)
class Some:
    """Some things of a kind, and how many there are."""

    count: int = 0
    first: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def of(cls, things: Sequence[tuple[str, str]]) -> Some:
        return cls(len(things), list(things[:SHOWN]))


@dataclass(frozen=True)
class Facts:
    """The findings on a data set.

    Args:
        class_names: one a label.
        counts: split -> images of every class; a data set without splits has "train" alone.
        lacking: split -> classes without images in it; where splits are drawn, as seed 0 draws them.
        image_shape: (H, W, C) as they were prepared.
        heights, widths: the smallest, median and largest one in the files, in pixels; None where
            the images have no files.
        cut: the share of the median image's area that lies outside what fit="crop" keeps.
        broken: images that cannot be read, and why.
        twins: images that have the same pixels, as they were prepared, as an earlier one.
        twins_in_two_splits, twins_of_two_labels: pairs of images with the same pixels.
        groups: numbers of images of the groups that have two or more.
        groups_in_two_splits: how many have images in two splits.
        ungrouped: images in no group, where there are groups.
        left_out: kind of what lies beside the images and was left alone -> how many.
        notes: what else one should know, as sentences.
    """

    class_names: list[str]
    counts: dict[str, list[int]]
    lacking: dict[str, list[str]]
    image_shape: tuple[int, int, int]
    heights: tuple[int, int, int] | None = None
    widths: tuple[int, int, int] | None = None
    cut: float = 0.0
    broken: Some = Some()
    twins: int = 0
    twins_in_two_splits: Some = Some()
    twins_of_two_labels: Some = Some()
    groups: tuple[int, int, int] | None = None
    groups_in_two_splits: int = 0
    ungrouped: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def images(self) -> int:
        """Of all splits."""
        return sum(sum(counts) for counts in self.counts.values())

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Facts:
        """The findings that `to_dict` gave; raises ValueError for anything else."""
        found: Facts = TypeAdapter(cls).validate_python(value)
        return found


def facts(
    source: Any,
    hashes: np.ndarray,
    rows: Mapping[str, slice],
    class_counts: Mapping[str, Sequence[int]],
    broken: Sequence[tuple[str, str]] = (),
) -> Facts:
    """The findings on a source whose images have been read.

    Args:
        source: as of `prepare.Source`.
        hashes: (N, 2) uint64, of the pixels of all splits' images.
        rows: split -> which of them are its images'.
        class_counts: split -> images of every class, as seed 0 has them.
        broken: (name, reason) of those that are not in the source because they cannot be read.
    """
    counts = {
        split: np.bincount(labels, minlength=len(source.class_names)).tolist()
        for split, labels in source.labels.items()
    }
    equal, in_two_splits, of_two_labels = find_twins(source, hashes, rows)
    given = getattr(source, "groups", None) or {}
    groups, split_groups = _group_facts(given)
    different = getattr(source, "sizes", {})
    sizes = np.array(list(different), np.int64).reshape(-1, 2)  # (P, 2)
    images = np.array(list(different.values()), np.int64)  # (P,), of each size
    return Facts(
        class_names=list(source.class_names),
        counts=counts,
        lacking={
            split: [n for n, count in zip(source.class_names, counts, strict=True) if not count]
            for split, counts in class_counts.items()
            if not all(counts)
        },
        image_shape=source.image_shape,
        heights=_spread(sizes[:, 0], images),
        widths=_spread(sizes[:, 1], images),
        cut=_cut_away(sizes, images, source.image_shape),
        broken=Some(len(broken), sorted(broken)),  # all of them: they are to be mended
        twins=equal,
        twins_in_two_splits=Some.of(in_two_splits),
        twins_of_two_labels=Some.of(of_two_labels),
        groups=groups,
        groups_in_two_splits=split_groups,
        ungrouped=sum(int((numbers < 0).sum()) for numbers in given.values()),
    )


def find_twins(
    source: Any, hashes: np.ndarray, rows: Mapping[str, slice]
) -> tuple[int, list[tuple[str, str]], list[tuple[str, str]]]:
    """Images with equal pixels.

    Args:
        source: whose labels and names count.
        hashes, rows: as of `facts`.

    Returns:
        how many images equal an earlier one; (name, name) for each image that equals one of an
        earlier split; (name, name), with their classes, for each image whose label is not that of
        the first image that it equals.
    """
    places, number = twins(hashes)
    found: dict[int, list[tuple[str, int]]] = {}
    for place, same in zip(places.tolist(), number.tolist(), strict=True):
        split = next(split for split, own in rows.items() if place < own.stop)
        found.setdefault(same, []).append((split, place - rows[split].start))
    in_two_splits, of_two_labels = [], []
    for same in found.values():
        for rank, other in enumerate(same[1:]):
            names = [image_name(source, *place) for place in (same[0], other)]
            labels = [source.labels[split][index] for split, index in (same[0], other)]
            if same[0][0] != other[0]:
                pair = f"{same[0][0]}: {names[0]}", f"{other[0]}: {names[1]}"
                in_two_splits.append((rank, pair))
            if labels[0] != labels[1]:
                classes = [source.class_names[label] for label in labels]
                pair = f"{names[0]} ({classes[0]})", f"{names[1]} ({classes[1]})"
                of_two_labels.append((rank, pair))
    return len(places) - len(found), _spread_out(in_two_splits), _spread_out(of_two_labels)


def _spread_out(pairs: list[tuple[int, tuple[str, str]]]) -> list[tuple[str, str]]:
    """Pairs in an order that begins with one for each image: a blank one may have hundreds of twins."""
    return [pair for _, pair in sorted(pairs, key=lambda ranked: ranked[0])]


def _group_facts(
    groups: Mapping[str, np.ndarray],
) -> tuple[tuple[int, int, int] | None, int]:
    """Number, smallest and largest size of the groups of two images or more; those in two splits."""
    named = {split: numbers[numbers >= 0] for split, numbers in groups.items()}
    if not named:
        return None, 0
    _, sizes = np.unique(np.concatenate(list(named.values())), return_counts=True)
    sizes = sizes[sizes > 1]
    present = np.concatenate([np.unique(numbers) for numbers in named.values()])
    in_two = int((np.unique(present, return_counts=True)[1] > 1).sum())
    if not len(sizes):
        return (0, 0, 0), in_two
    return (len(sizes), int(sizes.min()), int(sizes.max())), in_two


def _spread(lengths: np.ndarray, images: np.ndarray) -> tuple[int, int, int] | None:
    if not len(lengths):
        return None
    return int(lengths.min()), int(_median(lengths, images)), int(lengths.max())


def _cut_away(sizes: np.ndarray, images: np.ndarray, shape: tuple[int, int, int]) -> float:
    """The median share of an image of (H, W) that is outside the middle of a shape's proportions."""
    if not len(sizes):
        return 0.0
    relative = sizes / np.array(
        shape[:2]
    )  # (P, 2): the kept part is the lesser of the two, squared
    return _median(1 - relative.min(1) / relative.max(1), images)


def _median(values: np.ndarray, counts: np.ndarray) -> float:
    """The median of values that are there so many times each."""
    order = np.argsort(values)
    up_to = np.cumsum(counts[order])
    middle = [(up_to[-1] - 1) // 2, up_to[-1] // 2]
    return float(np.mean(values[order][np.searchsorted(up_to, middle, side="right")]))
