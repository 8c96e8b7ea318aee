"""Scaling laws: known curves are recovered, odd data are handled, equal generators give equal bits."""

import numpy as np
import pytest
from scipy.optimize import curve_fit
from scipy.stats import t as student

from studies.analysis import NoLaw, family, fit_scaling_law
from studies.analysis.priors import Normal, Prior

pytestmark = pytest.mark.once

SIZES = np.array([500, 1000, 2000, 5000, 10000, 20000, 50000], dtype=float)


def power(x):
    return 5 * x**-0.4


def limited(x):
    return 6 * x**-0.5 + 0.08


def logistic(x):  # (e - 0.05) / (0.9 - e) = 40 x^-0.6
    odds = 40 * x**-0.6
    return (0.05 + 0.9 * odds) / (1 + odds)


def tiled(curve, noise, rng, seeds=3, shift=0.0, sizes=SIZES):
    """Flat (sizes, errors, seeds); noise and the seeds' common shifts are those of log error."""
    shifts = np.repeat(rng.normal(0, shift, seeds) if shift else np.zeros(seeds), len(sizes))
    x = np.tile(sizes, seeds)
    errors = curve(x) * np.exp(shifts + rng.normal(0, noise, len(x)))
    return x, errors, np.repeat(np.arange(seeds), len(sizes))


@pytest.mark.parametrize("curve", [power, limited, logistic])
def test_curves_of_the_family_are_recovered(curve, rng):
    x, errors, seeds = tiled(curve, 0.003, rng)
    law = fit_scaling_law(x, errors, seeds, rng, chance_error=0.9)
    np.testing.assert_allclose(law.predict(SIZES), curve(SIZES), rtol=0.01)
    assert law.predict([1e5])[0] == pytest.approx(curve(1e5), rel=0.04)


def test_the_parameters_are_near_the_truth_of_a_long_curve(rng):
    sizes = np.geomspace(100, 1e6, 30)
    law = fit_scaling_law(sizes, logistic(sizes), rng=rng, chance_error=0.9)
    found = law.parameters
    assert found["c"] == pytest.approx(-0.6, abs=0.03)
    assert found["e_inf"] == pytest.approx(0.05, abs=0.005)
    assert found["a"] == pytest.approx(1.0, abs=0.1)
    assert law.residual < 0.005


def test_without_prior_knowledge_it_agrees_with_scipys_fit_of_m2(rng):
    # Misfit and bend are shut out and the rest is left open, so that the most probable member is
    # the least-squares fit of M2 in log error.
    open_prior = Prior(
        exponent=Normal(-0.8, 5.0), limit=Normal(0.0, 5.0), bend=Normal(-4.0, 0.1),
        noise=Normal(-4.0, 0.5), misfit=Normal(-8.0, 0.1), shift=Normal(0, 1), fresh=Normal(-4, 1),
    )  # fmt: skip
    errors = limited(SIZES) * np.exp(rng.normal(0, 0.01, len(SIZES)))

    def log_m2(x, log_b, c, e_inf):
        return np.log(np.exp(log_b) * x**-c + e_inf)

    (log_b, c, e_inf), _ = curve_fit(log_m2, SIZES, np.log(errors), p0=(1.8, 0.5, 0.08))
    law = fit_scaling_law(SIZES, errors, rng=rng, prior=open_prior, members=4000)
    at = np.geomspace(500, 200_000, 20)
    expected = np.exp(log_b) * at**-c + e_inf
    np.testing.assert_allclose(law.predict(at), expected, rtol=0.02)
    mode = law.posterior.mode[None]
    found = np.exp(family.log_error(mode, np.log(at / SIZES[-1]), 1.0)[0])
    np.testing.assert_allclose(found, expected, rtol=0.01)


