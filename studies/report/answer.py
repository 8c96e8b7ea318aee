"""What a study answers, decided once: every sentence of a report is made of this and of nothing else.

Here numbers become decisions (who is ahead, what twice the images buy, what to do next); words for
them are found in `studies.report.words`, which decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from studies.analysis.estimate import Estimate
from studies.analysis.verdict import POINT, Need, Verdict, what_would_tell

if TYPE_CHECKING:
    from studies.analysis.crossing import Crossing
    from studies.analysis.findings import Findings, Pair
    from studies.analysis.scaling_law import Gain, ScalingLaw
    from studies.analysis.undertrained import Training

TWICE = 2.0
FEWEST_SIZES = 4  # for a law
_SMALL_TEST, _FEW_SEEDS, _MORE_SEEDS = 2000, 3, 5  # the default of `seeds = "auto"`

Cause = Literal["", "barred", "one seed", "no interval", "not told apart"]


@dataclass(frozen=True)
class Overtaking:
    """One model was ahead at small sizes, the other is at large ones.

    Attributes:
        after, by: the largest size at which the one was ahead, the next at which the other is.
        crossing: of the measured means, with its interval; None where it does not lie between.
    """

    after: int
    by: int
    crossing: Crossing | None


@dataclass(frozen=True)
class Duel:
    """Two models compared.

    Attributes:
        a, b: names.
        verdicts: by size, ascending.
        leaders: who is ahead, by size; None where nobody is or it must not be said.
        overtaking: how the present leader came to lead; None where it was never seen behind.
        forecast: where the laws say that the present leader will be overtaken.
        need: what would tell the two apart; None where they are, or where it is not known.
    """

    a: str
    b: str
    verdicts: Mapping[int, Verdict]
    leaders: Mapping[int, str | None]
    overtaking: Overtaking | None = None
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


@dataclass(frozen=True)
class Outlook:
    """One model at its largest size, and what more images would buy it.

    Attributes:
        model: name.
        size: its largest size, in training images.
        accuracy: of the number that leads.
        barred: why nothing is said about it: "learned nothing", "undertrained".
        reason: how one sees that it is undertrained; empty otherwise.
        steps: of its training at this size.
        gain: of twice the images; None where there is no law, or where it is barred.
        sizes: at how many sizes it was measured.
        add: the size that would help most towards a law; None where there is one.
    """

    model: str
    size: int
    accuracy: Estimate
    barred: tuple[str, ...]
    reason: str
    steps: int
    gain: Gain | None
    sizes: int
    add: int | None


@dataclass(frozen=True)
class Advice:
    """What to do next.

    Attributes:
        kind: "run" (nothing is there yet), "longer" (training), "common size" (the two share none),
            "seeds" (more of them), "either" (they are as good), "tell" (what `need` says), "add
            size", "images" (more of them), "switch" (to the other model, with more images), "stop".
        models: concerned.
        steps: for longer training.
        seeds: how many.
        size: which to add, or how many images.
        there: whether that many images are in the data set already.
        need: what would tell two models apart.
    """

    kind: Literal[
        "run", "longer", "common size", "seeds", "either", "tell", "add size", "images", "switch",
        "stop",
    ]  # fmt: skip
    models: tuple[str, ...] = ()
    steps: int = 0
    seeds: int = 0
    size: int = 0
    there: bool = False
    need: Need | None = None


@dataclass(frozen=True)
class Answer:
    """The answer of a study.

    Attributes:
        metric, level: the number that leads, and the confidence of all intervals.
        baseline: what a model reaches that learned nothing; NaN if unknown.
        commonest: whether that is the commonest class's share in the test set; else it is guessing.
        done, planned: numbers of trials.
        duels: pairs of models, the main one first.
        outlooks: by model, in the study's order.
        laws: fitted law by model, of models that are not barred.
        advice: what to do next.
        one_draw: whether all seeds share one draw of the images, and the test set is in no interval.
        lost: number of trials whose outcomes are missing.
    """

    metric: str
    level: float
    baseline: float
    commonest: bool
    done: int
    planned: int
    duels: tuple[Duel, ...]
    outlooks: Mapping[str, Outlook]
    laws: Mapping[str, ScalingLaw]
    advice: Advice
    one_draw: bool = False
    lost: int = 0


@dataclass(frozen=True)
class Setting:
    """What the answer must know of a study besides its findings.

    Attributes:
        done, planned: numbers of trials.
        steps: of training, by model and size.
        training: how far training had come, by model and size.
        pool: number of training images that are there.
        test: number of test images; 0 if unknown.
        commonest: whether the findings' baseline is the commonest class's share.
        one_draw, lost: as in `Answer`.
    """

    done: int
    planned: int
    steps: Mapping[tuple[str, int], int]
    training: Mapping[tuple[str, int], Training]
    pool: int
    test: int
    commonest: bool
    one_draw: bool = False
    lost: int = 0


def answer(findings: Findings, setting: Setting) -> Answer:
    """Decides what a study's findings say."""
    outlooks = _outlooks(findings, setting)
    laws = {m: law for m, law in findings.laws.items() if m in outlooks and not outlooks[m].barred}
    duels = tuple(_duel(pair, laws) for pair in findings.pairs)
    return Answer(
        metric=findings.metric,
        level=findings.level,
        baseline=findings.baseline,
        commonest=setting.commonest,
        done=setting.done,
        planned=setting.planned,
        duels=duels,
        outlooks=outlooks,
        laws=laws,
        advice=_advise(duels[0] if duels else None, outlooks, setting),
        one_draw=setting.one_draw,
        lost=setting.lost,
    )


