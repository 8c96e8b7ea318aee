"""How far a mean over seeds and test images may be off: seeds and images as crossed random effects.

A seed draws the split, the training images, the weights and the order; it is tested on images that
other seeds may be tested on as well, all of them (a data set's own test set) or some (test sets
drawn anew from one folder). The value of image i under seed r is taken as

    mean + seed effect a_r + image effect b_i + the rest e_ri.

Image effects need no variance of their own: an image's (or group's) weighted deviations are summed
over all the seeds that tested it and squared, as for survey clusters, which holds for shared,
overlapping and disjoint test sets alike, for groups and for balanced accuracy. What the seeds
scatter beyond the images' share is the seed effect (as in two-way cluster-robust variances,
Cameron, Gelbach and Miller 2011).

Seeds that draw their training images from one pool share some: their effects are correlated, the
mean of R seeds has not 1/R of the variance but 1/R + rho / (1 - rho) of the one seen between the
seeds (Nadeau and Bengio, "Inference for the Generalization Error", Machine Learning 52, 2003). Here
rho = DRAW_SHARE x overlap: what two seeds have in common is the share of the training images that
both drew, and that share counts for the part of a seed's variance that comes from the draw.

Each part has its own degrees of freedom, hundreds of images but two to five seeds. Their half widths
are squared and added, as for any sum of independent estimates (MOVER, Zou and Donner 2008).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import gammaincinv, stdtrit

from studies.analysis.outcomes import Scores

# Which part of a new seed's variance comes from the draw of the training images; the rest is
# weights, order and augmentation. Seeds that share their images cannot tell, so it is assumed.
# Measured on Fashion-MNIST, 8 draws x 6 weights: 0.8 and 0.6 for a small MLP at 200 and 1,000
# images, 0.2 for a small CNN at 200.
DRAW_SHARE = 0.5

# Groups that are added to each class, on either side (see `variance`).
PSEUDO = 0.5

_SPREAD = (
    100  # times as many numbers as values: up to there a table of them is quicker than sorting
)


@dataclass(frozen=True)
class Variance:
    """The variance of a mean over seeds, in its parts.

    Attributes:
        mean: over seeds, each with the same weight.
        smooth: the same with half a right and half a wrong group added (see `variance`).
        seeds: number of seeds R.
        groups: number of different groups of test images.
        between: variance of the seeds' values; NaN with one seed.
        images: variance of the mean that comes from the test images, at least within / R.
        within: the variance between seeds that test images alone would cause; NaN with one seed.
        images_freedom: degrees of freedom of `images`.
        correlation: rho, of two seeds' effects.
        tested, tested_groups: number of test images of a seed, and of groups among them, in the mean over
            seeds; `groups` are more where seeds have test sets of their own.
    """

    mean: float
    smooth: float
    seeds: int
    groups: int
    between: float
    images: float
    within: float
    images_freedom: float
    correlation: float
    tested: float
    tested_groups: float

    @property
    def seed_effect(self) -> float:
        """Variance between seeds beyond what their test images explain; 0 with one seed.

        The scatter that images alone would cause is skewed with few seeds: its median is subtracted,
        not its mean, so that a seed effect is missed in half of the studies at most.
        """
        if self.seeds == 1:
            return 0.0
        median = 2.0 * float(gammaincinv((self.seeds - 1) / 2, 0.5)) / (self.seeds - 1)
        return max(0.0, self.between - median * self.within)

    @property
    def common(self) -> float:
        """The part of `total` that more seeds would not average out."""
        if self.seeds == 1:
            return self.images
        shared = self.correlation / (1.0 - self.correlation) * self.seed_effect
        return self.images - self.within / self.seeds + shared

    @property
    def total(self) -> float:
        """Variance of the mean."""
        return self.images + self._factor(self.seeds) * self.seed_effect

    def half_width(self, level: float) -> float:
        """Half the width of the mean's interval.

        Args:
            level: confidence.
        """
        return self.planned(level, self.seeds)[1]

    def planned(self, level: float, seeds: int, images: float = 1.0) -> tuple[float, float]:
        """Variance of the mean and half the width of its interval, for another design.

        Args:
            level: confidence.
            seeds: number of seeds. If there is only one now, nothing is known of others.
            images: size of the test set, as a multiple of the present one.
        """
        within = self.within / images if self.seeds > 1 else 0.0
        # What the images of different seeds have in common, more seeds do not average out.
        of_images = self.images / images - within / self.seeds + within / seeds
        of_seeds = self._factor(seeds) * self.seed_effect
        square = stdtrit(self.images_freedom, 0.5 + level / 2) ** 2 * of_images
        if seeds > 1:
            square += stdtrit(seeds - 1, 0.5 + level / 2) ** 2 * of_seeds
        return of_images + of_seeds, math.sqrt(square)

    def _factor(self, seeds: int) -> float:
        return 1.0 / seeds + self.correlation / (1.0 - self.correlation)


def variance(
    scores: Sequence[Scores],
    balanced: bool = False,
    overlap: float = 0.0,
    lowest: float = 0.0,
    highest: float = 1.0,
) -> Variance:
    """Mean over seeds and test images, and the parts of its variance.

    To the images' part half a group with the highest and half a group with the lowest value are
    added, shared out among the classes: a model that makes no error on 150 images is not known to
    make none. Agresti and Min (2005) do so for a paired difference, Price and Bonett (2004) share
    such observations out for sums of proportions.

    Args:
        scores: one entry a seed.
        balanced: mean of the classes' means instead of the images' mean.
        overlap: share of the training images that two seeds have in common, in [0, 1].
        lowest, highest: smallest and largest possible value of a score.

    Raises:
        ValueError: no scores, or overlap outside [0, 1].
    """
    if not scores:
        raise ValueError("a mean needs the outcomes of one seed or more.")
    if not 0.0 <= overlap <= 1.0:
        raise ValueError(f"overlap is a share of the training images, in [0, 1]; got {overlap:g}.")
    layout = _layout(tuple(map(_Images, scores)), balanced)
    num_seeds, num_classes = layout.weight.shape
    value = np.concatenate([each.value for each in scores]).astype(float)
    sums = np.bincount(layout.row, value, layout.weight.size)
    means = sums / np.maximum(layout.count, 1)
    by_seed = np.sum(means.reshape(layout.weight.shape) * layout.weight, axis=1)
    deviation = (value - means[layout.row]) * layout.scale
    table = np.bincount(layout.cell, deviation, num_seeds * layout.width)
    table = table.reshape(
        num_seeds, layout.width
    )  # (R, G): each group's share in each seed's value

    weight = layout.weight.mean(axis=0)  # (K,)
    present = layout.weight > 0
    recall = np.sum(means.reshape(present.shape) * present, axis=0) / present.sum(axis=0)
    added = PSEUDO / num_classes
    pseudo = added * ((highest - recall) ** 2 + (recall - lowest) ** 2)
    pseudo = pseudo * (weight / layout.all_groups) ** 2
    smoothed = layout.all_groups * recall + added * (highest + lowest)
    smooth = np.sum(weight * smoothed / (layout.all_groups + 2.0 * added))

    by_class = np.bincount(layout.pair, deviation) / num_seeds
    by_class = np.bincount(layout.pair_stratum, by_class**2, num_classes) + pseudo
    freedom = by_class.sum() ** 2 / np.sum(by_class**2 / np.maximum(layout.all_groups - 1, 1))
    several = num_seeds > 1
    within = float(table.var(axis=0, ddof=1).sum()) if several else np.nan
    images = float(np.sum(table.mean(axis=0) ** 2) + pseudo.sum())
    return Variance(
        mean=float(by_seed.mean()),
        smooth=float(smooth),
        seeds=num_seeds,
        groups=layout.width,
        between=float(by_seed.var(ddof=1)) if several else np.nan,
        # Less would mean that what is hard under one seed is easy under another: that is noise.
        images=max(images, within / num_seeds) if several else images,
        within=within,
        images_freedom=float(freedom),
        correlation=DRAW_SHARE * overlap,
        tested=layout.tested,
        tested_groups=layout.tested_groups,
    )


class _Images:
    """What a seed was tested on: the same where the arrays are, as those of trials that share them are."""

    def __init__(self, scores: Scores) -> None:
        self.group, self.label = scores.group, scores.label

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Images):
            return NotImplemented
        return self.group is other.group and self.label is other.label

    def __hash__(self) -> int:
        return hash((id(self.group), id(self.label)))


@lru_cache(4)  # means and contrasts of a study are, by the thousand, of the same few
def _layout(seeds: tuple[_Images, ...], balanced: bool) -> _Layout:
    return _Layout(seeds, balanced)


class _Layout:
    """Which seed, group and class every score belongs to, as numbers from 0, whatever the scores are.

    Attributes:
        row: (n,) of each score its seed and stratum; a stratum is a class, or all images together.
        cell: (n,) of each score its seed and group.
        pair: (n,) number of the score's group within its class; a group may span several.
        pair_stratum: (P,) class of each pair.
        width: number of groups G.
        weight: (R, K) weight of each class in a seed's value.
        count: (R * K,) scores of each seed and class.
        scale: (n,) weight of each score's deviation in its seed's value.
        all_groups: (K,) different groups of each class over all seeds.
        tested, tested_groups: images of a seed and groups among them, in the mean over seeds.
    """

    def __init__(self, seeds: Sequence[_Images], balanced: bool) -> None:
        lengths = [len(each.group) for each in seeds]
        seed = np.repeat(np.arange(len(seeds)), lengths)
        group = _numbered(np.concatenate([each.group for each in seeds]))[1]
        self.width = width = int(group.max()) + 1
        if balanced:
            labels = np.concatenate([each.label for each in seeds])
            classes, stratum = _numbered(labels)
            num_classes = len(classes)
            pairs, self.pair = _numbered(stratum * width + group)
            self.pair_stratum = pairs // width
        else:
            num_classes = 1
            stratum = np.zeros(len(seed), dtype=int)
            self.pair, self.pair_stratum = group, np.zeros(width, dtype=int)
        seen = np.zeros((len(seeds), len(self.pair_stratum)), dtype=bool)
        seen[seed, self.pair] = True
        per_seed = [np.bincount(self.pair_stratum[each], minlength=num_classes) for each in seen]
        present = np.array(per_seed) > 0
        groups = np.concatenate(per_seed)
        self.weight = present / present.sum(axis=1, keepdims=True)
        self.all_groups = np.bincount(self.pair_stratum, minlength=num_classes)
        self.row, self.cell = seed * num_classes + stratum, seed * width + group
        self.count = np.bincount(self.row, minlength=self.weight.size)
        self.tested = len(seed) / len(seeds)
        there = np.zeros(len(seeds) * width, dtype=bool)
        there[self.cell] = True
        self.tested_groups = int(there.sum()) / len(seeds)
        # Deviations from means that were fitted to few groups are too small by sqrt(1 - 1 / groups).
        fix = np.where(groups > 1, groups / np.maximum(groups - 1, 1), 1.0) ** 0.5
        self.scale = (self.weight.ravel() / np.maximum(self.count, 1) * fix)[self.row]


def _numbered(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different values, ascending, and the number of each value's among them."""
    if values.min() < 0 or values.max() > _SPREAD * len(values):
        distinct, number = np.unique(values, return_inverse=True)
        return distinct, number
    there = np.zeros(int(values.max()) + 1, bool)  # ids are small: no need to sort them
    there[values] = True
    return np.flatnonzero(there), (np.cumsum(there) - 1)[values]
