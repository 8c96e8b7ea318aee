"""A number with its interval, which is all that tables, reports and verdicts need of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from studies.analysis.variance import Variance


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its interval.

    Attributes:
        mean: the estimate; NaN when there is no value.
        low, high: the interval; NaN where there is none (`note` says why).
        sd: standard deviation of the seeds' values; NaN below two.
        seeds: number of seeds (of pairs, for a paired difference).
        level: confidence.
        paired: whether a difference was taken image by image or seed by seed.
        images: number of test images of a seed, in the mean over seeds; 0 if not known.
        variance: the parts of its variance; None where no outcomes of single images were kept.
        note: what else must be said.
    """

    mean: float
    low: float
    high: float
    sd: float
    seeds: int
    level: float = 0.9
    paired: bool = False
    images: int = 0
    variance: Variance | None = None
    note: str = ""

    @property
    def common_error(self) -> float:
        """Standard error that all seeds share, above all that of a common test set; 0 if unknown."""
        return math.sqrt(self.variance.common) if self.variance else 0.0

    @property
    def error_interval(self) -> tuple[float, float] | None:
        """Of an accuracy that of the error, where it has one and no law would divide by nothing."""
        low, high = 1.0 - self.high, 1.0 - self.low
        return (low, high) if 0.0 < low <= high else None

    def within(self, lowest: float, highest: float) -> Estimate:
        """The same, its interval cut where no value can lie: it loses nothing there."""
        low, high = np.clip([self.low, self.high], lowest, highest)
        return replace(self, low=float(low), high=float(high))


def check_level(level: float) -> None:
    """Raises ValueError unless 0 < level < 1."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1; got {level}.")