def _outlooks(findings: Findings, setting: Setting) -> dict[str, Outlook]:
    sizes: dict[str, list[int]] = {}
    for model, size in findings.estimates:
        sizes.setdefault(model, []).append(size)
    found = {}
    for model in [*findings.laws, *findings.without_law]:
        if model not in sizes:
            continue
        last = max(sizes[model])
        barred = findings.barred.get((model, last), ())
        law = None if barred else findings.laws.get(model)
        training = setting.training.get((model, last))
        found[model] = Outlook(
            model=model,
            size=last,
            accuracy=findings.estimates[model, last],
            barred=barred,
            reason=training.reason if training and training.undertrained else "",
            steps=setting.steps.get((model, last), 0),
            gain=law.gain(last, TWICE, findings.level) if law else None,
            sizes=len(sizes[model]),
            add=None if law else size_to_add(sizes[model], setting.pool),
        )
    return {model: found[model] for model in _in_order(found, findings)}


def _in_order(found: Mapping[str, Outlook], findings: Findings) -> list[str]:
    """Models as the pairs name them, then the others."""
    named = [name for pair in findings.pairs for name in (pair.a, pair.b)]
    return [m for m in dict.fromkeys([*named, *found]) if m in found]


def _duel(pair: Pair, laws: Mapping[str, ScalingLaw]) -> Duel:
    leaders = {size: _leader(verdict) for size, verdict in pair.verdicts.items()}
    last = pair.verdict
    leader = _leader(last) if last else None
    need = None
    if last is not None and leader is None and not last.barred and last.difference.seeds > 1:
        need = what_would_tell(last.difference, max(abs(last.difference.mean), POINT))
    return Duel(
        a=pair.a,
        b=pair.b,
        verdicts=dict(sorted(pair.verdicts.items())),
        leaders=leaders,
        overtaking=_overtaking(pair, leaders),
        forecast=_forecast(pair, leader, laws),
        need=need,
    )


def _leader(verdict: Verdict) -> str | None:
    """Who is ahead; one seed, which may have been a lucky one for either, does not tell."""
    return verdict.leader if verdict.difference.seeds > 1 else None


def _overtaking(pair: Pair, leaders: Mapping[int, str | None]) -> Overtaking | None:
    """The last change of the lead, where both were seen ahead and the leader still is."""
    leader = leaders[max(leaders)] if leaders else None
    behind = [size for size, name in leaders.items() if name not in (None, leader)]
    if leader is None or not behind:
        return None
    after = max(behind)
    by = min(size for size, name in leaders.items() if name == leader and size > after)
    found = pair.measured
    between = (
        found is not None
        and found.size is not None
        and found.kind == "measured"
        and after <= found.size <= by
        and not is_open(found)
    )
    return Overtaking(after, by, found if between else None)


