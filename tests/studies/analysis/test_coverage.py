"""Do 90 % intervals hold the truth nine times out of ten, with three seeds? On simulated studies.

The truth is known, the noise is that of log error: part of it shifts a seed's whole curve, part is
each trial's own. The quick tests are sized so that wrong intervals fail: a percentile bootstrap of
three seeds covers 63 %.
"""

import numpy as np
import pytest

from studies.analysis import accuracy_interval, crossing, fit_scaling_law, measured_crossing

pytestmark = pytest.mark.once

SIZES = np.array([500, 1000, 2000, 5000, 10000, 20000, 50000], dtype=float)
SEEDS = 3
X = np.tile(SIZES, SEEDS)
LABELS = np.repeat(np.arange(SEEDS), len(SIZES))


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


def simulate(curve, rng, noise, common):
    """Errors of three seeds; `common` is the part of the variance that a seed's curve shares."""
    shift = rng.normal(0, noise * np.sqrt(common), (SEEDS, 1))
    own = rng.normal(0, noise * np.sqrt(1 - common), (SEEDS, len(SIZES)))
    return np.minimum(curve(SIZES) * np.exp(shift + own), 1.0).ravel()


def law_coverage(curve, noise, common, repetitions, rng):
    """Share of intervals, over repetitions and measured sizes, that hold the true error."""
    held = []
    for _ in range(repetitions):
        errors = simulate(curve, rng, noise, common)
        law = fit_scaling_law(X, errors, LABELS, rng, chance_error=0.9, replicates=150)
        low, high = law.interval(SIZES)
        held.append((low <= curve(SIZES)) & (curve(SIZES) <= high))
    return float(np.mean(held))


def crossing_coverage(curves, truth, noise, common, repetitions, rng, find="laws"):
    """Share of crossing intervals that hold the true size."""
    held = 0
    for _ in range(repetitions):
        errors = [simulate(curve, rng, noise, common) for curve in curves]
        if find == "laws":
            laws = [fit_scaling_law(X, e, LABELS, rng, 0.9, replicates=150) for e in errors]
            found = crossing(*laws)
        else:
            found = measured_crossing(X, errors[0], LABELS, X, errors[1], LABELS)
        held += found.low is not None and found.low <= truth <= found.high
    return held / repetitions


def crossing_of(a, b):
    x = np.geomspace(500, 50000, 200_001)
    return float(x[np.argmin(np.abs(a(x) - b(x)))])


@pytest.mark.parametrize("common", [0.0, 0.5])
def test_intervals_of_laws_cover(common):
    rng = np.random.default_rng(1)
    assert 0.85 <= law_coverage(limited, 0.03, common, 100, rng) <= 0.95


@pytest.mark.timeout(900)  # half a minute, but much of it in tiny steps that a busy machine stalls
def test_intervals_of_crossings_cover():
    rng = np.random.default_rng(2)
    truth = crossing_of(limited_vit, limited_resnet)
    covered = crossing_coverage((limited_vit, limited_resnet), truth, 0.03, 0.3, 120, rng)
    assert 0.85 <= covered <= 0.95


def test_intervals_of_measured_crossings_cover():
    rng = np.random.default_rng(3)
    truth = crossing_of(vit, resnet)
    covered = crossing_coverage((vit, resnet), truth, 0.03, 0.3, 400, rng, find="means")
    # Linear interpolation between two measured means is not quite the curve: hence a wider range.
    assert 0.84 <= covered <= 0.96


@pytest.mark.parametrize(("mean", "sd"), [(0.1, 0.03), (0.5, 0.2), (0.9, 0.02), (0.99, 0.006)])
def test_intervals_of_mean_accuracies_cover(mean, sd):
    rng = np.random.default_rng(7)
    total = mean * (1 - mean) / sd**2 - 1  # of the beta distribution's two parameters
    found = [
        accuracy_interval(row)
        for row in rng.beta(mean * total, (1 - mean) * total, (1500, SEEDS)).tolist()
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
@pytest.mark.parametrize("common", [0.0, 0.5])
@pytest.mark.parametrize("noise", [0.01, 0.05])
@pytest.mark.parametrize("curve", [power, limited, logistic])
def test_intervals_of_laws_cover_for_many_truths(curve, noise, common):
    rng = np.random.default_rng(5)
    assert 0.85 <= law_coverage(curve, noise, common, 200, rng) <= 0.95


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("common", [0.0, 0.5])
@pytest.mark.parametrize("curves", [(vit, resnet), (limited_vit, limited_resnet)])
def test_intervals_of_crossings_cover_for_many_truths(curves, common):
    rng = np.random.default_rng(6)
    assert 0.85 <= crossing_coverage(curves, crossing_of(*curves), 0.03, common, 200, rng) <= 0.95
