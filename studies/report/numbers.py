"""Numbers in words: accuracies, their differences and intervals, counts."""

from __future__ import annotations

import math
from collections.abc import Sequence

from studies.analysis.by_size import BALANCED, TOP1
from studies.analysis.estimate import Estimate

POINTS = 100.0  # accuracies are told in percentage points
METRICS = {TOP1: "test accuracy", BALANCED: "balanced accuracy"}


def images(size: float) -> str:
    """A number of images, to two digits where it is an estimate: 11,536 becomes 12,000."""
    return f"{float(f'{size:.2g}'):,.0f}"


def points(low: float, high: float, level: float) -> str:
    """An interval of a difference of accuracies in words, in points."""
    if math.isnan(low):
        return "no interval"
    digits = digits_of(low, high)
    return f"{100 * level:g} % interval {in_points(low, digits)} to {in_points(high, digits)}"


def digits_of(*differences: float) -> int:
    """How many decimals differences need, in points: what is not 0 is not shown as 0.

    On which side of 0 an end lies decides who is ahead.
    """
    known = [POINTS * each for each in differences if each and not math.isnan(each)]
    return next((d for d in (1, 2, 3) if all(round(each, d) for each in known)), 4)


def in_points(difference: float, digits: int = 1) -> str:
    """A difference of accuracies in points."""
    return f"{round(POINTS * difference, digits) + 0.0:.{digits}f}"  # + 0.0: -0.0 is 0.0


def percent(estimate: Estimate) -> str:
    """An accuracy with its interval, in percent."""
    text = f"{POINTS * estimate.mean:.1f}"
    if math.isnan(estimate.low):
        return text
    return f"{text} ({POINTS * estimate.low:.1f} to {POINTS * estimate.high:.1f})"


def listed(parts: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1]))) if parts else ""


def images_tested(number: int, groups: int | None) -> str:
    """A number of test images; where some belong together, in how many groups they are."""
    within = f" in {groups:,} groups" if groups and groups < number else ""
    return f"{number:,} test images{within}"


def at_least(number: int) -> int:
    """A number to two digits, rounded up: fewer, such as those that are there, would not do."""
    step = 10 ** max(0, len(str(number)) - 2)
    return -(-number // step) * step
