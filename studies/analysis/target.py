"""How many images it takes to reach a target, with a probability that learning curves have confirmed.

A law gives the probability that its expected error has come down to a target by a number of images. On
published curves, asked for what a later point reached, a probability of 0.9 held less often than that:
`python -m studies.bench.targets` counts, and learns by how much more must be asked for.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from scipy.special import ndtr, ndtri

# In units of the normal distribution; from all published curves, by `studies.bench.targets`: the least with
# which a probability of 0.9 holds for each number of sizes from four to seven, and that of one half.
SHIFT = 0.87
MIDDLE = 0.38
_LEARNED_AT = 0.9
# How many of the answers held that were a number, asked for with 0.9 on tasks from which nothing was learned:
# with the number of sizes where fewest did, and where most did.
HELD = "42 to 95 %"
FURTHEST = 2.0  # times as many images in a round: forecasts beyond are much less certain


class Law(Protocol):
    """What is needed of a scaling law; `studies.analysis.ScalingLaw` has it."""

    def size_for(self, error: float, probability: float = 0.5) -> float: ...


@dataclass(frozen=True)
class Collection:
    """What to collect for one model to reach a target.

    Attributes:
        probability: with which `size` reaches it.
        size: number of training images; inf where even 1,000 times as many are not enough.
        middle: number that reaches it as likely as not.
        rounds: numbers of training images to measure at, the last one `size`; empty where that is
            reached already, or never.
    """

    probability: float
    size: float
    middle: float
    rounds: tuple[int, ...]


def collection(law: Law, error: float, size: int, probability: float = 0.9) -> Collection:
    """What to collect until the expected error is at most this.

    In rounds (collect, measure, decide again), none of which goes beyond twice the images: what a round
    shows is worth more than any forecast across it.

    Args:
        law: fitted to a model's errors.
        error: the target.
        size: number of training images that are there.
        probability: with which it is to be reached.

    Raises:
        ValueError: error is not positive, or probability not between 0 and 1.

    Reference:
        Mahmood et al., "How Much More Data Do I Need?", CVPR 2022, arXiv 2207.01725: estimates made
        once are far off, corrected ones in about five rounds are not.
    """
    needed = law.size_for(error, calibrated(probability))
    middle = law.size_for(error, calibrated(0.5))
    if needed <= size or math.isinf(needed):
        return Collection(probability, needed, middle, ())
    number = math.ceil(math.log(needed / size) / math.log(FURTHEST))
    steps = [size * (needed / size) ** (k / number) for k in range(1, number + 1)]
    return Collection(probability, needed, middle, tuple(math.ceil(step) for step in steps))


def calibrated(probability: float, shift: float = SHIFT, middle: float = MIDDLE) -> float:
    """The probability to ask a law for, so that a target is reached with the one that is wanted.

    Args:
        probability: that is wanted.
        shift: with which 0.9 holds, in units of the normal distribution.
        middle: with which one half holds; others lie on the line through both.

    Raises:
        ValueError: probability is not between 0 and 1.

    Example:
        >>> round(calibrated(0.9, shift=0.0), 3), calibrated(0.9) > 0.9
        (0.9, True)
    """
    if not 0.0 < probability < 1.0:
        raise ValueError(f"probability must lie between 0 and 1; got {probability}.")
    wanted = ndtri(probability)
    return float(ndtr(wanted + middle + (shift - middle) * wanted / ndtri(_LEARNED_AT)))


def learned_shift(
    reached: Iterable[float], weights: Iterable[float], probability: float = 0.9
) -> float:
    """The shift with which a probability would have held, never below 0.

    Args:
        reached: for every target that was asked for, the probability that the law gave to reaching it
            by the number of images at which it was reached.
        weights: of the targets.
        probability: the one that shall hold; the shift is that of this probability.
    """
    pairs = sorted(zip(reached, weights, strict=True))
    total = list(itertools.accumulate(weight for _, weight in pairs))
    value = pairs[bisect.bisect_left(total, probability * total[-1])][0]
    value = min(max(value, 1e-3), 1.0 - 1e-3)
    return max(0.0, float(ndtri(value) - ndtri(probability)))
