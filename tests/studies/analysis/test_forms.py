"""The scaling-law forms and their solver, against their definitions and against SciPy."""

import numpy as np
import pytest
from scipy.optimize import brentq, least_squares

from studies.analysis.forms import make_form
from studies.analysis.least_squares import fit_many

pytestmark = pytest.mark.once

LOG_T = np.linspace(-3, 3, 7)
THETA = {
    "M1": [-1.5, 0.4],
    "M2": [-1.5, 0.4, 0.05],
    "M3": [-1.5, 0.4, 0.2],
    "M4": [-1.0, 0.5, 0.04, 1.3],
}


def test_forms_follow_their_equations():
    t = np.exp(LOG_T)
    b, c = np.exp(-1.5), 0.4
    expected = {"M1": b * t**-c, "M2": b * t**-c + 0.05, "M3": b * (1 / t + 0.2) ** c}
    for name, error in expected.items():
        found = np.exp(make_form(name).log_error(np.array(THETA[name]), LOG_T))
        np.testing.assert_allclose(found, error, rtol=1e-12)


def test_m4_solves_its_implicit_equation():
    form = make_form("M4", chance_error=0.9)
    log_b, c, e_inf, a = THETA["M4"]
    expected = [
        brentq(
            lambda e, x=x: np.log(e - e_inf) - a * np.log(0.9 - e) - log_b + c * x,
            e_inf + 1e-15,
            0.9 - 1e-15,
            xtol=1e-15,
        )
        for x in LOG_T
    ]
    found = np.exp(form.log_error(np.array(THETA["M4"]), LOG_T))
    np.testing.assert_allclose(found, expected, rtol=1e-8)


@pytest.mark.parametrize("a", [0.05, 0.3, 1.0, 4.0])
@pytest.mark.parametrize("log_b", [-20.0, 0.0, 20.0])
def test_m4_stays_between_its_limit_and_chance(a, log_b):
    form = make_form("M4", chance_error=0.9)
    error = np.exp(form.log_error(np.array([log_b, 1.0, 0.1, a]), np.linspace(-10, 10, 41)))
    assert np.all(np.isfinite(error))
    assert np.all((error >= 0.1 - 1e-12) & (error <= 0.9 + 1e-12))
    assert np.all(np.diff(error) <= 1e-12)


@pytest.mark.parametrize("name", ["M1", "M2", "M3", "M4"])
def test_derivatives_match_finite_differences(name):
    form, theta = make_form(name, 0.9), np.array(THETA[name])
    _, jacobian = form.log_error_and_jacobian(theta, LOG_T)
    for p in range(len(theta)):
        step = np.zeros(len(theta))
        step[p] = 1e-6
        up, down = form.log_error(theta + step, LOG_T), form.log_error(theta - step, LOG_T)
        np.testing.assert_allclose(jacobian[:, p], (up - down) / 2e-6, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["M1", "M2", "M3", "M4"])
def test_fits_are_as_good_as_scipys(name, rng):
    form = make_form(name, 0.9)
    noise, weights = 0.05, np.full(7, 3.0)
    curves = form.log_error(np.array(THETA[name]), LOG_T) + rng.normal(0, noise, (5, 7))
    starts = form.starts(LOG_T, curves.mean(axis=0))
    theta, cost = fit_many(form, LOG_T, curves, weights, noise, starts)
    assert np.all((theta >= form.lower) & (theta <= form.upper))
    for curve, found in zip(curves, cost, strict=True):

        def residuals(p, curve=curve):
            fit = np.sqrt(weights) * (form.log_error(p, LOG_T) - curve)
            return np.concatenate([fit, noise / form.spread * (p - form.centre)])

        best = min(
            2 * least_squares(residuals, start, bounds=(form.lower, form.upper)).cost
            for start in np.clip(starts, form.lower + 1e-6, form.upper - 1e-6)
        )
        assert found <= best + 1e-3 * noise**2


def test_an_unknown_form_names_the_known_ones():
    with pytest.raises(ValueError, match=r"'M5'.*M1, M2, M3, M4"):
        make_form("M5")
