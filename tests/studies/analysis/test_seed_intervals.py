"""t intervals, against textbook numbers."""

import math

import numpy as np
import pytest

from studies.analysis import (
    accuracy_interval,
    difference_interval,
    mean_interval,
)

pytestmark = pytest.mark.once


def test_mean_of_three_seeds():
    # mean 0.81, sd 0.01, t(2; 95 %) = 2.91999: half width 2.91999 * 0.01 / sqrt(3) = 0.016859
    e = mean_interval([0.80, 0.81, 0.82])
    assert (e.mean, e.sd, e.seeds) == (pytest.approx(0.81), pytest.approx(0.01), 3)
    assert e.high - e.mean == pytest.approx(0.016859, abs=1e-6)
    assert e.mean - e.low == pytest.approx(0.016859, abs=1e-6)


def test_one_value_or_none_has_no_interval():
    one, none = mean_interval([0.8, np.nan]), mean_interval([])
    assert one.mean == 0.8 and math.isnan(one.low) and one.seeds == 1
    assert math.isnan(none.mean) and none.seeds == 0


def test_pairs_use_the_seeds_in_common():
    e = difference_interval({0: 0.80, 1: 0.90, 2: 0.70, 3: 0.1}, {0: 0.79, 1: 0.89, 2: 0.69})
    assert e.paired and e.seeds == 3
    assert e.mean == pytest.approx(0.01) and e.sd == pytest.approx(0, abs=1e-12)


def test_unmatched_seeds_are_compared_as_welch_does():
    # Both variances 0.0001 over 3 seeds: error sqrt(2e-4 / 3) = 0.0081650, freedom 4,
    # t(4; 95 %) = 2.13185.
    e = difference_interval({0: 0.80, 1: 0.81, 2: 0.82}, {5: 0.70, 6: 0.71, 7: 0.72})
    assert not e.paired
    assert e.mean == pytest.approx(0.1)
    assert e.high - e.mean == pytest.approx(2.13185 * 0.0081650, abs=1e-5)


def test_differences_of_single_seeds_have_no_interval():
    e = difference_interval({0: 0.8}, {0: 0.7})
    assert e.mean == pytest.approx(0.1) and math.isnan(e.low)


def test_t_intervals_cover_what_they_say(rng):
    values = rng.normal(0, 1, (4000, 3))
    found = [mean_interval(row) for row in values]
    assert np.mean([e.low <= 0 <= e.high for e in found]) == pytest.approx(0.9, abs=0.02)


def test_a_mean_accuracy_has_its_interval_on_the_logit_scale():
    # mean 0.94, sd 0.04, t(2; 95 %) = 2.91999: half width 0.067434, in logits 0.067434 / 0.0564 =
    # 1.195638; logit(0.94) = 2.751535; ends 1 / (1 + exp(-1.555897)) and 1 / (1 + exp(-3.947173)).
    e = accuracy_interval([0.90, 0.98, 0.94])
    assert (e.mean, e.sd, e.seeds) == (pytest.approx(0.94), pytest.approx(0.04), 3)
    assert (e.low, e.high) == (pytest.approx(0.825764, abs=2e-6), pytest.approx(0.981057, abs=2e-6))
    # Where accuracies scatter little it is the plain interval.
    near, plain = (f([0.80, 0.801, 0.802]) for f in (accuracy_interval, mean_interval))
    assert (near.low, near.high) == pytest.approx((plain.low, plain.high), abs=2e-5)


@pytest.mark.parametrize(
    "values", [[0.2, 0.9], [0.99, 1.0], [0.0, 0.01, 0.3], [1.0, 1.0, 0.999], [0.0, 1.0], [0.3] * 3]
)
def test_intervals_of_accuracies_stay_between_0_and_1_and_hold_the_mean(values):
    e = accuracy_interval(values)
    assert 0.0 <= e.low <= e.mean <= e.high <= 1.0
    if len(set(values)) == 1:  # no scatter
        assert e.low == e.mean == e.high


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_accuracies_of_exactly_0_or_1_are_their_own_interval(value):
    e = accuracy_interval([value] * 3)
    assert (e.low, e.mean, e.high) == (value, value, value)
    assert math.isnan(accuracy_interval([value]).low) and math.isnan(accuracy_interval([]).mean)


def test_what_is_no_accuracy_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1; got 90"):
        accuracy_interval([0.5, 90.0])


def test_seeds_that_agree_have_the_width_of_a_rounded_number():
    # Three accuracies of 100 images are each known to half an image: sd 0.01 / sqrt(12), and
    # t(2; 95 %) = 2.91999: 2.91999 * 0.0028868 / sqrt(3) = 0.0048667.
    e = mean_interval([0.8] * 3, images=100)
    assert (e.low, e.high) == pytest.approx((0.8 - 0.0048667, 0.8 + 0.0048667), abs=1e-6)
    for value in (0.0, 0.8, 1.0):
        e = accuracy_interval([value] * 3, images=100)
        assert 0.0 <= e.low <= value <= e.high <= 1.0 and e.low < e.high
    same = {0: 0.8, 1: 0.8}
    paired, apart = (difference_interval(same, b, images=100) for b in (same, {5: 0.7, 6: 0.7}))
    assert paired.low < 0 < paired.high and 0 < apart.low < apart.high


def test_every_interval_over_seeds_says_what_it_does_not_hold():
    for e in (
        mean_interval([0.8, 0.9]),
        accuracy_interval([0.8, 0.9]),
        difference_interval({0: 0.8, 1: 0.7}, {0: 0.7, 1: 0.7}),
        difference_interval({0: 0.8, 1: 0.7}, {2: 0.7, 3: 0.7}),
    ):
        assert e.note == "over seeds alone: one draw, test set not in the interval"
        assert e.variance is None
    assert "no interval" in mean_interval([0.8]).note
