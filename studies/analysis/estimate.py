"""A number with its interval, which is all that tables, reports and verdicts need of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

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
        images: number of different test images (groups of them) behind it; 0 if not known.
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


def check_level(level: float) -> None:
    """Raises ValueError unless 0 < level < 1."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1; got {level}.")
