import math

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from studies.analysis import accuracy, difference, overlap
from tests.studies.analysis.simulated import outcomes

pytestmark = pytest.mark.once


def seeds(hits, **keys):
    return [outcomes(row, seed, **keys) for seed, row in enumerate(hits)]


def test_one_seed_is_nearly_wilsons_interval():
    # 120 of 150: Wilson's 90 % interval with z = 1.644854 is 0.741124 to 0.848280 (by hand:
    # centre (0.8 + 1.35277 / 150) / (1 + 2.70554 / 150), half width 0.0535780).
    # t with 149 degrees of freedom and n - 1 make it a per cent wider.
    found = accuracy([outcomes(np.arange(150) < 120)])
    assert found.mean == 0.8 and found.seeds == 1 and found.images == 150
    assert found.low == pytest.approx(0.741124, abs=0.001)
    assert found.high == pytest.approx(0.848280, abs=0.001)
    assert found.note == "one seed: the test set's error alone" and math.isnan(found.sd)


def test_a_model_without_errors_may_make_some():
    found = accuracy(seeds([np.ones(150)] * 3))
    # The rule of three, for 90 %: 2.3 to 3 errors in 150 are not excluded.
    assert found.mean == found.high == 1.0
    assert 0.978 < found.low < 0.987
    wrong = accuracy(seeds([np.zeros(150)] * 3))
    assert (wrong.low, wrong.high) == pytest.approx((1 - found.high, 1 - found.low))


def test_models_with_equal_predictions_still_have_a_width():
    hits = np.arange(150) < 140
    found = difference(seeds([hits] * 3), seeds([hits] * 3))
    assert found.mean == 0.0 and found.paired and found.images == 150
    assert found.low == pytest.approx(-found.high)
    # Half an image more on either side: t(149; 95 %) sqrt(0.5 + 0.5) / 150.
    assert found.high == pytest.approx(1.6551 / 150, rel=1e-3)


@pytest.mark.parametrize("balanced", [False, True])
def test_a_difference_is_the_mirror_of_its_opposite(rng, balanced):
    label = rng.integers(0, 3, 60)
    a, b = (seeds(rng.random((3, 60)) < p, label=label) for p in (0.9, 0.7))
    one, two = difference(a, b, balanced, 0.3), difference(b, a, balanced, 0.3)
    assert (one.mean, one.low, one.high) == pytest.approx((-two.mean, -two.high, -two.low))


@pytest.mark.parametrize("p", [0.0, 0.02, 0.5, 0.98, 1.0])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_intervals_hold_their_value_have_a_width_and_grow_with_the_level(rng, p, count):
    label = rng.integers(0, 4, 100)
    a, b = (seeds(rng.random((count, 100)) < p, label=label) for _ in range(2))
    for find in (
        lambda level: accuracy(a, True, 0.9, level),
        lambda level: difference(a, b, level=level),
    ):
        last = 0.0
        for level in (0.5, 0.8, 0.9, 0.99):
            found = find(level)
            assert found.low <= found.mean <= found.high and -1.0 <= found.low <= found.high <= 1.0
            assert found.high - found.low > last
            last = found.high - found.low
    assert accuracy(a).low >= 0.0 and accuracy(a).high <= 1.0


def test_one_seed_decides_as_mcnemars_exact_test_does():
    apart = total = 0
    for more in range(31):
        for less in range(31):
            value = np.zeros((2, 200), dtype=bool)
            value[0, :more] = value[1, more : more + less] = True
            value[:, 100:] = True
            found = difference([outcomes(value[0])], [outcomes(value[1])])
            told = not found.low <= 0.0 <= found.high
            p = binomtest(more, more + less).pvalue if more + less else 1.0
            apart, total = apart + (told != (p < 0.1)), total + 1
            assert not (told and p > 0.16)
            assert told or p > 0.05
    assert apart < 0.05 * total


def test_the_width_of_a_difference_by_hand():
    # 12 images only a has right, 4 only b, of 100: (12 - 4) / 100 -+ z sqrt(...): with half an
    # image added to either side the discordant 17 give sqrt(17 - 0.64) / 100 = 0.040447.
    value = np.zeros((2, 100), dtype=bool)
    value[0, :12] = value[1, 12:16] = True
    found = difference([outcomes(value[0])], [outcomes(value[1])])
    assert found.mean == pytest.approx(0.08)
    assert found.high - found.mean == pytest.approx(norm.ppf(0.95) * 0.040447, rel=0.02)


def test_seeds_that_scatter_widen_the_interval():
    calm = seeds([np.arange(1000) < 800, np.arange(1000) < 801, np.arange(1000) < 799])
    wild = seeds([np.arange(1000) < 900, np.arange(1000) < 700, np.arange(1000) < 800])
    one, two = accuracy(calm), accuracy(wild)
    assert one.mean == pytest.approx(two.mean)
    # t(2) x 0.1 / sqrt(3) is 0.169 each side; the images' error is 0.02.
    assert two.high - two.low > 0.25 and one.high - one.low < 0.05


def test_shared_training_images_widen_it_further_and_the_same_images_are_told():
    wild = seeds([np.arange(1000) < 850, np.arange(1000) < 750, np.arange(1000) < 800])
    widths = []
    for share in (0.0, 0.5, 0.9, 1.0):
        found = accuracy(wild, overlap=share)
        widths.append(found.high - found.low)
        assert bool(found.note) == (share == 1.0)
    assert widths == sorted(widths) and widths[0] < widths[-1]


def test_shares_of_the_training_images():
    assert overlap(500, 50_000) == 0.01 and overlap(7, 7) == 1.0
    with pytest.raises(ValueError, match="between 1 and the pool's 10 images; got 11"):
        overlap(11, 10)


def test_what_cannot_be_estimated_is_refused():
    one = [outcomes([1, 0])]
    with pytest.raises(ValueError, match="no seed in common"):
        difference(one, [outcomes([1, 0], seed=1)])
    with pytest.raises(ValueError, match="level must lie between 0 and 1; got 90"):
        accuracy(one, level=90)
    with pytest.raises(ValueError, match="one seed or more"):
        accuracy([])
