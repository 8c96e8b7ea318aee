"""Members drawn for a curve, against the same Gaussian algebra done with whole matrices."""

import numpy as np
import pytest

from studies.analysis import family, posterior
from studies.analysis.curve import make_curve
from studies.analysis.priors import published

pytestmark = pytest.mark.once

MEMBER = np.array([[-1.5, -1.3, 0.0, -0.5, -4.0, -2.0]])
NOISE, WANDER, JUMP, BREAK = np.exp(-4.0), np.exp(-2.0), 0.3, 0.2


@pytest.fixture
def curve(rng):
    sizes = np.geomspace(100, 50000, 12)
    return make_curve(sizes, 3 * sizes**-0.3 * np.exp(rng.normal(0, 0.02, 12)), None)


def residual_of(curve):
    return curve.means - family.log_error(MEMBER, curve.log_x, 0.9)


def covariance(curve, broken=None):
    """Of the misfit: the integral of a Brownian motion from the largest size, and a jump's ramp."""
    u = -curve.log_x
    small, large = np.minimum.outer(u, u), np.maximum.outer(u, u)
    total = WANDER**2 * (large * small**2 / 2 - small**3 / 6)
    if broken is not None:
        ramp = np.maximum(u - u[broken], 0)
        total += JUMP**2 * np.outer(ramp, ramp)
    return total


def test_the_likelihood_is_that_of_a_gaussian_process(curve):
    found = posterior._log_likelihoods(MEMBER, residual_of(curve), curve)[:, 0]
    places = [None, *posterior._breaks(curve)]
    assert len(found) == len(places) == 6
    for value, place in zip(found, places, strict=True):
        total = covariance(curve, place) + NOISE**2 * np.eye(12)
        r = residual_of(curve)[0]
        expected = -0.5 * (np.linalg.slogdet(total)[1] + r @ np.linalg.solve(total, r))
        expected += np.log(1 - BREAK if place is None else BREAK / 5)
        assert value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("broken", [-1, 6])
def test_misfits_have_the_moments_of_the_conditional_gaussian(curve, broken, rng):
    count = 20_000
    members, residual = np.repeat(MEMBER, count, 0), np.repeat(residual_of(curve), count, 0)
    knots = posterior._knots(curve.log_x)
    found = posterior._draw_misfit(members, residual, np.full(count, broken), curve, knots, rng)
    prior = covariance(curve, None if broken < 0 else broken)
    gain = np.linalg.solve(prior + NOISE**2 * np.eye(12), prior).T
    at = np.searchsorted(knots, curve.log_x)
    np.testing.assert_allclose(found[:, at].mean(axis=0), gain @ residual[0], atol=0.001)
    expected = np.sqrt(np.maximum(np.diag(prior - gain @ prior), 0))
    np.testing.assert_allclose(found[:, at].std(axis=0), expected, atol=0.001)
    ahead = int(np.argmin(np.abs(knots - 1.4)))  # Var = WANDER^2 t^3 / 3
    assert found[:, ahead].std() == pytest.approx(WANDER * np.sqrt(knots[ahead] ** 3 / 3), rel=0.03)


def test_importance_sampling_finds_what_a_random_walk_finds():
    rng = np.random.default_rng(1)
    sizes = np.geomspace(100, 50000, 7)
    errors = (3 * sizes**-0.3 + 0.02) * np.exp(rng.normal(0, 0.02, 7))
    curve = make_curve(sizes, errors, None)
    found = posterior.draw(curve, 0.9, published(), np.random.default_rng(0), 4000)
    walkers = np.repeat(found.mode[None], 300, 0)  # Metropolis, with steps of its own kind
    log_p = posterior._log_posterior(walkers, curve, 0.9, published())
    kept = []
    for step in range(1500):
        scale = np.array([0.1, 0.15, 1.0, 0.6, 0.5, 0.7]) * rng.choice([0.3, 1.0])
        tried = walkers + scale * rng.standard_normal(walkers.shape)
        tried_log_p = posterior._log_posterior(tried, curve, 0.9, published())
        moves = np.log(rng.random(len(walkers))) < tried_log_p - log_p
        walkers, log_p = (
            np.where(moves[:, None], tried, walkers),
            np.where(moves, tried_log_p, log_p),
        )
        if step >= 500 and step % 50 == 0:
            kept.append(walkers)
    walked = np.concatenate(kept)
    spread = walked.std(axis=0)
    assert np.all(np.abs(found.members.mean(axis=0) - walked.mean(axis=0)) < 0.15 * spread)
    np.testing.assert_allclose(found.members.std(axis=0), spread, rtol=0.2)


def test_beyond_the_largest_size_no_member_rises(curve, rng):
    found = posterior.draw(curve, 0.9, published(), rng)
    ahead = np.sort(np.concatenate([rng.uniform(0, 5, 60), found.knots[found.knots >= 0][:15]]))
    paths = found.log_error(ahead)
    assert np.all(np.diff(paths, axis=1) <= 1e-3)
    # Asked alone or together, a size has the same errors.
    np.testing.assert_array_equal(found.log_error(ahead[7:8])[:, 0], paths[:, 7])


def broken_curve(x):
    return 0.2 * np.where(x < 4000, (x / 4000) ** -0.1, (x / 4000) ** -0.45)


def test_a_break_is_found_where_many_sizes_show_it(rng):
    sizes = np.geomspace(100, 50000, 16)
    curve = make_curve(sizes, broken_curve(sizes) * np.exp(rng.normal(0, 0.005, 16)), None)
    found = posterior.draw(curve, 1.0, published(), rng)
    assert np.mean(found.broken >= 0) > 0.8
    assert 2000 < sizes[int(np.median(found.broken[found.broken >= 0]))] < 8000
    ahead = found.log_error(np.log([2.0]))[:, 0]
    truth = np.log(broken_curve(np.array([1e5]))[0])
    assert np.quantile(ahead, 0.05) < truth < np.quantile(ahead, 0.95)


def test_no_break_is_made_up_for_a_power_law_or_for_few_sizes(rng):
    sizes = np.geomspace(100, 50000, 16)
    curve = make_curve(sizes, 3 * sizes**-0.3 * np.exp(rng.normal(0, 0.02, 16)), None)
    found = posterior.draw(curve, 1.0, published(), rng)
    assert np.mean(found.broken >= 0) < 0.5
    few = make_curve(sizes[::2], broken_curve(sizes[::2]), None)
    assert np.all(posterior.draw(few, 1.0, published(), rng).broken == -1)
