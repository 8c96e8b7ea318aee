"""Intervals of accuracies and of their differences that hold all that is random in a study.

What is estimated: the accuracy on new images of the same kind after training on N of them. The
interval holds the test images, the seeds (split, draw of training images, weights, order) and what
the seeds have in common, see `studies.analysis.variance`. `studies.analysis.coverage` checks by
simulation that it holds the truth as often as it says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from studies.analysis.estimate import Estimate, check_level
from studies.analysis.outcomes import Marked, Scores, right, right_minus_right, weighted_rights
from studies.analysis.variance import Variance, variance

ONE_SEED = "one seed: the test set's error alone"
SAME_IMAGES = "all seeds trained on the same images: how far another draw would move it is assumed"


def accuracy(
    outcomes: Sequence[Marked],
    balanced: bool = False,
    overlap: float = 0.0,
    level: float = 0.9,
) -> Estimate:
    """A model's accuracy at one size, over its seeds, with a Wilson interval.

    Wilson's score interval (1927) for a proportion of as many images as would have the half width
    found: it lies between 0 and 1, holds the mean, and has a width where a model is right, or
    wrong, on every image.

    Args:
        outcomes: one entry a seed.
        balanced: mean of the classes' recalls (balanced accuracy) instead of top-1.
        overlap: share of the training images that two seeds have in common; see `overlap`.
        level: confidence.

    Raises:
        ValueError: no outcomes, a seed twice, or level or overlap out of range.

    Example:
        >>> found = accuracy([seed_0, seed_1, seed_2], overlap=500 / 50_000)
        >>> found.low < found.mean < found.high
        True
    """
    return accuracy_of(right(outcomes), balanced, overlap, level)


def difference(
    a: Sequence[Marked],
    b: Sequence[Marked],
    balanced: bool = False,
    overlap: float = 0.0,
    level: float = 0.9,
) -> Estimate:
    """The difference a - b of two models' accuracies at one size, paired image by image.

    Of the seeds, those that both models have.

    Args:
        a, b: one entry a seed.
        balanced, overlap, level: as for `accuracy`.

    Raises:
        ValueError: no seed in common, a seed's two models were tested on different images, or level
            or overlap is out of range.

    Example:
        >>> found = difference([vit_0, vit_1], [resnet_0, resnet_1])
        >>> ahead = found.low > 0
    """
    scores = right_minus_right(a, b)
    if not scores:
        raise ValueError("the two models have no seed in common: they cannot be paired.")
    return difference_of(scores, balanced, overlap, level)


def contrast(
    models: Sequence[Sequence[Marked]],
    weights: Sequence[float],
    balanced: bool = False,
    overlap: float = 0.0,
    level: float = 0.9,
) -> Estimate:
    """A linear contrast of several models' accuracies at one size, paired image by image.

    With the weights 1, -1, -1 and 1 it is the difference of two differences: what a change does to one
    model, less what it does to another. Of the seeds, those that all models have.

    Args:
        models: one entry a seed each.
        weights: of the models' accuracies.
        balanced, overlap, level: as for `accuracy`.

    Raises:
        ValueError: as for `difference`.

    Example:
        >>> cost = contrast([vit_whole, vit_scrambled, bit_whole, bit_scrambled], [1, -1, -1, 1])
    """
    scores = weighted_rights(models, weights)
    if not scores:
        raise ValueError("the models have no seed in common: they cannot be paired.")
    lowest = sum(weight for weight in weights if weight < 0)
    highest = sum(weight for weight in weights if weight > 0)
    return difference_of(scores, balanced, overlap, level, lowest, highest)


def accuracy_of(scores: Sequence[Scores], balanced: bool, overlap: float, level: float) -> Estimate:
    """`accuracy` of what is already 0 or 1 an image."""
    check_level(level)
    parts = variance(scores, balanced, overlap)
    # t^2 / n of the textbook: n independent images have the variance smooth (1 - smooth) / n.
    share = parts.half_width(level) ** 2 / (parts.smooth * (1.0 - parts.smooth))
    middle = (parts.mean + share / 2) / (1.0 + share)
    half = math.sqrt(parts.mean * (1.0 - parts.mean) * share + share**2 / 4) / (1.0 + share)
    return _estimate(parts, middle - half, middle + half, level, overlap)


def difference_of(
    scores: Sequence[Scores],
    balanced: bool,
    overlap: float,
    level: float,
    lowest: float = -1.0,
    highest: float = 1.0,
) -> Estimate:
    """`difference` of what is already -1, 0 or 1 an image, or another number between two ends."""
    check_level(level)
    parts = variance(scores, balanced, overlap, lowest, highest)
    half = parts.half_width(level)
    low, high = max(lowest, parts.mean - half), min(highest, parts.mean + half)
    return _estimate(parts, low, high, level, overlap, paired=True)


def overlap(size: int, pool: int) -> float:
    """Expected share of the training images that two seeds have in common.

    Args:
        size: number of training images.
        pool: number of images that each seed draws them from. Where a seed also draws its test or
            validation images anew, those belong to the pool: any image may be drawn for training.

    Raises:
        ValueError: size is not between 1 and pool.

    Example:
        >>> overlap(500, 50_000)
        0.01
    """
    if not 1 <= size <= pool:
        raise ValueError(f"size must lie between 1 and the pool's {pool:,} images; got {size:,}.")
    return size / pool


def _estimate(
    parts: Variance, low: float, high: float, level: float, overlap: float, paired: bool = False
) -> Estimate:
    notes = []
    if parts.seeds == 1:
        notes.append(ONE_SEED)
    elif overlap == 1.0:
        notes.append(SAME_IMAGES)
    return Estimate(
        mean=parts.mean,
        low=min(low, parts.mean),  # despite rounding
        high=max(high, parts.mean),
        sd=math.sqrt(parts.between),
        seeds=parts.seeds,
        level=level,
        paired=paired,
        images=round(parts.tested),
        variance=parts,
        note="; ".join(notes),
    )
