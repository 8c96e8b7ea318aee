"""Who is ahead, if it can be told; and if it cannot, what would tell.

Three answers: A ahead, B ahead, cannot be told apart. Never ahead where the interval holds 0, and
no answer about a model that learned nothing or was trained too short.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import ndtri

from studies.analysis.estimate import Estimate

UNEVEN = 2.0  # test classes are uneven where the largest has more than twice the smallest
POWER = 0.8  # with which a planned study shows a difference that is there
MOST_SEEDS = 20  # beyond, another design is the better advice
POINT = 0.01

LEARNED_NOTHING = "learned nothing"
UNDERTRAINED = "undertrained"


@dataclass(frozen=True)
class Verdict:
    """The comparison of two models at one size.

    Attributes:
        a, b: their names.
        size: number of training images.
        difference: of the leading number, a - b.
        leader: name of the model that is ahead; None where it cannot be told, or must not be.
        barred: why nothing is said about a model, by name: "learned nothing", "undertrained".
    """

    a: str
    b: str
    size: int
    difference: Estimate
    leader: str | None
    barred: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def undecided(self) -> bool:
        """Whether the two were compared and could not be told apart."""
        return self.leader is None and not self.barred


@dataclass(frozen=True)
class Need:
    """What would show a difference, each by itself, the rest staying as it is.

    Attributes:
        target: the difference to be shown.
        seeds: number of seeds; None: more than MOST_SEEDS, or nothing known about seeds.
        images: number of test images of a seed; None: no test set is large enough for these seeds.
        groups: in how many groups, where images belong together; None: each stands alone.
    """

    target: float
    seeds: int | None
    images: int | None
    groups: int | None = None


def decide(
    a: str,
    b: str,
    size: int,
    difference: Estimate,
    barred: Mapping[str, Sequence[str]] | None = None,
) -> Verdict:
    """The verdict on two models at one size.

    Args:
        a, b: names.
        size: number of training images.
        difference: a - b.
        barred: what is wrong with a model, by name; other models than these two are left out.
    """
    barred = {name: tuple(barred[name]) for name in (a, b) if barred and barred.get(name)}
    leader = None
    if not barred and difference.low > 0.0:
        leader = a
    elif not barred and difference.high < 0.0:
        leader = b
    return Verdict(a, b, size, difference, leader, barred)


def is_uneven(labels: np.ndarray) -> bool:
    """Whether test classes are so uneven that balanced accuracy leads.

    Args:
        labels: (n,) of the test images.
    """
    counts = np.unique(np.asarray(labels), return_counts=True)[1]
    return bool(counts.max() > UNEVEN * counts.min())


def baseline(labels: np.ndarray, balanced: bool) -> float:
    """What a model reaches that has learned nothing but the classes' frequencies.

    Args:
        labels: (n,) of the test images.
        balanced: for balanced accuracy, 1 / classes; else the commonest class's share.
    """
    counts = np.unique(np.asarray(labels), return_counts=True)[1]
    return 1.0 / len(counts) if balanced else float(counts.max() / counts.sum())


def learned_nothing(accuracy: Estimate, baseline: float) -> bool:
    """Whether a model's interval does not lie above the baseline; without one, its mean."""
    low = accuracy.mean if math.isnan(accuracy.low) else accuracy.low
    return low <= baseline  # an unknown baseline (NaN) bars nobody


def what_would_tell(difference: Estimate, target: float | None = None) -> Need | None:
    """How many seeds, or how large a test set, would show a difference with 80 % power.

    Rough: it takes the variances that were found for the true ones.

    Args:
        difference: of two models, from outcomes.
        target: the difference to be shown, such as POINT; None takes the one seen.

    Returns:
        None where the parts of the variance are not known, or the target is 0.

    Raises:
        ValueError: target is negative.
    """
    if target is not None and target < 0.0:
        raise ValueError(f"target is the size of a difference, 0 or more; got {target:g}.")
    target = abs(difference.mean) if target is None else target
    parts = difference.variance
    if parts is None or not target > 0.0:
        return None

    def enough(seeds: int, images: float) -> bool:
        total, half = parts.planned(difference.level, seeds, images)
        return half + float(ndtri(POWER)) * math.sqrt(total) <= target

    seeds = None
    if parts.seeds > 1:
        more = range(parts.seeds, MOST_SEEDS + 1)
        seeds = next((number for number in more if enough(number, 1.0)), None)
    # Steps of 5 %: the answer is told to two digits at most.
    times = 1.05 ** np.arange(200)
    enlarged = next((float(k) for k in times if enough(parts.seeds, float(k))), None)
    if enlarged is None:
        return Need(target, seeds, None)
    grouped = parts.tested_groups < parts.tested
    groups = math.ceil(enlarged * parts.tested_groups) if grouped else None
    return Need(target, seeds, math.ceil(enlarged * parts.tested), groups)
