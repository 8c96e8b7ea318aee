"""Do 90 % intervals hold the truth nine times out of ten, with few seeds? On simulated studies.

The truth is known, the noise is that of log error: part of it shifts a seed's whole curve, part is
each trial's own. The quick tests are sized so that wrong intervals fail: a percentile bootstrap of
three seeds covers 63 %. Bounds of a share of n studies leave two standard deviations of a
binomial, 2 sqrt(0.9 * 0.1 / n), and three where the least of several shares is held to them. Forecasts
are average over what learning curves look like: of one curve they may hold more than their level, hence
no upper bound.
"""

import numpy as np
import pytest

from studies.analysis import accuracy_interval, crossing, fit_scaling_law

pytestmark = pytest.mark.once

SIZES = np.array([500, 1000, 2000, 5000, 10000, 20000, 50000], dtype=float)


def power(x):
    return 5 * x**-0.4


def limited(x):
    return 3 * x**-0.35 + 0.03


def logistic(x):
    return 0.04 + 0.86 / (1 + (x / 700) ** 0.55)


def resnet(x):
    return 2.2 * x**-0.28


def vit(x):
    return 4.5 * x**-0.36


def limited_resnet(x):
    return 1.6 * x**-0.27 + 0.02


def limited_vit(x):
    return 6 * x**-0.45 + 0.03


def simulate(curve, sizes, seeds, rng, noise, common):
    """Sizes, errors and seeds; `common` is the part of the variance that a seed's curve shares."""
    shift = rng.normal(0, noise * np.sqrt(common), (seeds, 1))
    own = rng.normal(0, noise * np.sqrt(1 - common), (seeds, len(sizes)))
    errors = np.minimum(curve(sizes) * np.exp(shift + own), 1.0).ravel()
    return np.tile(sizes, seeds), errors, np.repeat(np.arange(seeds), len(sizes))


def law_coverage(curve, sizes, seeds, noise, common, repetitions, rng):
    """Shares of studies whose intervals hold the truth, by what they are for."""
    ahead = sizes[-1] * np.array([2.0, 4.0])
    held = {
        "measured sizes": [],
        "largest": [],
        "twice": [],
        "four times": [],
        "new": [],
        "gain": [],
    }
    for _ in range(repetitions):
        data = simulate(curve, sizes, seeds, rng, noise, common)
        law = fit_scaling_law(*data, rng, chance_error=0.9, members=300)
        low, high = law.mean_interval(np.append(sizes, ahead))
        truth = curve(np.append(sizes, ahead))
        inside = (low <= truth) & (truth <= high)
        held["measured sizes"].append(np.mean(inside[:-2]))
        for name, share in zip(("largest", "twice", "four times"), inside[-3:], strict=True):
            held[name].append(share)
        new = truth[-2] * np.exp(rng.normal(0, noise))
        low, high = law.interval(ahead[:1])
        held["new"].append(low[0] <= new <= high[0])
        gain = law.gain(sizes[-1])
        held["gain"].append(gain.low <= curve(sizes[-1]) - truth[-2] <= gain.high)
    return {name: float(np.mean(shares)) for name, shares in held.items()}


def crossing_coverage(curves, truth, noise, common, repetitions, rng, seeds=3):
    """Share of crossing intervals that hold the true size."""
    held = 0
    for _ in range(repetitions):
        tables = [simulate(curve, SIZES, seeds, rng, noise, common) for curve in curves]
        found = crossing(*(fit_scaling_law(*t, rng, 0.9, members=300) for t in tables))
        held += found.low is not None and found.low <= truth <= found.high
    return held / repetitions


def crossing_of(a, b):
    x = np.geomspace(500, 50000, 200_001)
    return float(x[np.argmin(np.abs(a(x) - b(x)))])


@pytest.mark.parametrize(
    ("curve", "sizes", "seeds", "common"),
    [
        (limited, SIZES, 3, 0.3),
        (power, SIZES, 3, 0.0),
        (limited, SIZES[::2], 5, 0.5),
        (logistic, SIZES[:5], 2, 0.3),
    ],
    ids=["limited", "power", "four sizes", "two seeds"],
)
def test_intervals_of_laws_cover(curve, sizes, seeds, common):
    found = law_coverage(curve, sizes, seeds, 0.03, common, 60, np.random.default_rng(1))
    lowest = 0.9 - 3 * np.sqrt(0.9 * 0.1 / 60)
    assert min(found.values()) >= lowest, found
    assert found["measured sizes"] <= 0.97, found


def test_intervals_of_crossings_cover():
    rng = np.random.default_rng(2)
    truth = crossing_of(limited_vit, limited_resnet)
    covered = crossing_coverage((limited_vit, limited_resnet), truth, 0.03, 0.3, 60, rng)
    assert covered >= 0.9 - 2 * np.sqrt(0.9 * 0.1 / 60)


@pytest.mark.parametrize(("mean", "sd"), [(0.1, 0.03), (0.5, 0.2), (0.9, 0.02), (0.99, 0.006)])
def test_intervals_of_mean_accuracies_cover(mean, sd):
    rng = np.random.default_rng(7)
    total = mean * (1 - mean) / sd**2 - 1  # of the beta distribution's two parameters
    found = [
        accuracy_interval(row)
        for row in rng.beta(mean * total, (1 - mean) * total, (1500, 3)).tolist()
    ]
    assert 0.85 <= np.mean([e.low <= mean <= e.high for e in found]) <= 0.95
    assert all(0.0 < e.low <= e.mean <= e.high < 1.0 for e in found)


def test_a_percentile_bootstrap_of_three_seeds_would_fail_this():
    rng = np.random.default_rng(4)
    values = rng.normal(0, 1, (2000, 3))
    picks = rng.integers(0, 3, (2000, 400, 3))
    means = np.take_along_axis(values[:, None, :], picks, axis=2).mean(axis=2)
    low, high = np.quantile(means, [0.05, 0.95], axis=1)
    assert np.mean((low <= 0) & (high >= 0)) < 0.7


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("noise", [0.01, 0.05])
@pytest.mark.parametrize("curve", [limited, logistic])
def test_intervals_of_laws_cover_for_many_truths(curve, noise, seeds):
    for sizes in (SIZES, SIZES[::2]):
        found = law_coverage(curve, sizes, seeds, noise, 0.3, 200, np.random.default_rng(5))
        assert min(found.values()) >= 0.85, found
        assert found["measured sizes"] <= 0.97, found


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("common", [0.0, 0.5])
@pytest.mark.parametrize("curves", [(vit, resnet), (limited_vit, limited_resnet)])
def test_intervals_of_crossings_cover_for_many_truths(curves, common):
    rng = np.random.default_rng(6)
    assert crossing_coverage(curves, crossing_of(*curves), 0.03, common, 200, rng) >= 0.85