def _forecast(pair: Pair, leader: str | None, laws: Mapping[str, ScalingLaw]) -> Crossing | None:
    """A crossing beyond the data, where the laws agree with the verdict on who leads before it."""
    found = pair.laws
    if leader is None or found is None or found.size is None or not {pair.a, pair.b} <= set(laws):
        return None
    before = pair.a if found.better_below == "a" else pair.b
    beyond = found.kind == "extrapolated" and found.size > max(pair.verdicts)
    return found if beyond and before == leader and not is_open(found) else None


def is_open(crossing: Crossing) -> bool:
    """Whether a crossing's interval is open on both sides, or there is none."""
    return (crossing.low is None or crossing.low == 0) and (
        crossing.high is None or math.isinf(crossing.high)
    )


def size_to_add(sizes: Sequence[int], pool: int) -> int:
    """Which size would help most towards a law.

    Twice the largest where the images are there; then, as long as there are too few sizes for a
    law, the middle of the widest gap (with half the smallest as one); else twice the largest all
    the same, which then must be collected.

    Args:
        sizes: measured ones.
        pool: number of training images that are there.
    """
    known = sorted(set(sizes))
    twice = int(TWICE * known[-1])
    if twice <= pool or len(known) >= FEWEST_SIZES:
        return twice
    if pool > 1.2 * known[-1]:
        return pool
    grid = [max(known[0] // 4, 1), *known]
    ratios = [after / before for before, after in pairwise(grid)]
    widest = ratios.index(max(ratios))
    return int(float(f"{math.sqrt(grid[widest] * grid[widest + 1]):.2g}"))


def _advise(main: Duel | None, outlooks: Mapping[str, Outlook], setting: Setting) -> Advice:
    if not outlooks:
        return Advice("run")
    models = (main.a, main.b) if main else tuple(outlooks)
    verdict = main.verdict if main else None
    short = {(model, verdict.size) for model in verdict.barred} if verdict else set()
    short |= {(m, outlooks[m].size) for m in models if m in outlooks and outlooks[m].barred}
    if short:
        steps = max(setting.steps.get(where, 0) for where in short)
        barred = tuple(m for m in models if any(model == m for model, _ in short))
        return Advice("longer", barred, steps=int(TWICE * steps))
    if main is not None and verdict is None:
        return Advice("common size", models)
    if main is not None and verdict is not None and main.leader is None:
        return _advice_undecided(main, verdict, outlooks, setting)
    best = main.leader if main and main.leader else models[0]
    outlook = outlooks[best]
    if main is not None and main.forecast is not None and main.forecast.size is not None:
        other = main.b if best == main.a else main.a
        return Advice("switch", (best, other), size=round(main.forecast.size))
    if outlook.gain is None:
        add = outlook.add or 0
        return Advice("add size", (best,), size=add, there=add <= setting.pool)
    if _worth(outlook.gain.drop):
        size = int(TWICE * outlook.size)
        return Advice("images", (best,), size=size, there=size <= setting.pool)
    return Advice("stop", (best,))


def _worth(gain: float) -> bool:
    """Whether a gain is a point or more, as it is told: to a tenth of a point."""
    return round(gain, 3) >= POINT


def _advice_undecided(
    main: Duel, verdict: Verdict, outlooks: Mapping[str, Outlook], setting: Setting
) -> Advice:
    models = (main.a, main.b)
    twice = int(TWICE * verdict.size)
    gains = [outlooks[m].gain for m in models if outlooks[m].size == verdict.size]
    more = max((gain.drop for gain in gains if gain is not None), default=0.0)
    if _worth(more) and more > abs(verdict.difference.mean) and twice <= setting.pool:
        return Advice("images", models, size=twice, there=True, need=main.need)
    if main.as_good:
        return Advice("either", models)
    if main.need is not None:
        return Advice("tell", models, need=main.need)
    enough = _MORE_SEEDS if 0 < setting.test < _SMALL_TEST else _FEW_SEEDS
    have = verdict.difference.seeds
    return Advice("seeds", models, seeds=enough if have < enough else 2 * have)
