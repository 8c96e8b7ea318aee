"""Learns what learning curves usually look like, for the forecasts of `studies.analysis`.

    python -m studies.bench.learn_priors --results results

It writes `studies/analysis/priors.json`. Empirical Bayes: every known curve is fitted with the priors at
hand, the priors become the normal distributions of what the fits found, and so on. Curves count alike,
except that those of classical learners count as five together: the priors are for neural networks. A wide
prior set by hand counts as two curves, so that no spread collapses. Studies end earlier than these curves do:
the limit's share in the error is learned at sizes between a quarter of the largest and the largest.

`without` in the file holds the priors learned without each task, by which forecasts of that task's curves
are judged fairly.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
from scipy.special import logit

from studies.analysis import family
from studies.analysis.curve import Curve, make_curve
from studies.analysis.posterior import draw
from studies.analysis.priors import FILE, Normal, Prior
from studies.analysis.shift import draw_shift
from studies.bench import known_curves
from studies.bench.known_curves import KnownCurve

ROUNDS = 8
ROUNDS_WITHOUT = 3  # they start from the priors of all
MEMBERS = 200
EARLIEST_END = 4.0  # how many times smaller a study's largest size may be than a known curve's
LEARNERS_TOGETHER = 5.0
BY_HAND, BY_HAND_COUNTS = (
    Prior(
        exponent=Normal(-0.8, 0.5),
        limit=Normal(0.0, 1.8),
        bend=Normal(-0.5, 0.8),
        noise=Normal(-4.8, 1.0),
        misfit=Normal(-3.0, 1.0),
        shift=Normal(-0.5, 1.0),
        fresh=Normal(0.4, 0.4),
    ),
    2.0,
)


def main(arguments: list[str] | None = None) -> None:
    """Learns the priors from all curves, and without each task, and writes the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--output", type=Path, default=FILE)
    options = parser.parse_args(arguments)
    curves = known_curves.few_shot() + known_curves.learners()
    curves += known_curves.studies(options.results)
    learned = learn(curves)
    table = {
        "source": "Normal distributions (mean, standard deviation) of the logs of positive numbers and the "
        "logits of shares, learned by empirical Bayes from the curves counted here; "
        "studies/bench/known_curves.py says where they are from.",
        "command": "python -m studies.bench.learn_priors --results results",
        "curves": {
            source: sum(curve.source == source for curve in curves)
            for source in ("few-shot", "learners", "studies")
        },
        "priors": _plain(learned),
        "without": {
            task: _plain(learn([c for c in curves if c.task != task], learned, ROUNDS_WITHOUT))
            for task in dict.fromkeys(curve.task for curve in curves)
        },
    }
    options.output.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(table["priors"], indent=1))


def learn(known: Sequence[KnownCurve], prior: Prior = BY_HAND, rounds: int = ROUNDS) -> Prior:
    """Learns priors from curves.

    Args:
        known: the curves.
        prior: to start from.
        rounds: how often all are fitted.
    """
    curves = [_part_to_fit(one) for one in known]
    learners = sum(one.source == "learners" for one in known)
    weights = np.array(
        [LEARNERS_TOGETHER / learners if one.source == "learners" else 1.0 for one in known]
    )
    for _ in range(rounds):
        found: dict[str, list[tuple[float, float, float]]] = {f.name: [] for f in fields(Prior)}
        for number, (one, curve, weight) in enumerate(zip(known, curves, weights, strict=True)):
            for name, values in _values(one, curve, prior, number).items():
                found[name].append((weight, float(np.mean(values)), float(np.var(values))))
        prior = Prior(
            **{name: _normal(rows, getattr(BY_HAND, name)) for name, rows in found.items()}
        )
    return prior


def _part_to_fit(known: KnownCurve) -> Curve:
    use = ~known.later
    seeds = None if known.seeds is None else known.seeds[use].tolist()
    return make_curve(known.sizes[use], known.errors[use], seeds)


def _values(known: KnownCurve, curve: Curve, prior: Prior, number: int) -> dict[str, np.ndarray]:
    """What a curve's members say of each prior's quantity."""
    rng = np.random.default_rng(number)
    members = draw(curve, known.chance_error, prior, rng, MEMBERS).members
    noise = members[:, family.NOISE]
    # A study may end anywhere: its limit's share is that at a size drawn below the curve's largest.
    ends = -np.log(EARLIEST_END) * rng.random(len(members))
    last = family.log_error(members, ends[:, None], known.chance_error)[:, 0]
    values = {
        "exponent": family.log_exponent(members),
        "limit": logit(family.parameters(members, known.chance_error)["e_inf"] / np.exp(last)),
        "bend": members[:, family.BEND],
        "noise": noise,
        "misfit": members[:, family.MISFIT],
    }
    if curve.seeds is not None:
        shift = draw_shift(curve.shifts, curve, np.exp(noise), prior, rng)
        values["shift"] = np.log(shift) - noise
    if known.later.any():
        values["fresh"] = np.full(1, np.log(_raw_noise(known)) - noise.mean())
    return values


def _raw_noise(known: KnownCurve) -> float:
    """Scatter of the raw points that follow a smoothed curve, around a straight line in log-log."""
    x, y = np.log(known.sizes[known.later]), np.log(known.errors[known.later])
    residual = y - np.polyval(np.polyfit(x, y, 1), x)
    return float(np.sqrt(np.sum(residual**2) / (len(x) - 2)))


def _normal(rows: list[tuple[float, float, float]], by_hand: Normal) -> Normal:
    weight, mean, variance = np.array([*rows, (BY_HAND_COUNTS, by_hand.mean, by_hand.sd**2)]).T
    centre = float(np.average(mean, weights=weight))
    spread = float(np.average(variance + (mean - centre) ** 2, weights=weight))
    return Normal(centre, spread**0.5)


def _plain(prior: Prior) -> dict[str, list[float]]:
    parts = {field.name: getattr(prior, field.name) for field in fields(Prior)}
    return {name: [round(part.mean, 3), round(part.sd, 3)] for name, part in parts.items()}


if __name__ == "__main__":
    main()
