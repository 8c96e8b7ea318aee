"""The answer of `advise` for programs."""

from __future__ import annotations

import math
from typing import Any

from studies.advise.reply import Reply, cost_of, to_collect
from studies.analysis.estimate import Estimate
from studies.report.duel import Duel
from studies.report.words import POINTS, headline, next_step


def as_json(reply: Reply) -> dict[str, Any]:
    """The answer for programs; accuracies and differences of them are in points, null where unknown.

    `verdict`, `models`, `leader`, `difference` and `next` are about the pair that the first sentence in
    words is about, and `others` are about the other pairs; `best` is the best of all.
    """
    answer = reply.evidence.answer
    duel = answer.duels[0] if answer.duels else None
    difference = duel.verdict.difference if duel and duel.verdict else None
    sides = {duel.a: "A", duel.b: "B"} if duel else {}
    found: dict[str, Any] = {
        "verdict": sides.get(duel.leader or "", "undecided") if duel else "undecided",
        "models": [duel.a, duel.b] if duel else list(reply.results.study.models),
        "leader": duel.leader if duel else None,
        "best": reply.best,
        "metric": answer.metric,
        "size": duel.verdict.size if duel and duel.verdict else None,
        "seeds": difference.seeds if difference else 0,
        "difference": _difference(difference, answer.level),
        "surer": _of_duel(reply.surer, answer.level),
        "others": [
            {
                "models": [other.a, other.b],
                "leader": other.leader,
                "difference": _difference(
                    other.verdict.difference if other.verdict else None, answer.level
                ),
            }
            for other in answer.duels[1:]
        ],
        "twice": {
            model: {
                "points": _points(outlook.gain.drop if outlook.gain else math.nan),
                "low": _points(outlook.gain.low if outlook.gain else math.nan),
                "high": _points(outlook.gain.high if outlook.gain else math.nan),
            }
            for model, outlook in answer.outlooks.items()
        },
        "next": next_step(answer) if answer.outlooks else headline(answer)[0],
        "enough": reply.end.reason != "time",
    }
    if reply.target:
        found["target"] = {
            "accuracy": _points(reply.target.accuracy),
            "models": {
                model: {
                    "training_images": _whole(c.size),
                    "probability": c.probability,
                    "as_likely_as_not": _whole(c.middle),
                    "rounds": list(c.rounds),
                    "collect": _whole(to_collect(reply, model, c.size)),
                    "cost": cost_of(reply, model, c.size),
                }
                for model, c in reply.collections.items()
            },
        }
    return found


def _of_duel(duel: Duel | None, level: float) -> dict[str, Any] | None:
    """What is known of the main pair at its largest size, for programs."""
    if duel is None or duel.verdict is None:
        return None
    difference = duel.verdict.difference
    return {
        "verdict": {duel.a: "A", duel.b: "B"}.get(duel.leader or "", "undecided"),
        "size": duel.verdict.size,
        "seeds": difference.seeds,
        "difference": _difference(difference, level),
    }


def _difference(difference: Estimate | None, level: float) -> dict[str, float | None]:
    """A difference and its interval, for programs."""
    return {
        "value": _points(difference.mean if difference else math.nan),
        "low": _points(difference.low if difference else math.nan),
        "high": _points(difference.high if difference else math.nan),
        "level": level,
    }


def _points(value: float) -> float | None:
    return None if math.isnan(value) else round(POINTS * value, 3)


def _whole(value: float) -> int | None:
    return None if math.isinf(value) else math.ceil(value)
