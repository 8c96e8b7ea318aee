"""What learning curves usually look like: the priors of the family of scaling laws."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("priors.json")


@dataclass(frozen=True)
class Normal:
    """A normal distribution."""

    mean: float
    sd: float


@dataclass(frozen=True)
class Prior:
    """Independent normal priors; of positive numbers those of the logs, of shares of the logits.

    Attributes:
        exponent: log of c.
        limit: logit of e_inf / e(largest size).
        bend: log of a.
        noise: log of the standard deviation of one result's log error.
        misfit: log of the standard deviation by which the slope strays from the family's in an
            e-fold of images.
        shift: log of the ratio of the standard deviation of a seed's shift of its whole curve to
            `noise`.
        fresh: log of the ratio of a new measurement's noise to `noise`, for published curves, whose
            points may be smoothed.
    """

    exponent: Normal
    limit: Normal
    bend: Normal
    noise: Normal
    misfit: Normal
    shift: Normal
    fresh: Normal

    @property
    def shape(self) -> tuple[np.ndarray, np.ndarray]:
        """Means and standard deviations (5,) of exponent, limit, bend, noise and misfit."""
        parts = (self.exponent, self.limit, self.bend, self.noise, self.misfit)
        return np.array([p.mean for p in parts]), np.array([p.sd for p in parts])


@cache
def published(without: str | None = None) -> Prior:
    """The learned priors, with their source in the file beside this module.

    Args:
        without: a task whose curves are left out, to judge forecasts of them by.
    """
    table = json.loads(FILE.read_text(encoding="utf-8"))
    found = table["priors"] if without is None else table["without"][without]
    return Prior(**{name: Normal(*values) for name, values in found.items()})
