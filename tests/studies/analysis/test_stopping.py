"""When seeds may stop: its decisions by hand, and on simulated studies the bars of every verdict."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t

from studies.analysis.coverage import (
    FALSE_WINNER,
    WRONG_WINNER,
    missed_by_stopping,
    simulate_stopping,
    stopping_markdown,
    worlds,
)
from studies.analysis.intervals import difference_of
from studies.analysis.outcomes import Scores
from studies.analysis.stopping import MOST_SEEDS, settled
from tests.studies.analysis.test_coverage_of_intervals import error

pytestmark = pytest.mark.once


def scores(rates, images=2000):
    """A seed a rate: so many images, of a thousand, on which a alone is right."""
    return [
        Scores(
            seed,
            np.repeat(
                [1.0, 0.0], [round(rate * images / 1000), images - round(rate * images / 1000)]
            ),
            seed * images + np.arange(images),
            np.zeros(images, int),
        )
        for seed, rate in enumerate(rates)
    ]


def shared(better, worse, images):
    """Three seeds on one test set: images on which a alone, and on which b alone is right."""
    value = np.repeat([1.0, -1.0, 0.0], [better, worse, images - better - worse])
    each = Scores(0, value, np.arange(images), np.zeros(images, int))
    return [replace(each, seed=seed) for seed in range(3)]


def judged(rates, most=MOST_SEEDS):
    return settled(difference_of(scores(rates), False, 0.5, 0.9), most)


def test_a_lead_far_beyond_all_scatter_settles_it_from_three_seeds_on():
    assert judged([80, 81]) != "ahead"
    assert judged([80, 81, 80]) == "ahead"


def test_a_lead_that_the_report_would_tell_is_not_enough_to_stop():
    # Student's t of the seeds at 90 %, but not at 99.9 %.
    rates = [30, 60, 45, 40]
    spread = np.std(rates, ddof=1) / 2
    assert t.ppf(0.95, 3) * spread < np.mean(rates) < t.ppf(0.9995, 3) * spread
    found = difference_of(scores(rates), False, 0.5, 0.9)
    assert found.low > 0 and settled(found) is None


def test_models_within_a_point_are_as_good():
    assert settled(difference_of(shared(4, 4, 2000), False, 0.5, 0.9)) == "as good"
    assert settled(difference_of(shared(80, 80, 2000), False, 0.5, 0.9)) != "as good"


def test_what_no_number_of_seeds_would_tell_is_out_of_reach():
    # Two images of a hundred apart, and 58 on which they differ: that is the test set's own chance.
    assert settled(difference_of(shared(30, 28, 100), False, 0.5, 0.9)) == "out of reach"


def test_one_seed_settles_nothing():
    assert judged([500]) is None


def test_simulated_studies_that_stop_name_the_right_model():
    world = worlds()["anew, data alone, near 99 %, 150"]
    studies = 60
    table = simulate_stopping(world, studies, np.random.default_rng(0)).assign(world="one")
    assert MOST_SEEDS in list(table["most"])
    assert (table["winner"] <= FALSE_WINNER + error(FALSE_WINNER, studies)).all()
    assert (table["wrong"] <= WRONG_WINNER + error(WRONG_WINNER, studies)).all()
    assert (table["seeds"] <= table["most"]).all() and table["power"].is_monotonic_increasing
    assert "Missed" not in stopping_markdown(table.assign(winner=0.1))
    bad = table.assign(winner=0.2, wrong=0.06)
    assert len(missed_by_stopping(bad)) == 4 and "Missed" in stopping_markdown(bad)
