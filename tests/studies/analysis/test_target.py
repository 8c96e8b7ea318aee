"""How many images a target takes: rounds, and a probability that held elsewhere."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from studies.analysis.target import MIDDLE, SHIFT, calibrated, collection, learned_shift

pytestmark = pytest.mark.once


class Law:
    """error = size^-1/2, in doubt by a normal factor in log size."""

    def __init__(self, doubt=0.5, reach=math.inf):
        self.doubt, self.reach = doubt, reach

    def size_for(self, error, probability=0.5):
        size = error**-2 * math.exp(self.doubt * norm.ppf(probability))
        return size if size < self.reach else math.inf


def test_a_target_is_asked_for_with_the_probability_that_held():
    assert calibrated(0.9, shift=0.0) == pytest.approx(0.9)
    assert calibrated(0.9, shift=1.0) == pytest.approx(norm.cdf(norm.ppf(0.9) + 1.0))
    found = collection(Law(), 0.01, 1000)
    assert found.size == pytest.approx(1e4 * math.exp(0.5 * (norm.ppf(0.9) + SHIFT)))
    assert found.middle == pytest.approx(1e4 * math.exp(0.5 * MIDDLE))
    assert calibrated(0.5, shift=1.0, middle=0.25) == pytest.approx(norm.cdf(0.25))


def test_no_round_goes_beyond_twice_the_images_and_the_last_one_is_the_number_needed():
    found = collection(Law(), 0.01, 1000)
    steps = np.array([1000, *found.rounds])
    assert (steps[1:] / steps[:-1] <= 2.0 + 1e-2).all() and (np.diff(steps) > 0).all()
    assert found.rounds[-1] == math.ceil(found.size)
    assert len(found.rounds) == math.ceil(math.log2(found.size / 1000))


def test_what_is_reached_or_out_of_reach_has_no_rounds():
    assert collection(Law(), 0.5, 1000).rounds == ()
    never = collection(Law(reach=5000), 0.01, 1000)
    assert math.isinf(never.size) and never.rounds == ()


def test_the_shift_makes_a_probability_hold_where_it_did_not():
    rng = np.random.default_rng(0)
    reached = norm.cdf(rng.normal(0.7, 1.0, 20_000))  # a law that is sure too early
    shift = learned_shift(reached, np.ones(len(reached)))
    assert shift == pytest.approx(0.7, abs=0.05)
    assert np.mean(reached <= calibrated(0.9, shift)) == pytest.approx(0.9, abs=0.01)
    assert learned_shift(norm.cdf(rng.normal(-1, 1, 1000)), np.ones(1000)) == 0.0
    # Weights count: ten of weight 1 at 0.5 and one of weight 90 at 0.99.
    assert learned_shift([0.5] * 10 + [0.99], [1.0] * 10 + [90.0]) == pytest.approx(
        norm.ppf(0.99) - norm.ppf(0.9)
    )


@pytest.mark.parametrize("probability", [0.0, 1.0, -1.0])
def test_a_probability_lies_between_0_and_1(probability):
    with pytest.raises(ValueError, match="between 0 and 1"):
        calibrated(probability)
