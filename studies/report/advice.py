"""What to do next, from who is ahead and what more images would buy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from studies.analysis.verdict import POINT, UNDERTRAINED, Need, Verdict
from studies.report.duel import Duel
from studies.report.outlook import TWICE, Outlook, Setting, best_of
from studies.study.defaults import default_seeds


@dataclass(frozen=True)
class Advice:
    """What to do next.

    Attributes:
        kind: "run" (nothing is there yet), "longer" (training), "learn" (anything at all), "common size"
            (the two share none), "seeds" (more of them), "either" (they are as good), "tell" (what `need`
            says), "add size", "images" (more of them), "switch" (to the other model, with more images),
            "stop" (more images would buy less than a point), "enough" (so it is forecast, and not sure).
        models: concerned.
        blind: those that learned nothing, where others are to be trained longer.
        steps: for longer training.
        seeds: how many.
        size: which to add, or how many images.
        there: whether that many images are in the data set already.
        need: what would tell two models apart.
    """

    kind: Literal[
        "run", "longer", "learn", "common size", "seeds", "either", "tell", "add size", "images", "switch",
        "stop", "enough",
    ]  # fmt: skip
    models: tuple[str, ...] = ()
    blind: tuple[str, ...] = ()
    steps: int = 0
    seeds: int = 0
    size: int = 0
    there: bool = False
    need: Need | None = None


def advise(main: Duel | None, outlooks: Mapping[str, Outlook], setting: Setting) -> Advice:
    """Decides what to do next.

    Args:
        main: the pair that the study is about; None with a single model.
        outlooks: by model.
        setting: of the study.
    """
    if not outlooks:
        return Advice("run")
    models = (main.a, main.b) if main else tuple(outlooks)
    verdict = main.verdict if main else None
    barred = {(m, verdict.size): set(why) for m, why in verdict.barred.items()} if verdict else {}
    for model in models:
        if model in outlooks and outlooks[model].barred:
            barred.setdefault((model, outlooks[model].size), set()).update(outlooks[model].barred)
    if barred:
        return _advice_barred(models, barred, setting)
    if main is not None and verdict is None:
        return Advice("common size", models)
    if main is not None and verdict is not None and main.leader is None:
        return _advice_undecided(main, verdict, outlooks, setting)
    best = main.leader if main and main.leader else best_of(outlooks)
    outlook = outlooks[best]
    forecast = main.forecast if main else None
    if main and forecast and forecast.size and forecast.high and math.isfinite(forecast.high):
        other = main.b if best == main.a else main.a
        return Advice("switch", (best, other), size=round(forecast.size))
    if outlook.gain is None:
        add = outlook.add or 0
        return Advice("add size", (best,), size=add, there=add <= setting.pool)
    if worth(outlook.gain.drop):
        size = int(TWICE * outlook.size)
        return Advice("images", (best,), size=size, there=size <= setting.pool)
    return Advice("enough" if worth(outlook.gain.high) else "stop", (best,))


def _advice_barred(
    models: Sequence[str], barred: Mapping[tuple[str, int], set[str]], setting: Setting
) -> Advice:
    """Longer training where it was too short; what learned nothing may lack something else."""
    short = {where for where, why in barred.items() if UNDERTRAINED in why}
    named = {model for model, _ in short}
    blind = tuple(m for m in models if m not in named and any(m == name for name, _ in barred))
    if not short:
        return Advice("learn", blind)
    steps = max(setting.steps.get(where, 0) for where in short)
    longer = tuple(m for m in models if m in named)
    return Advice("longer", longer, blind, steps=int(TWICE * steps))


def worth(gain: float) -> bool:
    """Whether a gain is a point or more, as it is told: to a tenth of a point."""
    return float(f"{100 * gain:.1f}") >= 100 * POINT


def _advice_undecided(
    main: Duel, verdict: Verdict, outlooks: Mapping[str, Outlook], setting: Setting
) -> Advice:
    models = (main.a, main.b)
    twice = int(TWICE * verdict.size)
    gains = [outlooks[m].gain for m in models if outlooks[m].size == verdict.size]
    more = max((gain.drop for gain in gains if gain is not None), default=0.0)
    if (
        main.cause == "not told apart"
        and worth(more)
        and more > abs(verdict.difference.mean)
        and twice <= setting.pool
    ):
        return Advice("images", models, size=twice, there=True, need=main.need)
    if main.as_good:
        return Advice("either", models)
    if main.need is not None:
        return Advice("tell", models, need=main.need)
    enough = default_seeds(setting.test)
    have = verdict.difference.seeds
    return Advice("seeds", models, seeds=enough if have < enough else 2 * have)
