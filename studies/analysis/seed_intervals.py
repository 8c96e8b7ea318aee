"""t intervals over seeds alone, for records that kept accuracies but no image's outcome.

They hold what differs between the seeds and nothing else: neither the test set, which all of these
seeds shared, nor another draw of the training images. Every result's note says so.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy.special import expit, logit, stdtrit

from studies.analysis.estimate import Estimate, check_level

SEEDS_ALONE = "over seeds alone: one draw, test set not in the interval"
ONE_SEED = "one seed and no outcomes of single images: no interval"


def mean_interval(
    values: Sequence[float], level: float = 0.9, images: int | None = None
) -> Estimate:
    """Mean over seeds with its t interval.

    Args:
        values: one value a seed; NaN entries are left out.
        level: confidence.
        images: number of test images behind each value: an accuracy is known to half an image,
            which gives seeds that agree to the last one a width.

    Raises:
        ValueError: level is not between 0 and 1.

    Example:
        >>> found = mean_interval([0.80, 0.82, 0.81])
        >>> round(found.mean, 3), round(found.low, 3), round(found.high, 3)
        (0.81, 0.793, 0.827)
    """
    check_level(level)
    known = np.asarray(values, dtype=float).ravel()
    known = known[np.isfinite(known)]
    n = len(known)
    mean = float(known.mean()) if n else math.nan
    if n < 2:
        return Estimate(mean, math.nan, math.nan, math.nan, n, level, note=ONE_SEED)
    sd = float(known.std(ddof=1))
    error = math.sqrt((sd**2 + _rounding(images)) / n)
    half = float(stdtrit(n - 1, 0.5 + level / 2)) * error
    return Estimate(mean, mean - half, mean + half, sd, n, level, note=SEEDS_ALONE)


def accuracy_interval(
    values: Sequence[float], level: float = 0.9, images: int | None = None
) -> Estimate:
    """Mean accuracy over seeds with its t interval, formed on the logit scale.

    The mean's standard error is carried to logits by their slope there, 1 / (mean (1 - mean)) (the
    delta method), and the ends are carried back. The interval so belongs to the mean accuracy, not
    to the mean of logits, holds it, and lies between 0 and 1.

    Args:
        values: one accuracy a seed, in [0, 1]; NaN entries are left out.
        level, images: as for `mean_interval`.

    Raises:
        ValueError: a value is outside [0, 1], or level is not between 0 and 1.

    Example:
        >>> found = accuracy_interval([0.90, 0.98, 0.94])
        >>> round(found.mean, 3), round(found.low, 3), round(found.high, 3)
        (0.94, 0.826, 0.981)
    """
    found = mean_interval(values, level, images)
    wrong = [float(value) for value in values if value < 0.0 or value > 1.0]
    if wrong:
        raise ValueError(f"accuracies must lie between 0 and 1; got {wrong[0]:g}.")
    if math.isnan(found.low):
        return found
    scale = found.mean * (1.0 - found.mean)
    if scale == 0.0:  # all are 0 or all are 1: logits have no slope there
        return replace(found, low=max(0.0, found.low), high=min(1.0, found.high))
    centre, half = logit(found.mean), (found.high - found.mean) / scale
    low, high = float(expit(centre - half)), float(expit(centre + half))
    return replace(found, low=min(low, found.mean), high=max(high, found.mean))  # despite rounding


def difference_interval(
    a: Mapping[Hashable, float],
    b: Mapping[Hashable, float],
    level: float = 0.9,
    images: int | None = None,
) -> Estimate:
    """Mean difference a - b with its interval, paired by seed where the seeds match.

    The seeds in common are paired if there are at least two: what makes a seed easy for both models
    cancels. Otherwise the two means are compared as unrelated (Welch).

    Args:
        a, b: value by seed.
        level, images: as for `mean_interval`.
    """
    a = {seed: value for seed, value in a.items() if np.isfinite(value)}
    b = {seed: value for seed, value in b.items() if np.isfinite(value)}
    common = sorted(set(a) & set(b), key=str)
    if len(common) >= 2 or (common and len(a) == len(b) == 1):
        found = mean_interval([a[seed] - b[seed] for seed in common], level, images)
        return replace(found, paired=True)
    one, two = (mean_interval(list(side.values()), level, images) for side in (a, b))
    mean, n = one.mean - two.mean, min(one.seeds, two.seeds)
    if n < 2:
        return Estimate(mean, math.nan, math.nan, math.nan, n, level, note=ONE_SEED)
    parts = [(each.sd**2 + _rounding(images)) / each.seeds for each in (one, two)]
    down = parts[0] ** 2 / (one.seeds - 1) + parts[1] ** 2 / (two.seeds - 1)
    freedom = sum(parts) ** 2 / down if down > 0 else one.seeds + two.seeds - 2
    half = float(stdtrit(freedom, 0.5 + level / 2)) * math.sqrt(sum(parts))
    return Estimate(mean, mean - half, mean + half, math.nan, n, level, note=SEEDS_ALONE)


def contrast_interval(
    models: Sequence[Mapping[Hashable, float]],
    weights: Sequence[float],
    level: float = 0.9,
    images: int | None = None,
) -> Estimate:
    """Mean over seeds of a linear contrast with its t interval; of the seeds, those that all have.

    Args:
        models: value by seed, of each.
        weights: of the models' values.
        level, images: as for `mean_interval`.
    """
    common = sorted(set.intersection(*(set(each) for each in models)), key=str)
    values = [
        sum(weight * each[seed] for weight, each in zip(weights, models, strict=True))
        for seed in common
    ]
    return replace(mean_interval(values, level, images), paired=True)


def _rounding(images: int | None) -> float:
    """Variance of a number rounded to a whole multiple of 1 / images."""
    return 0.0 if images is None else 1.0 / (12.0 * images**2)
