"""Where the lead changes, by hand."""

import math

import pandas as pd
import pytest

from studies.analysis import Crossing, Estimate
from studies.analysis.findings import Pair
from studies.analysis.variance import Variance
from studies.analysis.verdict import decide
from studies.report.duel import compare
from tests.studies.report.simulated import rises

pytestmark = pytest.mark.once


def duel(sizes, means, half, laws=None, known=("a", "b")):
    pair = Pair("a", "b", pd.DataFrame(), laws, rises(sizes, means, half))
    return compare(pair, dict.fromkeys(known))


def test_the_crossing_lies_between_in_log_size():
    """a - b rises from -0.2 at 100 to 0.2 at 10,000: 0 at 1,000, its ends (half 0.1) at 10^(2.5, 3.5)."""
    found = duel([100, 10_000], [-0.2, 0.2], 0.1)
    assert found.leader == "a" and found.leaders == {100: "b", 10_000: "a"}
    crossing = found.overtaking
    assert crossing.size == pytest.approx(1000)
    assert crossing.low == pytest.approx(10**2.5) and crossing.high == pytest.approx(10**3.5)
    assert crossing.better_below == "b" and crossing.kind == "measured"


def test_the_other_way_round_it_is_the_same():
    found = duel([100, 10_000], [0.2, -0.2], 0.1)
    assert found.leader == "b" and found.overtaking.better_below == "a"
    assert found.overtaking.size == pytest.approx(1000)


def test_sizes_between_at_which_nobody_is_ahead_widen_the_interval():
    found = duel([100, 1000, 10_000], [-0.2, 0.05, 0.2], 0.1)
    assert found.leaders == {100: "b", 1000: None, 10_000: "a"}
    assert found.overtaking.size == pytest.approx(10 ** (2 + 0.2 / 0.25))
    # The upper end rises from -0.1 to 0.15 before 1,000, the lower from -0.05 to 0.1 after it.
    assert found.overtaking.low == pytest.approx(10 ** (2 + 0.1 / 0.25))
    assert found.overtaking.high == pytest.approx(10 ** (3 + 0.05 / 0.15))


def test_means_that_cross_are_no_crossing_where_one_was_never_seen_ahead():
    assert duel([100, 10_000], [-0.05, 0.2], 0.1).overtaking is None
    assert duel([100, 10_000], [-0.2, 0.05], 0.1).overtaking is None


FORECAST = Crossing(1e5, 5e4, 2e5, "extrapolated", "b")


def test_a_forecast_is_of_the_present_leader_and_beyond_the_data():
    sizes, means = [100, 10_000], [-0.2, -0.1]
    assert duel(sizes, means, 0.05, FORECAST).forecast == FORECAST
    for other in (
        Crossing(1e5, 5e4, 2e5, "extrapolated", "a"),  # the laws see the other one ahead
        Crossing(50, 20, 80, "extrapolated", "b"),
        Crossing(2e5, 1e5, 4e5, "extrapolated", "b"),  # more than ten times the largest size
        Crossing(1e5, 0.0, math.inf, "extrapolated", "b"),
        Crossing(1e5, None, None, "extrapolated", "b"),
        Crossing(500, 400, 600, "measured", "b"),
        Crossing(None, None, None, "none", "b"),
        None,
    ):
        assert duel(sizes, means, 0.05, other).forecast is None
    assert duel(sizes, [-0.2, 0.0], 0.05, FORECAST).forecast is None  # nobody is ahead
    assert duel(sizes, means, 0.05, FORECAST, known=("a",)).forecast is None  # b has no law


def undecided(mean, error):
    """Two models on 10,000 test images and three seeds, between which nothing but the images differs."""
    parts = Variance(
        mean, mean, 3, 10_000, between=0.0, images=error**2, within=3 * error**2,
        images_freedom=9999.0, correlation=0.0, tested=10_000.0, tested_groups=10_000.0,
    )  # fmt: skip
    half = parts.half_width(0.9)
    estimate = Estimate(mean, mean - half, mean + half, error, 3, 0.9, True, 10_000, parts)
    return compare(Pair("a", "b", pd.DataFrame(), None, {500: decide("a", "b", 500, estimate)}), {})


def test_what_would_tell_is_more_than_what_is_there():
    """Four of five studies show 1.645 + 0.842 = 2.486 standard errors.

    Of 0.3526 points these are 0.877: this study shows a point already. To show the 0.5 that it sees takes
    (0.877 / 0.5)^2 = 3.075 times the test images, or as many times the seeds, which are 9.2.
    """
    found = undecided(0.005, 0.003526)
    assert found.cause == "not told apart" and not found.as_good
    assert found.need.target == 0.005 and found.need.seeds == 10
    assert 30_740 <= found.need.images <= 30_760 * 1.05
    # Of 0.5 points they are 1.24: a point takes 1.55 times what is there.
    found = undecided(-0.005, 0.005)
    assert found.need.target == 0.01 and found.need.seeds == 5
    assert 15_400 <= found.need.images <= 15_500 * 1.05


def test_where_a_point_is_ruled_out_nothing_is_asked_for():
    found = undecided(0.001, 0.003526)  # at most 0.1 + 0.58 points
    assert found.as_good and found.need is None
