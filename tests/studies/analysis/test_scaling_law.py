"""Scaling laws: known parameters are recovered, odd data are handled, equal seeds give equal bits."""

import numpy as np
import pytest

from studies.analysis import fit_scaling_law

pytestmark = pytest.mark.once

SIZES = np.array([500, 1000, 2000, 5000, 10000, 20000, 50000], dtype=float)


def tiled(curve, noise, rng, seeds=3, shift=0.0):
    """Flat (sizes, errors, seeds); noise and the seeds' common shifts are those of log error."""
    shifts = np.repeat(rng.normal(0, shift, seeds) if shift else np.zeros(seeds), len(SIZES))
    x = np.tile(SIZES, seeds)
    errors = curve(x) * np.exp(shifts + rng.normal(0, noise, len(x)))
    return x, errors, np.repeat(np.arange(seeds), len(SIZES))


def test_m1_is_recovered_exactly(rng):
    law = fit_scaling_law(SIZES, 5 * SIZES**-0.4, rng=rng, form="M1")
    assert law.parameters == pytest.approx({"b": 5, "c": -0.4}, rel=1e-6)


def test_m2_is_recovered(rng):
    law = fit_scaling_law(SIZES, 6 * SIZES**-0.5 + 0.08, rng=rng)
    assert law.form == "M2"
    assert law.parameters == pytest.approx({"b": 6, "c": -0.5, "e_inf": 0.08}, rel=1e-3)
    assert law.predict([1e6])[0] == pytest.approx(6 * 1e6**-0.5 + 0.08, rel=1e-4)


def test_m3_is_recovered(rng):
    law = fit_scaling_law(SIZES, 5 * (1 / SIZES + 1e-5) ** 0.45, rng=rng, form="M3")
    assert law.parameters == pytest.approx({"b": 5, "c": -0.45, "g": 1e-5}, rel=1e-3)


def test_m4_is_recovered_and_chosen(rng):
    def error(x):  # (e - 0.05) / (0.9 - e) = 40 x^-0.6
        odds = 40 * x**-0.6
        return (0.05 + 0.9 * odds) / (1 + odds)

    law = fit_scaling_law(SIZES, error(SIZES), rng=rng, chance_error=0.9)
    assert law.form == "M4"
    expected = {"b": 40, "c": -0.6, "e_inf": 0.05, "a": 1, "e_0": 0.9}
    assert law.parameters == pytest.approx(expected, rel=0.01)
    # Both ends extrapolate: towards guessing on one image, towards the limit on many.
    assert law.predict([1])[0] == pytest.approx(error(1), rel=0.01)
    assert law.predict([1e7])[0] == pytest.approx(error(1e7), rel=0.01)


def test_noisy_parameters_are_near_the_truth(rng):
    x, errors, seeds = tiled(lambda x: 6 * x**-0.5 + 0.08, 0.01, rng, seeds=10)
    law = fit_scaling_law(x, errors, seeds, rng, chance_error=0.9, form="M2")
    assert law.parameters["c"] == pytest.approx(-0.5, abs=0.05)
    assert law.parameters["e_inf"] == pytest.approx(0.08, abs=0.01)


