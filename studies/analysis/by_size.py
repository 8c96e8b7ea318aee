"""Estimates at every size of a study, from its frame of trials and the outcomes that it kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from studies.analysis.estimate import Estimate
from studies.analysis.intervals import accuracy, contrast, difference, overlap
from studies.analysis.outcomes import Marked
from studies.analysis.seed_intervals import (
    accuracy_interval,
    contrast_interval,
    difference_interval,
)

if TYPE_CHECKING:
    import pandas as pd

TOP1, BALANCED = "test_top1", "test_balanced"  # the metrics that outcomes give


@dataclass(frozen=True)
class Source:
    """Where outcomes come from.

    Attributes:
        read: (model, backend, size) -> its finished trials' outcomes, or the marks of them, one entry a
            seed; empty where none were kept. It is called whenever they are needed, so that no more than
            two models' are in memory.
        pool: number of images that each seed draws its training images from.
    """

    read: Callable[[str, str, int], Sequence[Marked]]
    pool: int
    _known: dict[tuple[str, str, int, bool, float], Estimate | None] = field(default_factory=dict)

    def accuracy(
        self, model: str, backend: str, size: int, balanced: bool, level: float
    ) -> Estimate | None:
        """`intervals.accuracy` of a model at a size, worked out once; None without outcomes."""
        key = (model, backend, size, balanced, level)
        if key not in self._known:
            outcomes, share = self.read(model, backend, size), overlap(size, self.pool)
            found = accuracy(outcomes, balanced, share, level) if outcomes else None
            self._known[key] = found
        return self._known[key]


def mean_estimates(
    frame: pd.DataFrame,
    metric: str,
    level: float = 0.9,
    source: Source | None = None,
    images: int | None = None,
) -> dict[tuple[str, str, int], Estimate]:
    """Means over seeds of an accuracy, with what they hold: see `Estimate.note`.

    Args:
        frame: one row a finished trial, with columns model, size, seed, backend and the metric.
        metric: a column of accuracies in [0, 1], or "test_balanced", which outcomes alone give.
        level: confidence.
        source: outcomes of single images; without any for a model and size, or for another metric
            than the two test accuracies, the interval is over seeds alone.
        images: number of test images, for intervals over seeds alone.

    Returns:
        Estimate by (model, backend, size), sorted.
    """
    found = {}
    columns = [c for c in ("model", "backend", "size", metric) if c in frame]
    for key, trials in frame[columns].groupby(["model", "backend", "size"]):
        model, backend, size = str(key[0]), str(key[1]), int(key[2])
        whole = None
        if source is not None and metric in (TOP1, BALANCED):
            whole = source.accuracy(model, backend, size, metric == BALANCED, level)
        if whole is not None:
            estimate = whole
        elif metric in trials and trials[metric].notna().any():
            values = trials[metric].dropna().to_list()
            estimate = _with_width(accuracy_interval(values, level, images))
        else:
            continue
        found[model, backend, size] = estimate
    return found


def difference_estimates(
    frame: pd.DataFrame,
    model_a: str,
    model_b: str,
    metric: str,
    level: float = 0.9,
    source: Source | None = None,
    images: int | None = None,
) -> dict[int, Estimate]:
    """Differences a - b of an accuracy at every size that both models have.

    Args:
        frame: as for `mean_estimates`, of one backend.
        model_a, model_b: names in the column model.
        metric, level, source, images: as for `mean_estimates`.

    Returns:
        Estimate by size, ascending.
    """
    sides = [_by_size(frame, model, metric) for model in (model_a, model_b)]
    sizes = [set(map(int, frame.loc[frame["model"] == m, "size"])) for m in (model_a, model_b)]
    found = {}
    for size in sorted(sizes[0] & sizes[1]):
        backend = str(frame["backend"].iloc[0])
        a, b = (_read(source, metric, model, backend, size) for model in (model_a, model_b))
        if source is not None and {o.seed for o in a} & {o.seed for o in b}:
            share = overlap(size, source.pool)
            found[size] = difference(a, b, metric == BALANCED, share, level)
        elif size in sides[0] and size in sides[1]:
            estimate = difference_interval(sides[0][size], sides[1][size], level, images)
            found[size] = _with_width(estimate).within(-1.0, 1.0)
    return found


def contrast_estimates(
    frame: pd.DataFrame,
    weights: Mapping[str, float],
    metric: str,
    level: float = 0.9,
    source: Source | None = None,
    images: int | None = None,
) -> dict[int, Estimate]:
    """A linear contrast of several models' accuracies at every size that all of them have.

    Args:
        frame: as for `mean_estimates`, of one backend.
        weights: of the models' accuracies, by name in the column model.
        metric, level, source, images: as for `mean_estimates`.

    Returns:
        Estimate by size, ascending; none where the models have no seed in common.
    """
    sizes = [set(map(int, frame.loc[frame["model"] == model, "size"])) for model in weights]
    values = [_by_size(frame, model, metric) for model in weights]
    found = {}
    for size in sorted(set.intersection(*sizes)):
        backend = str(frame["backend"].iloc[0])
        outcomes = [_read(source, metric, model, backend, size) for model in weights]
        common = set.intersection(*({o.seed for o in each} for each in outcomes))
        if source is not None and common:
            share = overlap(size, source.pool)
            numbers = list(weights.values())
            found[size] = contrast(outcomes, numbers, metric == BALANCED, share, level)
        elif all(size in each for each in values):
            sides = [each[size] for each in values]
            estimate = contrast_interval(sides, list(weights.values()), level, images)
            if estimate.seeds:
                lowest = sum(weight for weight in weights.values() if weight < 0)
                highest = sum(weight for weight in weights.values() if weight > 0)
                found[size] = _with_width(estimate).within(lowest, highest)
    return found


def means_by_size(
    frame: pd.DataFrame,
    metric: str,
    level: float = 0.9,
    source: Source | None = None,
    images: int | None = None,
) -> pd.DataFrame:
    """`mean_estimates` as a table.

    Returns:
        One row a model, backend and size, sorted: model, backend, size, n, mean, sd, low, high.
    """
    return means_table(mean_estimates(frame, metric, level, source, images))


def differences_by_size(
    frame: pd.DataFrame,
    model_a: str,
    model_b: str,
    metric: str,
    level: float = 0.9,
    source: Source | None = None,
    images: int | None = None,
) -> pd.DataFrame:
    """`difference_estimates` as a table.

    Returns:
        One row a size: size, n, mean, sd, low, high, paired.
    """
    return differences_table(
        difference_estimates(frame, model_a, model_b, metric, level, source, images)
    )


def means_table(estimates: dict[tuple[str, str, int], Estimate]) -> pd.DataFrame:
    """Estimates by model, backend and size as a table, as `means_by_size` gives it."""
    import pandas as pd

    rows = [[*key, e.seeds, e.mean, e.sd, e.low, e.high] for key, e in estimates.items()]
    columns = ["model", "backend", "size", "n", "mean", "sd", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def differences_table(estimates: dict[int, Estimate]) -> pd.DataFrame:
    """Estimates by size as a table, as `differences_by_size` gives it."""
    import pandas as pd

    rows = [[size, e.seeds, e.mean, e.sd, e.low, e.high, e.paired] for size, e in estimates.items()]
    columns = ["size", "n", "mean", "sd", "low", "high", "paired"]
    return pd.DataFrame(rows, columns=columns)


def rows_of(frame: pd.DataFrame, metric: str) -> Callable[[Iterable[str]], pd.DataFrame]:
    """The rows of some models of a frame, found at once however many others there are.

    Args:
        frame: as for `mean_estimates`.
        metric: the column that is wanted beside those of `mean_estimates`.
    """
    import pandas as pd

    columns = [c for c in ("model", "size", "seed", "backend", metric) if c in frame]
    groups = dict(iter(frame[columns].groupby("model", sort=False)))
    nothing = frame[columns][:0]

    def rows(models: Iterable[str]) -> pd.DataFrame:
        return pd.concat([groups.get(model, nothing) for model in models])

    return rows


def _with_width(estimate: Estimate) -> Estimate:
    """The same without its interval where that is a point: equal seeds do not make an exact number."""
    if estimate.low < estimate.high or math.isnan(estimate.low):
        return estimate
    return replace(estimate, low=math.nan, high=math.nan, note="seeds without scatter: no interval")


def _read(
    source: Source | None, metric: str, model: str, backend: str, size: int
) -> Sequence[Marked]:
    if source is None or metric not in (TOP1, BALANCED):
        return ()
    return source.read(model, backend, size)


def _by_size(frame: pd.DataFrame, model: str, metric: str) -> dict[int, dict[Hashable, float]]:
    table: dict[int, dict[Hashable, float]] = {}
    if metric not in frame:
        return table
    mine = frame[(frame["model"] == model) & frame[metric].notna()]
    for size, seed, value in zip(mine["size"], mine["seed"], mine[metric], strict=True):
        table.setdefault(int(size), {})[seed] = float(value)
    return table
