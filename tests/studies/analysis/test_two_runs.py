"""The difference of two runs of one study: pooled over trials, against hand computations."""

import numpy as np
import pytest

from studies.analysis.intervals import difference
from studies.analysis.outcomes import Outcomes
from studies.analysis.two_runs import (
    complete,
    pooled_difference,
    pooled_over_seeds,
    predicted_alike,
)

pytestmark = pytest.mark.once
A, B = ("vit", 100), ("vit", 200)


def outcomes(seed: int, right: np.ndarray) -> Outcomes:
    number = len(right)
    image = np.arange(number)
    label = image % 2
    predicted = np.where(right, label, 1 - label)
    sure = np.full(number, 0.9)
    return Outcomes(seed, image, image, label, predicted, sure, sure)


def test_the_largest_full_grid_is_taken():
    assert complete([]) == ([], [])
    full = [(cell, seed) for cell in (A, B) for seed in (0, 1, 2)]
    assert complete(full) == ([A, B], [0, 1, 2])
    assert complete([*full[:3], (B, 1)]) == ([A], [0, 1, 2])  # three trials rather than two
    assert complete([(A, 0), (B, 0), (A, 1), (B, 1), (A, 2)]) == ([A, B], [0, 1])


def test_one_cell_is_the_difference_of_two_models(rng):
    one = {(A, seed): outcomes(seed, rng.random(200) < 0.8) for seed in range(3)}
    two = {(A, seed): outcomes(seed, rng.random(200) < 0.7) for seed in range(3)}
    found = pooled_difference(one, two, overlap=0.3).difference
    expected = difference(list(two.values()), list(one.values()), overlap=0.3)
    assert (found.mean, found.low, found.high) == (expected.mean, expected.low, expected.high)


def test_the_mean_is_that_of_all_trials_and_cells_of_opposite_signs_cancel():
    better, worse = np.ones(100, bool), np.arange(100) >= 20
    one = {(c, s): outcomes(s, worse if c == A else better) for c in (A, B) for s in (0, 1)}
    two = {(c, s): outcomes(s, better if c == A else worse) for c in (A, B) for s in (0, 1)}
    assert pooled_difference(one, two).difference.mean == pytest.approx(0.0)
    two |= {(B, s): outcomes(s, better) for s in (0, 1)}
    found = pooled_difference(one, two).difference
    assert found.mean == pytest.approx(0.1)  # 20 points in one cell, none in the other
    assert found.low < 0.1 < found.high and found.seeds == 2


def test_more_cells_tell_more(rng):
    """Trials that scatter by themselves: the mean of four has half the interval of one."""

    def side(cells):
        return {(c, s): outcomes(s, rng.random(400) < 0.7) for c in cells for s in range(5)}

    many = [("vit", size) for size in (1, 2, 3, 4)]
    widths = []
    for cells in (many[:1], many):
        found = [pooled_difference(side(cells), side(cells)).difference for _ in range(20)]
        widths.append(np.mean([f.high - f.low for f in found]))
    assert 1.5 < widths[0] / widths[1] < 3.0


def test_the_interval_holds_the_truth_where_the_runs_differ_by_chance_alone(rng):
    """Hard images are hard for all, a seed is for both runs, and every trial scatters by itself."""
    cells, number, studies = [("vit", size) for size in (1, 2, 3)], 200, 80
    held = 0
    for _ in range(studies):
        hard, sides = rng.normal(size=number), ({}, {})
        for seed in range(3):
            for cell in cells:
                common = 1.0 + rng.normal(0, 0.05)
                for side in sides:
                    level = common + rng.normal(0, 0.05)
                    side[cell, seed] = outcomes(seed, hard + rng.normal(0, 0.7, number) < level)
        found = pooled_difference(*sides).difference
        held += found.low <= 0.0 <= found.high
    # Of 80 intervals at 90 % fewer than 64 would hold it less than once in 300 times.
    assert held >= 64


def test_nothing_shared_and_different_images_give_nothing():
    right = np.ones(10, bool)
    assert pooled_difference({(A, 0): outcomes(0, right)}, {(A, 1): outcomes(1, right)}) is None
    both = {(A, 0): outcomes(0, right), (B, 0): outcomes(0, right[:6])}
    assert pooled_difference(both, both) is None
    assert pooled_over_seeds({}, {}) is None


def test_accuracies_alone_are_paired_by_seed():
    one = {(c, s): 0.5 + 0.1 * s for c in (A, B) for s in range(3)}
    two = {place: value + (0.02 if place[0] == A else 0.04) for place, value in one.items()}
    found = pooled_over_seeds(one, two).difference
    assert found.mean == pytest.approx(0.03) and found.paired and found.seeds == 3


def test_the_number_is_that_of_the_trials_which_count():
    right = np.ones(10, bool)
    places = [(A, 0), (B, 0), (A, 1), (B, 1), (A, 2)]  # the grid of two cells and two seeds
    said = {place: outcomes(place[1], right) for place in places}
    assert pooled_difference(said, said).trials == 4
    values = dict.fromkeys(places, 0.5)
    assert pooled_over_seeds(values, values).trials == 4


def test_predictions_are_matched_by_image():
    one = outcomes(0, np.array([True, True, False, False]))
    order = np.array([2, 0, 3, 1])
    fields = {
        name: getattr(one, name)[order] for name in one.__dataclass_fields__ if name != "seed"
    }
    assert predicted_alike(one, Outcomes(seed=0, **fields)) == 1.0
    assert predicted_alike(one, outcomes(0, np.array([True, False, False, False]))) == 0.75
