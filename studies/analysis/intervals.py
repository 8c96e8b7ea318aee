"""t intervals for means over seeds, and for differences of two models with the same seeds.

Three seeds are few: Student's t with two degrees of freedom is 1.8 times as wide as the normal, and
resampling three values is narrower still. A few seeds that scatter would however put an accuracy's
interval below 0 % or above 100 %: means of accuracies get theirs on the logit scale.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, logit
from scipy.stats import t as student

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval.

    Attributes:
        mean: NaN when there is no value.
        low, high: NaN when fewer than two values say nothing about the scatter.
        sd: standard deviation of one value; NaN below two.
        n: number of values (pairs, for a paired difference).
        paired: whether a difference was taken seed by seed.
    """

    mean: float
    low: float
    high: float
    sd: float
    n: int
    paired: bool = False


def mean_interval(values: Sequence[float], level: float = 0.9) -> Estimate:
    """Mean over seeds with its t interval.

    Args:
        values: one value a seed; NaN entries are left out.
        level: confidence.

    Raises:
        ValueError: level is not between 0 and 1.

    Example:
        >>> found = mean_interval([0.80, 0.82, 0.81])
        >>> round(found.mean, 3), round(found.low, 3), round(found.high, 3)
        (0.81, 0.793, 0.827)
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1; got {level}.")
    known = np.asarray(values, dtype=float).ravel()
    known = known[np.isfinite(known)]
    n = len(known)
    mean = float(known.mean()) if n else math.nan
    if n < 2:
        return Estimate(mean, math.nan, math.nan, math.nan, n)
    sd = float(known.std(ddof=1))
    half = float(student.ppf(0.5 + level / 2, n - 1)) * sd / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half, sd, n)


def accuracy_interval(values: Sequence[float], level: float = 0.9) -> Estimate:
    """Mean accuracy over seeds with its t interval, formed on the logit scale.

    The mean's standard error is carried to logits by their slope there, 1 / (mean (1 - mean)) (the
    delta method), and the ends are carried back. The interval so belongs to the mean accuracy, not
    to the mean of logits, holds it, and lies between 0 and 1.

    Args:
        values: one accuracy a seed, in [0, 1]; NaN entries are left out.
        level: confidence.

    Raises:
        ValueError: a value is outside [0, 1], or level is not between 0 and 1.

    Example:
        >>> found = accuracy_interval([0.90, 0.98, 0.94])
        >>> round(found.mean, 3), round(found.low, 3), round(found.high, 3)
        (0.94, 0.826, 0.981)
    """
    found = mean_interval(values, level)
    wrong = [float(value) for value in values if value < 0.0 or value > 1.0]
    if wrong:
        raise ValueError(f"accuracies must lie between 0 and 1; got {wrong[0]:g}.")
    scale = found.mean * (1.0 - found.mean)
    if not scale > 0.0 or math.isnan(found.low):  # all are 0, all are 1, or it is one value
        return found
    centre, half = logit(found.mean), (found.high - found.mean) / scale
    low, high = float(expit(centre - half)), float(expit(centre + half))
    return replace(found, low=min(low, found.mean), high=max(high, found.mean))  # despite rounding


def difference_interval(
    a: Mapping[Hashable, float], b: Mapping[Hashable, float], level: float = 0.9
) -> Estimate:
    """Mean difference a - b with its interval, paired by seed where the seeds match.

    The seeds in common are paired if there are at least two: what makes a seed easy for both models
    cancels. Otherwise the two means are compared as unrelated (Welch).

    Args:
        a, b: value by seed.
        level: confidence.
    """
    a = {seed: value for seed, value in a.items() if np.isfinite(value)}
    b = {seed: value for seed, value in b.items() if np.isfinite(value)}
    common = sorted(set(a) & set(b), key=str)
    if len(common) >= 2 or (common and len(a) == len(b) == 1):
        found = mean_interval([a[seed] - b[seed] for seed in common], level)
        return Estimate(found.mean, found.low, found.high, found.sd, found.n, paired=True)
    one, two = mean_interval(list(a.values()), level), mean_interval(list(b.values()), level)
    mean = one.mean - two.mean
    if min(one.n, two.n) < 2:
        return Estimate(mean, math.nan, math.nan, math.nan, min(one.n, two.n))
    parts = (one.sd**2 / one.n, two.sd**2 / two.n)
    error = math.sqrt(sum(parts))
    down = parts[0] ** 2 / (one.n - 1) + parts[1] ** 2 / (two.n - 1)
    freedom = sum(parts) ** 2 / down if down > 0 else one.n + two.n - 2
    half = float(student.ppf(0.5 + level / 2, freedom)) * error
    return Estimate(mean, mean - half, mean + half, math.nan, min(one.n, two.n))


def means_by_size(frame: pd.DataFrame, metric: str, level: float = 0.9) -> pd.DataFrame:
    """Means over seeds of an accuracy.

    Args:
        frame: one row a finished trial, with columns model, size, seed, backend and the metric.
        metric: name of a column of accuracies in [0, 1], such as "test_top1".
        level: confidence.

    Returns:
        One row a model, backend and size, sorted: model, backend, size, n, mean, sd, low, high.
    """
    import pandas as pd

    columns = ["model", "backend", "size", "n", "mean", "sd", "low", "high"]
    rows = []
    if metric in frame:
        known = frame[frame[metric].notna()]
        for (model, backend, size), group in known.groupby(["model", "backend", "size"]):
            e = accuracy_interval(group[metric].to_list(), level)
            rows.append([model, backend, int(size), e.n, e.mean, e.sd, e.low, e.high])
    return pd.DataFrame(rows, columns=columns)


def differences_by_size(
    frame: pd.DataFrame, model_a: str, model_b: str, metric: str, level: float = 0.9
) -> pd.DataFrame:
    """Differences a - b of an accuracy at every size that both models have.

    Args:
        frame: as for `means_by_size`, of one backend.
        model_a, model_b: names in the column model.
        metric: name of a column.
        level: confidence.

    Returns:
        One row a size: size, n, mean, sd, low, high, paired.
    """
    import pandas as pd

    rows = []
    sides = [_by_size(frame, model, metric) for model in (model_a, model_b)]
    for size in sorted(set(sides[0]) & set(sides[1])):
        e = difference_interval(sides[0][size], sides[1][size], level)
        # No difference of accuracies is outside [-1, 1]: the interval loses nothing there.
        low, high = np.clip([e.low, e.high], -1.0, 1.0)
        rows.append([size, e.n, e.mean, e.sd, low, high, e.paired])
    return pd.DataFrame(rows, columns=["size", "n", "mean", "sd", "low", "high", "paired"])


def _by_size(frame: pd.DataFrame, model: str, metric: str) -> dict[int, dict[Hashable, float]]:
    table: dict[int, dict[Hashable, float]] = {}
    if metric not in frame:
        return table
    mine = frame[(frame["model"] == model) & frame[metric].notna()]
    for size, seed, value in zip(mine["size"], mine["seed"], mine[metric], strict=True):
        table.setdefault(int(size), {})[seed] = float(value)
    return table