def test_equal_generators_give_equal_laws(rng):
    x, errors, seeds = tiled(power, 0.03, rng)
    first, again, other = (
        fit_scaling_law(x, errors, seeds, np.random.default_rng(s)).interval([3000.0, 1e5])
        for s in (7, 7, 8)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    np.testing.assert_allclose(first, other, rtol=0.02)


def test_the_interval_does_not_depend_on_what_was_asked_before(rng):
    x, errors, seeds = tiled(power, 0.03, rng)
    law = fit_scaling_law(x, errors, seeds, np.random.default_rng(7))
    law.interval([123.0], level=0.5)
    law.gain(5000)
    fresh = fit_scaling_law(x, errors, seeds, np.random.default_rng(7))
    np.testing.assert_array_equal(law.interval([3000.0]), fresh.interval([3000.0]))


def test_order_of_results_does_not_matter(rng):
    x, errors, seeds = tiled(power, 0.03, rng)
    mixed = rng.permutation(len(x))
    one = fit_scaling_law(x, errors, seeds, np.random.default_rng(0))
    two = fit_scaling_law(x[mixed], errors[mixed], seeds[mixed], np.random.default_rng(0))
    np.testing.assert_array_equal(one.interval(SIZES), two.interval(SIZES))


def test_intervals_hold_the_prediction_and_widen_with_reach_and_level(rng):
    x, errors, seeds = tiled(limited, 0.03, rng)
    law = fit_scaling_law(x, errors, seeds, rng, chance_error=0.9)
    at = np.array([5000.0, 5e6])
    for interval in (law.interval, law.mean_interval):
        low, high = interval(at)
        assert np.all((low <= law.predict(at)) & (law.predict(at) <= high))
        assert np.log(high[1] / low[1]) > 2 * np.log(high[0] / low[0])
        narrow_low, narrow_high = interval(at, level=0.5)
        assert np.all((narrow_low > low) & (narrow_high < high))
    new, mean = law.interval(SIZES), law.mean_interval(SIZES)
    assert np.all(new[1] / new[0] > mean[1] / mean[0])


def test_an_interval_ends_where_every_answer_is_wrong(rng):
    x, errors, seeds = tiled(lambda x: np.minimum(12 * x**-0.4, 1), 0.1, rng)
    law = fit_scaling_law(x, np.minimum(errors, 1), seeds, rng)
    low, high = law.interval([1.0, SIZES[0], 1e6])
    assert np.all((low > 0) & (low <= high) & (high <= 1))
    assert law.predict(1.0) <= 1.0


def test_seeds_that_shift_whole_curves_widen_the_interval(rng):
    x, errors, seeds = tiled(power, 0.01, rng, shift=0.1)
    blocks = fit_scaling_law(x, errors, seeds, np.random.default_rng(0))
    x, errors, seeds = tiled(power, 0.01, rng)
    none = fit_scaling_law(x, errors, seeds, np.random.default_rng(0))
    widths = [np.log(np.divide(*law.mean_interval([5000.0])[::-1]))[0] for law in (blocks, none)]
    assert widths[0] > 3 * widths[1]


def test_a_forecast_is_never_surer_than_the_data_beside_it(rng):
    for seeds_count in (2, 3, 5):
        x, errors, seeds = tiled(limited, 0.05, rng, seeds=seeds_count, shift=0.03)
        law = fit_scaling_law(x, errors, seeds, rng, chance_error=0.9)
        last = np.log(errors[x == SIZES[-1]])
        factor = student.ppf(0.95, seeds_count - 1) / np.sqrt(seeds_count)
        half = factor * last.std(ddof=1)
        ahead = SIZES[-1] * np.array([1.0, 1.001, 1.5, 3.0, 100.0])
        low, high = law.mean_interval(ahead)
        assert np.all(np.log(high / law.predict(ahead)) >= half - 1e-9)
        assert np.all(np.log(law.predict(ahead) / low) >= half - 1e-9)


def test_a_forecast_is_never_surer_than_the_interval_that_stands_beside_it(rng):
    x, errors, seeds = tiled(limited, 0.003, rng)
    law = fit_scaling_law(x, errors, seeds, rng, chance_error=0.9, beside=(0.09, 0.13))
    ahead = SIZES[-1] * np.array([1.0, 1.5, 10.0])
    for low, high in (law.mean_interval(ahead), law.interval(ahead)):
        assert np.all(high / low >= 0.13 / 0.09 - 1e-9)
    low, high = law.mean_interval(ahead, level=0.5)
    assert np.all(high / low < 0.13 / 0.09)
    with pytest.raises(ValueError, match="beside"):
        fit_scaling_law(x, errors, seeds, rng, beside=(0.13, 0.09))


def test_a_forecast_starts_at_the_fitted_value(rng):
    x, errors, seeds = tiled(limited, 0.05, rng)
    law = fit_scaling_law(x, errors, seeds, rng, chance_error=0.9)
    edge = SIZES[-1] * np.array([1 - 1e-9, 1, 1 + 1e-9])
    for values in (law.predict(edge), *law.interval(edge), *law.mean_interval(edge)):
        np.testing.assert_allclose(values, values[1], rtol=1e-6)


def test_a_shared_test_set_widens_by_its_standard_error(rng):
    x, errors, seeds = tiled(limited, 0.003, rng)
    at = [SIZES[-1], 2 * SIZES[-1]]
    alone, shared = (
        fit_scaling_law(x, errors, seeds, np.random.default_rng(0), 0.9, common).mean_interval(at)
        for common in (None, 0.01)
    )
    half = [(high - low) / 2 for low, high in (alone, shared)]
    assert half[1][0] == pytest.approx(1.645 * 0.01, rel=0.1)
    assert half[1][1] > 1.4 * 0.01
    each = fit_scaling_law(x, errors, seeds, np.random.default_rng(0), 0.9, np.full(7, 0.01))
    low, high = each.mean_interval(SIZES)
    assert np.all((high - low) / 2 > 0.9 * 1.645 * 0.01)


@pytest.mark.parametrize("common", [[0.1, 0.2], -0.1, np.nan])
def test_an_unusable_common_error_is_refused(common, rng):
    with pytest.raises(ValueError, match="common_error"):
        fit_scaling_law(SIZES, power(SIZES), rng=rng, common_error=common)


def test_what_twice_the_images_buy(rng):
    x, errors, seeds = tiled(limited, 0.02, rng, seeds=5)
    law = fit_scaling_law(x, errors, seeds, rng, chance_error=0.9)
    for size in (5000.0, 50000.0):
        found = law.gain(size)
        assert found.low < limited(size) - limited(2 * size) < found.high
        assert found.drop == pytest.approx(np.subtract(*law.predict([size, 2 * size])))
        assert found.low <= found.drop <= found.high
    four = law.gain(50000, factor=4)
    assert four.drop > law.gain(50000).drop
    # What all results share cancels in a difference, all but its part of the difference itself.
    shared = fit_scaling_law(x, errors, seeds, rng, 0.9, common_error=0.02).gain(50000)
    assert shared.high - shared.low < 0.02
    with pytest.raises(ValueError, match="factor"):
        law.gain(5000, factor=1.0)


def test_how_many_images_a_target_takes(rng):
    x, errors, seeds = tiled(power, 0.01, rng)
    law = fit_scaling_law(x, errors, seeds, rng)
    inside = law.size_for(power(7000.0))
    assert inside == pytest.approx(7000, rel=0.05)
    assert law.size_for(power(7000.0), 0.9) > inside
    target = float(power(2e5))
    size = law.size_for(target, 0.5)
    assert 1e5 < size < 1e6
    assert law.log_errors([size])[:, 0].mean() == pytest.approx(np.log(target), abs=0.05)
    assert law.size_for(1e-6) == np.inf
    assert law.size_for(0.99) == SIZES[0]
    with pytest.raises(ValueError, match="probability"):
        law.size_for(0.1, 1.0)


def test_scalars_and_arrays_keep_their_shape(rng):
    law = fit_scaling_law(SIZES, power(SIZES), rng=rng)
    assert law.predict(1000.0).shape == ()
    assert law.predict(np.ones((2, 3)) * 1000).shape == (2, 3)
    low, high = law.interval(np.ones((2, 3)) * 1000)
    assert low.shape == high.shape == (2, 3)


def test_one_seed_has_an_interval_and_says_where_its_scatter_is_from(rng):
    law = fit_scaling_law(SIZES, power(SIZES), [0] * 7, rng)
    low, high = law.mean_interval([1000.0, 1e5])
    assert np.all(low < high)
    assert any("one seed only" in note for note in law.notes)
    three = fit_scaling_law(*tiled(power, 0.01, rng), rng)
    assert not three.notes


def test_missing_seeds_are_fine(rng):
    x, errors, seeds = tiled(power, 0.01, rng, shift=0.1)
    whole = fit_scaling_law(x, errors, seeds, np.random.default_rng(0))
    kept = ~((seeds == 2) & (x > 5000))
    law = fit_scaling_law(x[kept], errors[kept], seeds[kept], np.random.default_rng(0))
    # Seed 2 is shifted as a whole: its missing results must not bend the curve.
    np.testing.assert_allclose(law.predict(SIZES), whole.predict(SIZES), rtol=0.02)


def test_nan_and_zero_errors_are_told(rng):
    errors = power(SIZES)
    errors[2], errors[6] = np.nan, 0.0
    law = fit_scaling_law(SIZES, errors, rng=rng)
    assert law.curve.sizes.tolist() == [500, 1000, 5000, 10000, 20000, 50000]
    assert any("missing" in note for note in law.notes)
    assert any("zero" in note for note in law.notes)


def test_repeats_of_one_seed_and_size_are_averaged(rng):
    x, errors, seeds = tiled(power, 0.02, rng)
    law = fit_scaling_law(np.append(x, 500), np.append(errors, errors[0]), np.append(seeds, 0), rng)
    assert any("averaged" in note for note in law.notes)
    assert law.curve.counts.tolist() == [3] * 7


def test_a_curve_partly_at_chance_is_fitted(rng):
    def late(x):
        return np.where(x < 3000, 0.9, 0.9 * (x / 3000) ** -0.5)

    law = fit_scaling_law(*tiled(late, 0.01, rng), rng, chance_error=0.9)
    assert law.predict([1e5])[0] == pytest.approx(late(1e5), rel=0.1)
    assert law.predict([100.0])[0] == pytest.approx(0.9, rel=0.02)


@pytest.mark.parametrize(("count", "told"), [(1, "only one"), (2, "only 2"), (3, "only 3")])
def test_fewer_than_four_sizes_carry_no_law(count, told, rng):
    x, errors, seeds = tiled(power, 0.01, rng, sizes=SIZES[:count])
    with pytest.raises(NoLaw, match=f"4 sizes or more.*{told}"):
        fit_scaling_law(x, errors, seeds, rng)


@pytest.mark.parametrize(
    "errors",
    [0.3 + 1e-6 * SIZES, np.full(7, 0.3), [0.30, 0.31, 0.29, 0.30, 0.31, 0.30, 0.29]],
    ids=["rising", "constant", "level"],
)
def test_an_error_that_does_not_fall_has_no_law(errors, rng):
    with pytest.raises(NoLaw, match=r"does not fall.*no law"):
        fit_scaling_law(SIZES, errors, rng=rng, chance_error=0.9)
    noise = rng.normal(0, 0.02, (3, 7))
    seeds = np.repeat([0, 1, 2], 7)
    with pytest.raises(NoLaw):
        fit_scaling_law(np.tile(SIZES, 3), (errors * np.exp(noise)).ravel(), seeds, rng, 0.9)


def test_flat_curves_are_seldom_called_falling_and_steep_ones_never_refused():
    rng = np.random.default_rng(3)
    called, refused = 0, 0
    for _ in range(200):
        for curve, steep in ((lambda x: 0.9 + 0 * x, False), (power, True)):
            try:
                fit_scaling_law(*tiled(curve, 0.03, rng, sizes=SIZES[:4]), rng, members=4)
                called += not steep
            except NoLaw:
                refused += steep
    assert called <= 18  # 5 % of 200, and two standard deviations of it
    assert refused == 0


@pytest.mark.parametrize(
    ("sizes", "errors", "seeds", "message"),
    [
        ([500, 1000], [0.2], None, "equally long"),
        ([500, 1000], [0.2, 0.1], [0], "equally long"),
        ([500, 1000], [0.0, 0.0], None, "All errors are zero"),
        ([500, 1000], [0.2, -0.1], None, "must not be negative"),
        ([0, 1000], [0.2, 0.1], None, "must be positive"),
        ([], [], None, "no finite error"),
        ([500, 1000], [np.nan, np.nan], None, "no finite error"),
    ],
)
def test_unusable_data_are_refused_in_words(sizes, errors, seeds, message, rng):
    with pytest.raises(ValueError, match=message):
        fit_scaling_law(sizes, errors, seeds, rng)


@pytest.mark.parametrize("level", [0.0, 1.0, 90])
def test_levels_outside_0_and_1_are_refused(level, rng):
    law = fit_scaling_law(SIZES, power(SIZES), rng=rng)
    for ask in (law.interval, law.mean_interval):
        with pytest.raises(ValueError, match="between 0 and 1"):
            ask([1000.0], level)
    with pytest.raises(ValueError, match="between 0 and 1"):
        law.gain(1000.0, level=level)


def test_a_chance_error_in_per_cent_is_refused(rng):
    with pytest.raises(ValueError, match="chance_error"):
        fit_scaling_law(SIZES, power(SIZES), rng=rng, chance_error=90)
