"""Findings that no study ever had: every state a pair of models can be in, drawn by hypothesis."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from studies.analysis import Crossing, Estimate, Gain
from studies.analysis.findings import Findings, Pair
from studies.analysis.undertrained import Training
from studies.analysis.variance import Variance
from studies.analysis.verdict import LEARNED_NOTHING, UNDERTRAINED, decide
from studies.report.answer import answer
from studies.report.outlook import Setting

STEPS = 1000
NAMES = ("vit-s", "bit-s", "vit-m", "bit-l")


@dataclass
class Law:
    """As much of a law as an answer asks for."""

    bought: Gain

    def gain(self, size, factor, level):
        return self.bought


def variance_of(mean, sd, seeds):
    """A variance whose images and seeds have equal parts."""
    return Variance(
        mean=mean, smooth=mean, seeds=seeds, groups=500, between=sd**2, images=sd**2 / 4,
        within=sd**2 / 2, images_freedom=499.0, correlation=0.1,
    )  # fmt: skip


@st.composite
def estimates(draw, seeds, kept, low=-1.0):
    """A mean with an interval on both sides of it, at times without one, at times across 0."""
    some = [0.0, 0.004, -0.02, -0.1, 0.1, -0.4, 0.4] if low < 0 else [0.0, 0.1, 0.5, 0.9, 1.0]
    mean = draw(st.one_of(st.sampled_from(some), st.floats(low, 1.0)))
    half = draw(st.sampled_from([1e-4, 0.003, 0.01, 0.05, 0.2]))
    none = not kept and (seeds < 2 or draw(st.booleans()))
    ends = (math.nan, math.nan) if none else (max(low, mean - half), min(1.0, mean + half))
    variance = variance_of(mean, half / 2, seeds) if kept else None
    return Estimate(mean, *ends, half, seeds, 0.9, True, 500 * kept, variance)


@st.composite
def crossings(draw):
    size = draw(st.sampled_from([None, 50.0, 700.0, 30_000.0, 1e6]))
    if size is None:
        return Crossing(None, 0.0, math.inf, "none", "a")
    low = draw(st.sampled_from([size / 2, size / 3, 0.0, None]))
    high = draw(st.sampled_from([size * 2, size * 3, math.inf, None]))
    kind = draw(st.sampled_from(["measured", "extrapolated"]))
    return Crossing(size, low, high, kind, draw(st.sampled_from(["a", "b", None])))


@st.composite
def findings_and_setting(draw):
    models = NAMES[: draw(st.sampled_from([2, 4, 3, 1]))]
    every = [100, 200, 500, 1000, 5000, 20000]
    sizes = sorted(draw(st.sets(st.sampled_from(every), min_size=draw(st.sampled_from([1, 4])))))
    seeds, kept = draw(st.sampled_from([3, 2, 5, 1])), draw(st.booleans())
    barred = [(LEARNED_NOTHING,), (UNDERTRAINED,), (LEARNED_NOTHING, UNDERTRAINED)]
    reasons = st.sampled_from([*[()] * draw(st.sampled_from([50, 5])), *barred])
    found = Findings("test_top1", "jax", 0.9, pd.DataFrame(), baseline=0.1)
    training = {}
    for model in models:
        own = sizes[: draw(st.integers(1, len(sizes)))] if draw(st.booleans()) else sizes
        for size in own:
            found.estimates[model, size] = draw(estimates(seeds, kept, 0.0))
            why = draw(reasons)
            if why:
                found.barred[model, size] = why
            short = UNDERTRAINED in why
            told = "saw each training image only 2.0 times" if short else ""
            training[model, size] = Training(short, told, 0.0, 0.0, 0.0, 9.0)
        if draw(st.integers(0, 3)):
            some = st.sampled_from([0.0, 0.004, 0.0094, 0.0096, 0.03, 0.2])
            bought = sorted(draw(st.lists(some, min_size=3, max_size=3)))
            found.laws[model] = Law(Gain(bought[1], bought[0], bought[2]))
        else:
            found.without_law[model] = "There is no law."
    pairs = [("vit-s", "bit-s"), ("vit-m", "bit-l")]
    for a, b in [pair for pair in pairs if set(pair) <= set(models)]:
        shared = [s for s in sizes if {(a, s), (b, s)} <= set(found.estimates)]
        verdicts = {}
        for size in shared:
            barred = {m: found.barred.get((m, size), ()) for m in (a, b)}
            verdicts[size] = decide(a, b, size, draw(estimates(seeds, kept)), barred)
        found.pairs.append(Pair(a, b, pd.DataFrame(), None, draw(crossings()), verdicts))
    setting = Setting(
        done=5,
        planned=draw(st.sampled_from([5, 9])),
        steps=dict.fromkeys(found.estimates, STEPS),
        training=training,
        pool=draw(st.sampled_from([sizes[-1], 10 * sizes[-1]])),
        test=draw(st.sampled_from([0, 150, 10000])),
        commonest=kept,
    )
    return found, setting


def answers():
    return findings_and_setting().map(lambda both: answer(*both))


def rises(sizes, means, half):
    """A pair's verdicts from differences a - b that have one width."""
    return {
        size: decide("a", "b", size, Estimate(m, m - half, m + half, 0.01, 3))
        for size, m in zip(sizes, np.asarray(means, float), strict=True)
    }
