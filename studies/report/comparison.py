"""One study run twice (on two machines, backends or versions): what is the same, and what is not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from studies.analysis.by_size import BALANCED, Source, mean_estimates
from studies.analysis.estimate import Estimate
from studies.analysis.findings import leading
from studies.analysis.intervals import difference, overlap
from studies.analysis.outcomes import Outcomes
from studies.analysis.seed_intervals import difference_interval
from studies.analysis.two_runs import (
    Cell,
    Place,
    pooled_difference,
    pooled_over_seeds,
    predicted_alike,
)
from studies.analysis.verdict import POINT
from studies.records.frames import Record, Results, pool
from studies.report.runs import Run

if TYPE_CHECKING:
    import pandas as pd

_MACHINE = ("device", "threads", "cores", "commit")
_NONE = "-"

Kind = Literal["equal bits", "same", "apart", "unclear", "unknown"]


@dataclass(frozen=True, eq=False)
class Shared:
    """A model at a number of training images, on one backend, in both runs.

    Attributes:
        seeds: in both.
        accuracies: mean over these seeds, of each run; of those whose accuracy is known of both.
        difference: second run minus first.
        equal: trials whose trained weights have the same bits; None where no digests are known.
        alike: share of test images with the same predicted class; None without outcomes.
    """

    seeds: tuple[int, ...]
    accuracies: tuple[float, float]
    difference: Estimate
    equal: int | None
    alike: float | None


@dataclass(frozen=True, eq=False)
class Comparison:
    """What two runs of one study have in common, and where they differ.

    Attributes:
        names: of the two runs.
        metric, level: which accuracy, and the confidence of all intervals.
        cells: what both have, by model and size; where several backends are compared, a model's name has
            the backend in it, here and in all that follows.
        alone: seeds that one of them has alone, by model and size: of the first, of the second.
        whole: second minus first over the largest full grid of shared trials; None where nothing is
            shared.
        counted: how many trials that grid has.
        estimates: of each run, over the shared seeds, by model and size.
        singles: model, size, run and value of every shared trial.
        speeds: training images a second, median over shared trials, by model: of each run.
        seconds: mean of the shared trials, by model: of each run.
        facts: what is known of each run's machine and software, by what it is.
    """

    names: tuple[str, str]
    metric: str
    level: float
    cells: Mapping[Cell, Shared]
    alone: Mapping[Cell, tuple[tuple[int, ...], tuple[int, ...]]]
    whole: Estimate | None
    counted: int
    estimates: Mapping[tuple[str, str, int], Estimate]
    singles: pd.DataFrame
    speeds: Mapping[str, tuple[float, float]]
    seconds: Mapping[str, tuple[float, float]]
    facts: Mapping[str, tuple[str, str]]

    @property
    def trials(self) -> int:
        """Number of trials in both."""
        return sum(len(cell.seeds) for cell in self.cells.values())

    @property
    def equal(self) -> int | None:
        """Number of shared trials with equal bits; None where that is not known of all."""
        known = [cell.equal for cell in self.cells.values()]
        return None if None in known else sum(n for n in known if n is not None)

    @property
    def differing(self) -> dict[str, tuple[str, str]]:
        """The facts in which the two differ."""
        return {what: pair for what, pair in self.facts.items() if pair[0] != pair[1]}

    @property
    def kind(self) -> Kind:
        """The verdict; from one seed nothing is told, unless the bits are equal.

        The same is what differs by less than a point at most: an interval that holds 0 may be as wide as
        it likes, and one over seeds alone is wider than it seems.
        """
        if self.cells and self.equal == self.trials:
            return "equal bits"
        whole = self.whole
        if whole is None or whole.seeds < 2 or math.isnan(whole.low):
            return "unknown"
        if not whole.low <= 0.0 <= whole.high:
            return "apart"
        within = whole.variance is not None and max(-whole.low, whole.high) < POINT
        return "same" if within else "unclear"


def compare_runs(a: Run, b: Run, level: float = 0.9) -> Comparison:
    """Everything that the comparison shows.

    Args:
        a, b: of one study, from `read_runs`.
        level: confidence of all intervals.
    """
    import pandas as pd

    records = _records(a.results, b.results)
    shared = [place for place in records[0] if place in records[1]]
    said = _outcomes(records, (a.results, b.results), shared)
    frames = []
    for run, known in zip((a, b), records, strict=True):
        names = {known[place]["trial_id"]: place[0][0] for place in shared}
        frame = run.results.frame
        frame = frame[frame["trial_id"].isin(names)] if "trial_id" in frame else frame[:0]
        frame = frame.assign(backend=run.name)
        if len(frame):
            frame = frame.assign(model=frame["trial_id"].map(names))
        frames.append(frame)
    frame = pd.concat(frames, ignore_index=True)
    sides = {run.name: outcomes for run, outcomes in zip((a, b), said, strict=True)}
    data = a.results.study.data
    images = a.results.num_test_images

    def read(model: str, side: str, size: int) -> list[Outcomes]:
        cell = {place: o for place, o in sides[side].items() if place[0] == (model, size)}
        return [cell[place] for place in sorted(cell)] if len(cell) == seeds[model, size] else []

    seeds = {cell: sum(place[0] == cell for place in shared) for cell, _ in shared}
    source = Source(read, pool(data)) if data and all(said) else None
    metric, frame = leading(frame, source) if shared else ("test_top1", frame)
    values = [
        {
            place: value
            for place in shared
            if (value := _value(frame, run.name, place, metric)) is not None
        }
        for run in (a, b)
    ]
    pooled = pooled_over_seeds(values[0], values[1], level, images)
    if source is not None:
        share = overlap(max(cell[1] for cell, _ in shared), source.pool)
        of_images = pooled_difference(said[0], said[1], metric == BALANCED, share, level)
        # Outcomes that were kept of one seed alone tell less than the accuracies of several.
        if of_images and (
            pooled is None or min(pooled.difference.seeds, 2) <= of_images.difference.seeds
        ):
            pooled = of_images
    cells = {
        cell: _cell(cell, shared, records, said, values, metric, source, level, images)
        for cell in _ordered(shared)
    }
    every = _ordered([place for known in records for place in known])
    return Comparison(
        names=(a.name, b.name),
        metric=metric,
        level=level,
        cells=cells,
        alone={
            cell: tuple(  # type: ignore[misc]  # of two
                tuple(sorted(s for c, s in mine if c == cell and (c, s) not in other))
                for mine, other in (records, records[::-1])
            )
            for cell in every
        },
        whole=pooled.difference if pooled else None,
        counted=pooled.trials if pooled else 0,
        estimates=mean_estimates(frame, metric, level, source, images) if shared else {},
        singles=frame.assign(value=frame[metric]) if metric in frame else frame[:0],
        speeds=_by_model(records, shared, "images_per_second", median),
        seconds=_by_model(records, shared, "seconds", mean),
        facts=_facts(records, shared),
    )


def _records(a: Results, b: Results) -> list[dict[Place, Record]]:
    """Finished trials by arm, size and seed.

    A trial's counterpart ran on the same backend. Where the two runs have no backend in common, the first
    one of each with finished trials is compared with that of the other.
    """
    both = set(a.study.backends) & set(b.study.backends)
    several = len({r["backend"] for each in (a, b) for r in each.done}) > 1
    found: list[dict[Place, Record]] = []
    for results in (a, b):
        there = {r["backend"] for r in results.done}
        first = next((name for name in results.study.backends if name in there), None)
        mine = [r for r in results.done if both or r["backend"] == first]
        found.append({((_name(r, bool(both) and several), r["size"]), r["seed"]): r for r in mine})
    return found


def _name(record: Record, with_backend: bool) -> str:
    """What a trial is compared as."""
    return f"{record['model']} on {record['backend']}" if with_backend else record["model"]


def _outcomes(
    records: Sequence[Mapping[Place, Record]], results: Sequence[Results], shared: Sequence[Place]
) -> list[dict[Place, Outcomes]]:
    """Outcomes of shared trials, of those that both runs have kept."""
    found: list[dict[Place, Outcomes]] = [{}, {}]
    kept = [each.outcomes for each in results]
    if None in kept or any(each.study.data is None for each in results):
        return found
    for place in shared:
        one, two = (
            each.of(known[place]["trial_id"]) if each is not None else None
            for known, each in zip(records, kept, strict=True)
        )
        if one is not None and two is not None and _same_test(one, two):
            found[0][place], found[1][place] = one, two
    return found


def _same_test(one: Outcomes, two: Outcomes) -> bool:
    """Whether both are of the same images with the same labels."""
    orders = np.argsort(one.image), np.argsort(two.image)
    return all(
        np.array_equal(getattr(one, name)[orders[0]], getattr(two, name)[orders[1]])
        for name in ("image", "label")
    )


def _cell(
    cell: Cell,
    shared: Sequence[Place],
    records: Sequence[Mapping[Place, Record]],
    said: Sequence[Mapping[Place, Outcomes]],
    values: Sequence[Mapping[Place, float]],
    metric: str,
    source: Source | None,
    level: float,
    images: int | None,
) -> Shared:
    places = sorted(place for place in shared if place[0] == cell)
    kept = [place for place in places if place in said[0]]
    both = [place for place in places if all(place in side for side in values)]
    if source is not None and len(kept) == len(places):
        one, two = ([side[place] for place in places] for side in said)
        found = difference(two, one, metric == BALANCED, overlap(cell[1], source.pool), level)
    else:
        one_, two_ = ({place[1]: side[place] for place in both} for side in values)
        found = difference_interval(two_, one_, level, images)  # type: ignore[arg-type]
        found = found.within(-1.0, 1.0)
    digests = [[known[place].get("weights_sha256") for place in places] for known in records]
    known_ = all(digest is not None for side in digests for digest in side)
    alike = [predicted_alike(said[0][place], said[1][place]) for place in kept]
    accuracies = [[side[place] for place in both] for side in values]
    first, second = (mean(side) if side else math.nan for side in accuracies)
    return Shared(
        seeds=tuple(seed for _, seed in places),
        accuracies=(first, second),
        difference=found,
        equal=sum(x == y for x, y in zip(*digests, strict=True)) if known_ else None,
        alike=mean(alike) if alike else None,
    )


def _value(frame: pd.DataFrame, side: str, place: Place, metric: str) -> float | None:
    (model, size), seed = place
    rows = frame[
        (frame["backend"] == side)
        & (frame["model"] == model)
        & (frame["size"] == size)
        & (frame["seed"] == seed)
    ]
    return float(rows[metric].iloc[0]) if metric in rows and rows[metric].notna().any() else None


def _ordered(places: Sequence[Place]) -> list[Cell]:
    """Cells by size, and within it in the order of the records, which is the study's."""
    return sorted(dict.fromkeys(cell for cell, _ in places), key=lambda cell: cell[1])


