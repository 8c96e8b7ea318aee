"""Two models compared: who is ahead at each size, where the lead changes, what would tell."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from studies.analysis.crossing import Crossing
from studies.analysis.estimate import Estimate
from studies.analysis.verdict import POINT, Need, Verdict, what_would_tell

if TYPE_CHECKING:
    from studies.analysis.findings import Pair
    from studies.analysis.scaling_law import ScalingLaw

_FURTHEST = 10.0  # times the largest size: a crossing further out is not told

Cause = Literal["", "barred", "one seed", "no interval", "not told apart"]


@dataclass(frozen=True)
class Duel:
    """Two models compared.

    Attributes:
        a, b: names.
        verdicts: by size, ascending.
        leaders: who is ahead, by size; None where nobody is or it must not be said.
        overtaking: where the present leader came to lead; None where it was never seen behind.
        forecast: where the laws say that the present leader will be overtaken.
        need: what would tell the two apart; None where they are, where they differ by less than a point
            in any case, or where it is not known.
    """

    a: str
    b: str
    verdicts: Mapping[int, Verdict]
    leaders: Mapping[int, str | None]
    overtaking: Crossing | None = None
    forecast: Crossing | None = None
    need: Need | None = None

    @property
    def verdict(self) -> Verdict | None:
        """The verdict at the largest size of both; None when they share no size."""
        return self.verdicts[max(self.verdicts)] if self.verdicts else None

    @property
    def leader(self) -> str | None:
        """Who is ahead at the largest size of both."""
        return self.leaders[max(self.leaders)] if self.leaders else None

    @property
    def cause(self) -> Cause:
        """Why nobody is said to be ahead at the largest size."""
        verdict = self.verdict
        if verdict is None or self.leader is not None:
            return ""
        if verdict.barred:
            return "barred"
        if verdict.difference.seeds < 2:
            return "one seed"
        return "no interval" if math.isnan(verdict.difference.low) else "not told apart"

    @property
    def as_good(self) -> bool:
        """Whether the two could not be told apart and differ by less than a point at most."""
        verdict = self.verdict
        if verdict is None or self.cause != "not told apart":
            return False
        if verdict.difference.variance is None:  # over seeds alone: it is wider than it seems
            return False
        return verdict.difference.low > -POINT and verdict.difference.high < POINT


def compare(pair: Pair, laws: Mapping[str, ScalingLaw]) -> Duel:
    """Decides what is said of a pair.

    Args:
        pair: from the findings.
        laws: of models that something may be said about.
    """
    verdicts = dict(sorted(pair.verdicts.items()))
    leaders = {size: _leader(verdict) for size, verdict in verdicts.items()}
    last = pair.verdict
    leader = _leader(last) if last else None
    duel = Duel(
        a=pair.a,
        b=pair.b,
        verdicts=verdicts,
        leaders=leaders,
        overtaking=_overtaking(pair, leaders),
        forecast=_forecast(pair, leader, laws),
    )
    return replace(duel, need=_need(duel))


def _need(duel: Duel) -> Need | None:
    """What would show a point, or, where the study is large enough for that, the difference seen."""
    verdict = duel.verdict
    if verdict is None or duel.cause != "not told apart" or duel.as_good:
        return None
    seen = abs(verdict.difference.mean)
    for target in (max(seen, POINT), seen):
        need = what_would_tell(verdict.difference, target)
        if need is None or not _is_there(need, verdict.difference):
            return need
    return None


def _is_there(need: Need, difference: Estimate) -> bool:
    """Whether the study that made a difference has what is needed already."""
    have = difference.variance
    if have is None:
        return False
    return need.seeds == have.seeds or need.images == math.ceil(have.tested)


def _leader(verdict: Verdict) -> str | None:
    """Who is ahead; one seed, which may have been a lucky one for either, does not tell."""
    return verdict.leader if verdict.difference.seeds > 1 else None


def _overtaking(pair: Pair, leaders: Mapping[int, str | None]) -> Crossing | None:
    """Where the lead changed last, if both were seen ahead and the leader still is.

    From the differences that the verdicts are made of: their means are interpolated in log size, and
    so are their ends, between the last size at which the one was ahead and the next at which the
    other is. Where an end passes 0, the interval ends; it is never open.
    """
    leader = leaders[max(leaders)] if leaders else None
    behind = [size for size, name in leaders.items() if name not in (None, leader)]
    if leader is None or not behind:
        return None
    after = max(behind)
    by = min(size for size, name in leaders.items() if name == leader and size > after)
    between = [
        pair.verdicts[n] for n in leaders if after <= n <= by and not pair.verdicts[n].barred
    ]
    known = {v.size: v.difference for v in between if not math.isnan(v.difference.low)}
    logs = np.log(list(known))
    ends = np.array([(each.low, each.mean, each.high) for each in known.values()]).T
    low, mean, high = ends if leader == pair.a else -ends[::-1]
    root = _rises(logs, mean)[-1]
    start = max((log for log in _rises(logs, high) if log <= root), default=root)
    stop = min((log for log in _rises(logs, low) if log >= root), default=root)
    below = "b" if leader == pair.a else "a"
    level = next(iter(known.values())).level
    size, first, last = (float(np.exp(log)) for log in (root, start, stop))
    return Crossing(size, first, last, "measured", below, (), level)


def _rises(x: np.ndarray, y: np.ndarray) -> list[float]:
    """Where the straight lines between points pass 0 upwards."""
    at = np.flatnonzero((y[:-1] <= 0.0) & (y[1:] > 0.0))
    return [float(x[i] + (x[i + 1] - x[i]) * y[i] / (y[i] - y[i + 1])) for i in at]


def _forecast(pair: Pair, leader: str | None, laws: Mapping[str, ScalingLaw]) -> Crossing | None:
    """A crossing beyond the data, where the laws agree with the verdict on who leads before it."""
    found = pair.laws
    if leader is None or found is None or found.size is None or not {pair.a, pair.b} <= set(laws):
        return None
    before = pair.a if found.better_below == "a" else pair.b
    last = max(pair.verdicts)
    beyond = found.kind == "extrapolated" and last < found.size <= _FURTHEST * last
    return found if beyond and before == leader and not is_open(found) else None


def is_open(crossing: Crossing) -> bool:
    """Whether a crossing's interval is open on both sides, or there is none."""
    return (crossing.low is None or crossing.low == 0) and (
        crossing.high is None or math.isinf(crossing.high)
    )
