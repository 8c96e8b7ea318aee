"""What the evaluation that a study is about measured: how far its number changes, with intervals.

Differences are paired: of one seed the same model, or one trained on nested images from the same initial
weights.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from studies.analysis.estimate import Estimate
from studies.analysis.seed_intervals import accuracy_interval, mean_interval
from studies.evaluation import Leads, evaluation_names, get_evaluation, unit_of
from studies.records.evaluations import evaluations_frame
from studies.records.soundness import is_share

if TYPE_CHECKING:
    import pandas as pd

    from studies.analysis.findings import Findings
    from studies.records.frames import Results


@dataclass(frozen=True)
class Change:
    """How a number differs between two ends: the last less the first.

    Attributes:
        first, last: numbers of training images, or of the model's parts.
        difference: paired by seed.
        barred: why nothing is said of one of the ends.
    """

    first: int
    last: int
    difference: Estimate
    barred: tuple[str, ...] = ()

    @property
    def sign(self) -> int:
        """1 or -1 where it is told apart from none; 0 where it is not, or must not be."""
        if self.barred or self.difference.seeds < 2:
            return 0
        return int(self.difference.low > 0.0) - int(self.difference.high < 0.0)


@dataclass(frozen=True)
class Measured:
    """The number of one arm, at its largest size.

    Attributes:
        arm, size: which; a size of 0: the pre-trained model, which has none.
        leads, unit: what the number is.
        value: mean over seeds.
        reference: what it is held against, mean over seeds; NaN: nothing is.
        over_sizes: against the smallest size; None where there is no other.
        over_parts: the last part's against the first one's, at this size; None where there are no parts.
        barred: why nothing is said of the arm at this size.
    """

    arm: str
    size: int
    leads: Leads
    unit: str
    value: Estimate
    reference: float
    over_sizes: Change | None
    over_parts: Change | None
    barred: tuple[str, ...]

    @property
    def changes(self) -> list[Change]:
        """Those that there are."""
        return [each for each in (self.over_sizes, self.over_parts) if each is not None]


def measured(results: Results, findings: Findings) -> tuple[Measured, ...]:
    """Of every arm that the study's own evaluation has results of; nothing where it is about none."""
    entry = results.study.evaluations.get(results.study.about)
    if entry is None or (entry.kind or entry.name) not in evaluation_names():
        return ()
    kind = entry.kind or entry.name
    leads = get_evaluation(kind).LEADS
    frame = evaluations_frame(results)
    mine = frame[(frame["evaluation"] == entry.name) & (frame["backend"] == findings.backend)]
    if leads.metric not in mine:
        return ()
    unit = unit_of(kind, leads.metric)
    found = (
        _of_arm(rows, arm, leads, unit, findings)
        for arm in results.arms
        if len(rows := mine[(mine["arm"] == arm) & mine[leads.metric].notna()])
    )
    return tuple(found)


def _of_arm(rows: pd.DataFrame, arm: str, leads: Leads, unit: str, findings: Findings) -> Measured:
    level = findings.level
    rows = rows.assign(size=rows["size"].fillna(0).astype(int))
    sizes = sorted(set(rows["size"]))
    first, last = sizes[0], sizes[-1]
    ends = [rows[rows["size"] == size].set_index("seed") for size in (first, last)]
    interval = accuracy_interval if is_share(leads.metric) else mean_interval
    barred = {size: findings.barred.get((arm, size), ()) for size in (first, last)}
    over_sizes = None
    if first < last:
        before, after = (end[leads.metric] for end in ends)
        wrong = tuple(dict.fromkeys([*barred[first], *barred[last]]))
        over_sizes = Change(first, last, _paired(before, after, level), wrong)
    over_parts = None
    parts = _parts(leads, ends[1].columns)
    if len(parts) > 1:
        before, after = (ends[1][f"{leads.metric}_{part}"] for part in (parts[0], parts[-1]))
        over_parts = Change(parts[0], parts[-1], _paired(before, after, level), barred[last])
    against = ends[1].get(leads.reference)
    return Measured(
        arm=arm,
        size=last,
        leads=leads,
        unit=unit,
        value=interval(ends[1][leads.metric].to_list(), level),
        reference=math.nan if against is None else float(against.mean()),
        over_sizes=over_sizes,
        over_parts=over_parts,
        barred=barred[last],
    )


def _paired(before: pd.Series, after: pd.Series, level: float) -> Estimate:
    return mean_interval((after - before).dropna().to_list(), level)


def _parts(leads: Leads, columns: Sequence[str]) -> list[int]:
    """Numbers of the parts that have one of their own."""
    if not leads.parts:
        return []
    name = re.compile(rf"{re.escape(leads.metric)}_(\d+)")
    return sorted(int(match[1]) for column in columns if (match := name.fullmatch(column)))