def test_equal_generators_give_equal_intervals(rng):
    x, errors, seeds = tiled(lambda x: 5 * x**-0.4, 0.03, rng)
    first, again, other = (
        fit_scaling_law(x, errors, seeds, np.random.default_rng(s)).interval([3000.0, 1e5])
        for s in (7, 7, 8)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_interval_does_not_depend_on_what_was_asked_before(rng):
    x, errors, seeds = tiled(lambda x: 5 * x**-0.4, 0.03, rng)
    law = fit_scaling_law(x, errors, seeds, np.random.default_rng(7))
    law.interval([123.0], level=0.5)
    fresh = fit_scaling_law(x, errors, seeds, np.random.default_rng(7))
    np.testing.assert_array_equal(law.interval([3000.0]), fresh.interval([3000.0]))


def test_order_of_results_does_not_matter(rng):
    x, errors, seeds = tiled(lambda x: 5 * x**-0.4, 0.03, rng)
    mixed = rng.permutation(len(x))
    one = fit_scaling_law(x, errors, seeds, np.random.default_rng(0))
    two = fit_scaling_law(x[mixed], errors[mixed], seeds[mixed], np.random.default_rng(0))
    np.testing.assert_array_equal(one.interval(SIZES), two.interval(SIZES))


def test_intervals_hold_the_prediction_and_widen_outside_the_data(rng):
    x, errors, seeds = tiled(lambda x: 6 * x**-0.5 + 0.05, 0.03, rng)
    law = fit_scaling_law(x, errors, seeds, rng, chance_error=0.9)
    at = np.array([5000.0, 5e5])
    low, high = law.interval(at)
    assert np.all((low <= law.predict(at)) & (law.predict(at) <= high))
    assert high[1] / low[1] > 2 * (high[0] / low[0] - 1) + 1
    narrow_low, narrow_high = law.interval(at, level=0.5)
    assert np.all((narrow_low > low) & (narrow_high < high))


def test_an_interval_ends_where_every_answer_is_wrong(rng):
    x, errors, seeds = tiled(lambda x: 12 * x**-0.4, 0.1, rng)
    law = fit_scaling_law(x, errors, seeds, rng)
    low, high = law.interval([1.0, SIZES[0], 1e6])
    assert np.all((low > 0) & (low <= high) & (high <= 1))
    assert high[0] == 1 and high[2] < 0.2
    assert law.predict(1.0) == 1.0


def test_seeds_that_shift_whole_curves_widen_the_interval(rng):
    x, errors, seeds = tiled(lambda x: 5 * x**-0.4, 0.01, rng, shift=0.1)
    blocks = fit_scaling_law(x, errors, seeds, np.random.default_rng(0), form="M1")
    loose = fit_scaling_law(x, errors, None, np.random.default_rng(0), form="M1")
    width = [
        float(np.log(high[0] / low[0]))
        for low, high in (blocks.interval([5000.0]), loose.interval([5000.0]))
    ]
    assert width[0] > 2 * width[1]


def test_scalars_and_arrays_keep_their_shape(rng):
    law = fit_scaling_law(SIZES, 5 * SIZES**-0.4, rng=rng)
    assert law.predict(1000.0).shape == ()
    assert law.predict(np.ones((2, 3)) * 1000).shape == (2, 3)
    low, high = law.interval(np.ones((2, 3)) * 1000)
    assert low.shape == high.shape == (2, 3)


@pytest.mark.parametrize(("count", "form"), [(2, "M1"), (3, "M1"), (4, ("M1", "M2"))])
def test_short_curves_get_simple_forms_and_a_reason(count, form, rng):
    x, errors, seeds = tiled(lambda x: 5 * x**-0.4, 0.01, rng)
    short = x <= SIZES[count - 1]
    law = fit_scaling_law(x[short], errors[short], seeds[short], rng)
    assert law.form in form
    assert f"only {count} sizes" in law.reason
    low, high = law.interval([1000.0])
    assert low[0] < law.predict([1000.0])[0] < high[0]


def test_the_reason_tells_the_scores(rng):
    x, errors, seeds = tiled(lambda x: 5 * x**-0.4, 0.01, rng)
    reason = fit_scaling_law(x, errors, seeds, rng).reason
    assert "M2 0." in reason and "M4 0." in reason


def test_one_seed_has_no_interval_and_says_why(rng):
    law = fit_scaling_law(SIZES, 5 * SIZES**-0.4, [0] * 7, rng)
    assert np.isnan(law.interval([1000.0])).all()
    assert any("one seed only" in note for note in law.notes)


def test_a_perfect_fit_without_spare_results_has_no_interval(rng):
    law = fit_scaling_law([500, 5000], [0.5, 0.2], rng=rng)
    assert np.isnan(law.interval([1000.0])).all()
    assert any("as many parameters as results" in note for note in law.notes)


def test_missing_seeds_are_fine(rng):
    x, errors, seeds = tiled(lambda x: 5 * x**-0.4, 0.02, rng)
    kept = ~((seeds == 2) & (x > 5000))
    law = fit_scaling_law(x[kept], errors[kept], seeds[kept], rng)
    low, high = law.interval(SIZES)
    assert np.all(low < high)
    assert law.predict([5000.0])[0] == pytest.approx(5 * 5000**-0.4, rel=0.05)


def test_nan_and_zero_errors_are_told(rng):
    errors = 5 * SIZES**-0.4
    errors[2], errors[6] = np.nan, 0.0
    law = fit_scaling_law(SIZES, errors, rng=rng)
    assert law.curve.sizes.tolist() == [500, 1000, 5000, 10000, 20000, 50000]
    assert any("missing" in note for note in law.notes)
    assert any("zero" in note for note in law.notes)


def test_repeats_of_one_seed_and_size_are_averaged(rng):
    x, errors, seeds = tiled(lambda x: 5 * x**-0.4, 0.02, rng)
    law = fit_scaling_law(np.append(x, 500), np.append(errors, errors[0]), np.append(seeds, 0), rng)
    assert any("averaged" in note for note in law.notes)
    assert law.curve.counts.tolist() == [3] * 7


def test_accuracy_that_gets_worse_with_data_gives_a_flat_law(rng):
    law = fit_scaling_law(SIZES, 0.3 + 1e-6 * SIZES, rng=rng, chance_error=0.9)
    assert law.parameters["c"] == pytest.approx(0, abs=1e-6)
    assert 0.3 < law.predict([1e6])[0] < 0.4


def test_errors_at_chance_can_be_fitted(rng):
    errors = np.full(21, 0.9) + rng.normal(0, 0.005, 21)
    law = fit_scaling_law(np.tile(SIZES, 3), errors, np.repeat([0, 1, 2], 7), rng, 0.9)
    assert law.predict([5000.0])[0] == pytest.approx(0.9, abs=0.01)
    assert np.isfinite(law.interval([5000.0])).all()


@pytest.mark.parametrize(
    ("sizes", "errors", "seeds", "message"),
    [
        ([500, 500], [0.2, 0.3], [0, 1], "only one"),
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
    law = fit_scaling_law(SIZES, 5 * SIZES**-0.4, rng=rng)
    with pytest.raises(ValueError, match="between 0 and 1"):
        law.interval([1000.0], level)


def test_a_chance_error_in_per_cent_is_refused(rng):
    with pytest.raises(ValueError, match="chance_error"):
        fit_scaling_law(SIZES, 5 * SIZES**-0.4, rng=rng, chance_error=90)
