"""The family of laws, against its equation and the forms that it contains."""

import numpy as np
import pytest
from scipy.optimize import brentq

from studies.analysis import family

pytestmark = pytest.mark.once

LOG_X = np.linspace(-3, 3, 7)


def member(level, slope, limit, bend):
    return np.array([[level, slope, limit, bend, -4.0, -4.0]])


def test_errors_solve_the_equation(rng):
    members = rng.normal([-1.0, -1.0, 0.0, 0.0, 0, 0], [0.5, 0.5, 0.5, 0.3, 0, 0], (20, 6))
    found = np.exp(family.log_error(members, LOG_X, 0.9))
    p = family.parameters(members, 0.9)
    for m in range(len(members)):
        e_inf = p["e_inf"][m]

        def off(e, x, m=m, e_inf=e_inf):
            left = np.log(e - e_inf) - p["a"][m] * np.log(0.9 - e)
            return left - p["log_b"][m] + p["c"][m] * x

        for x, error in zip(LOG_X, found[m], strict=True):
            expected = brentq(off, e_inf + 1e-14, 0.9 - 1e-14, args=(x,), xtol=1e-14)
            assert error == pytest.approx(expected, rel=1e-6)


def test_coordinates_are_the_level_the_slope_and_the_limit_at_the_largest_size():
    found = member(-1.0, np.log(0.3), 0.5, np.log(0.8))
    error = 0.9 / (1 + np.e)
    step = 1e-4
    low, at, high = family.log_error(found, np.array([-step, 0.0, step]), 0.9)[0]
    assert np.exp(at) == pytest.approx(error)
    assert (low - high) / (2 * step) == pytest.approx(0.3, rel=1e-5)
    assert family.parameters(found, 0.9)["e_inf"][0] == pytest.approx(error / (1 + np.exp(-0.5)))


def test_far_below_guessing_it_is_a_power_law_with_a_limit():
    found = member(-12.0, np.log(0.2), 0.0, np.log(0.5))
    p = {name: value[0] for name, value in family.parameters(found, 1.0).items()}
    expected = np.exp(p["log_b"]) * np.exp(-p["c"] * LOG_X) + p["e_inf"]
    np.testing.assert_allclose(np.exp(family.log_error(found, LOG_X, 1.0)[0]), expected, rtol=2e-3)


@pytest.mark.parametrize("bend", [-4.0, 0.0, 1.5])
@pytest.mark.parametrize("level", [-10.0, 0.0, 10.0])
def test_errors_stay_between_their_limit_and_chance(level, bend):
    found = member(level, -1.0, 0.0, bend)
    error = np.exp(family.log_error(found, np.linspace(-20, 20, 41), 0.9))
    assert np.all(np.isfinite(error))
    e_inf = family.parameters(found, 0.9)["e_inf"][0]
    assert np.all((error >= e_inf - 1e-12) & (error <= 0.9 + 1e-12))
    assert np.all(np.diff(error) <= 1e-12)
