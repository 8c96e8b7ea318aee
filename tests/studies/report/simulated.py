"""Findings that no study ever had: every state that models and their comparisons can be in."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from studies.analysis import Crossing, Estimate, Gain
from studies.analysis.findings import Findings, Pair
from studies.analysis.undertrained import Training
from studies.analysis.variance import Variance
from studies.analysis.verdict import LEARNED_NOTHING, UNDERTRAINED, decide
from studies.report.answer import Answer, answer
from studies.report.outlook import Setting

STEPS = 1000
NAMES = ("vit-s", "bit-s", "vit-m", "bit-l")
EVERY_SIZE = (100, 200, 500, 1000, 5000, 20000)


@dataclass
class Law:
    """As much of a law as an answer asks for."""

    bought: Gain

    def gain(self, size, factor, level):
        return self.bought


@cache
def answers(count: int = 1000) -> list[Answer]:
    """Answers from that many findings, the same ones every time."""
    rng = np.random.default_rng(0)
    return [answer(*_simulated(rng)) for _ in range(count)]


def rises(sizes, means, half):
    """A pair's verdicts from differences a - b that have one width."""
    return {
        size: decide("a", "b", size, Estimate(m, m - half, m + half, 0.01, 3))
        for size, m in zip(sizes, np.asarray(means, float), strict=True)
    }


def _simulated(rng):
    models = NAMES[: rng.integers(1, 5)]
    sizes = sorted(rng.choice(EVERY_SIZE, rng.integers(1, 7), replace=False).tolist())
    seeds, kept = int(rng.choice([1, 2, 3, 3, 5])), bool(rng.integers(2))
    often = rng.choice([0.0, 0.05, 0.5])  # of being barred
    found = Findings("test_top1", "jax", 0.9, pd.DataFrame(), baseline=0.1)
    training = {}
    for model in models:
        own = sizes[: rng.integers(1, len(sizes) + 1)] if rng.random() < 0.2 else sizes
        for size in own:
            found.estimates[model, size] = _estimate(rng, seeds, kept, 0.0)
            why = [name for name in (LEARNED_NOTHING, UNDERTRAINED) if rng.random() < often]
            if why:
                found.barred[model, size] = tuple(why)
            short = UNDERTRAINED in why
            told = "saw each training image only 2.0 times" if short else ""
            training[model, size] = Training(short, told, 0.0, 0.0, 0.0, 9.0)
        if rng.random() < 0.7:
            low, drop, high = sorted(rng.choice([0.0, 0.004, 0.0094, 0.0097, 0.03, 0.2], 3))
            found.laws[model] = Law(Gain(drop, low, high))
        else:
            found.without_law[model] = "There is no law."
    for a, b in (("vit-s", "bit-s"), ("vit-m", "bit-l")):
        if {a, b} <= set(models):
            verdicts = {
                size: decide(
                    a, b, size, _estimate(rng, seeds, kept, -1.0),
                    {m: found.barred.get((m, size), ()) for m in (a, b)},
                )
                for size in sizes
                if {(a, size), (b, size)} <= set(found.estimates)
            }  # fmt: skip
            found.pairs.append(Pair(a, b, pd.DataFrame(), _crossing(rng), verdicts))
    setting = Setting(
        done=5,
        planned=int(rng.choice([5, 9])),
        steps=dict.fromkeys(found.estimates, STEPS),
        training=training,
        pool=int(rng.choice([1, 10])) * sizes[-1],
        test=int(rng.choice([0, 150, 10000])),
        commonest=kept,
        one_draw=not kept,
    )
    return found, setting


def _estimate(rng, seeds, kept, lowest):
    """A mean with an interval on both sides of it; at times without one, at times across 0."""
    some = [0.0, 0.004, -0.02, -0.1, 0.1, 0.4] if lowest < 0 else [0.0, 0.1, 0.5, 0.9, 1.0]
    mean = float(rng.choice([*some, rng.uniform(lowest, 1.0)]))
    half = float(rng.choice([1e-4, 0.003, 0.01, 0.05, 0.2]))
    none = not kept and (seeds < 2 or rng.random() < 0.1)
    ends = (math.nan, math.nan) if none else (max(lowest, mean - half), min(1.0, mean + half))
    sd = half / 2
    variance = Variance(
        mean=mean, smooth=mean, seeds=seeds, groups=500, between=sd**2, images=sd**2 / 4,
        within=sd**2 / 2, images_freedom=499.0, correlation=0.1, tested=500.0, tested_groups=500.0,
    )  # fmt: skip
    return Estimate(mean, *ends, sd, seeds, 0.9, True, 500 * kept, variance if kept else None)


def _crossing(rng):
    size = float(rng.choice([50.0, 700.0, 30_000.0, 1e6]))
    if rng.random() < 0.1:
        return Crossing(None, 0.0, math.inf, "none", "a")
    low = rng.choice([size / 2, size / 3, 0.0, None])
    high = rng.choice([size * 2, size * 3, math.inf, None])
    kind = str(rng.choice(["measured", "extrapolated", "extrapolated"]))
    return Crossing(size, low, high, kind, rng.choice(["a", "b", None]))