def _by_model(records: Any, shared: Sequence[Place], key: str, average: Any) -> dict[str, Any]:
    """A field of the records, averaged over the shared trials that have it in both runs."""
    by_model: dict[str, list[tuple[float, float]]] = {}
    for place in shared:
        pair = tuple(known[place].get(key) for known in records)
        if None not in pair:
            by_model.setdefault(place[0][0], []).append(pair)  # type: ignore[arg-type]
    return {
        model: tuple(float(average(side)) for side in zip(*pairs, strict=True))
        for model, pairs in by_model.items()
    }


def _facts(records: Any, shared: Sequence[Place]) -> dict[str, tuple[str, str]]:
    """Backend, versions and machine of the shared trials, of each run."""
    sides: list[dict[str, set[str]]] = []
    for known in records:
        found: dict[str, set[str]] = {}
        for place in shared:
            record = known[place]
            told = {key: record.get(key) for key in ("backend", *_MACHINE)}
            told |= record.get("versions") or {}
            for what, value in told.items():
                if value is not None:
                    found.setdefault(what, set()).add(str(value))
        sides.append(found)
    names = dict.fromkeys([*sides[0], *sides[1]])
    return {
        name: tuple(" / ".join(sorted(side.get(name, {_NONE}))) for side in sides)  # type: ignore[misc]
        for name in names
    }
