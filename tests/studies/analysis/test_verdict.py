import math

import numpy as np
import pytest

from studies.analysis import Estimate, difference
from studies.analysis.verdict import (
    MOST_SEEDS,
    POINT,
    Need,
    baseline,
    decide,
    is_uneven,
    learned_nothing,
    what_would_tell,
)
from tests.studies.analysis.simulated import outcomes

pytestmark = pytest.mark.once


def estimate(mean, low, high):
    return Estimate(mean, low, high, 0.01, 3)


@pytest.mark.parametrize(
    ("low", "high", "leader"),
    [
        (0.01, 0.03, "vit"),
        (-0.03, -0.01, "resnet"),
        (-0.01, 0.03, None),
        (0.0, 0.03, None),  # an interval that ends at 0 holds it
        (-0.03, 0.0, None),
        (math.nan, math.nan, None),
    ],
)
def test_three_answers(low, high, leader):
    found = decide("vit", "resnet", 500, estimate(0.01, low, high))
    assert found.leader == leader and found.undecided == (leader is None)
    mirrored = decide("resnet", "vit", 500, estimate(-0.01, -high, -low))
    assert mirrored.leader == leader


def test_nothing_is_said_about_a_model_that_is_barred():
    clear = estimate(0.2, 0.1, 0.3)
    found = decide("a", "b", 500, clear, {"b": ["learned nothing"], "c": ["undertrained"]})
    assert found.leader is None and not found.undecided
    assert found.barred == {"b": ("learned nothing",)}
    assert decide("a", "b", 500, clear, {"a": (), "c": ["undertrained"]}).leader == "a"


def test_uneven_classes_and_what_guessing_reaches():
    labels = np.repeat([0, 1, 2], [20, 10, 10])
    assert not is_uneven(labels)  # 2 : 1 is not above 2 : 1
    assert is_uneven(labels[:-1])
    assert baseline(labels, balanced=False) == 0.5
    assert baseline(labels, balanced=True) == pytest.approx(1 / 3)


def test_a_model_must_be_above_the_baseline():
    assert learned_nothing(estimate(0.12, 0.10, 0.14), 0.10)
    assert not learned_nothing(estimate(0.12, 0.11, 0.14), 0.10)
    assert not learned_nothing(estimate(0.12, math.nan, math.nan), 0.10)
    assert learned_nothing(estimate(0.09, math.nan, math.nan), 0.10)
    assert not learned_nothing(estimate(0.12, 0.0, 1.0), math.nan)  # a baseline that is not known


def test_a_test_set_large_enough_by_hand():
    # 20 of 200 images only a has right, 10 only b: difference 0.05, variance (30 / 200 - 0.0025) /
    # 199 and, of half an image on either side, 0.5 (0.95^2 + 1.05^2) / 200^2: 0.0007663. To be seen
    # in four of five studies it must be t(199; 95 %) + z(80 %) = 1.6525 + 0.8416 standard errors:
    # 200 x 2.4941^2 x 0.0007663 / 0.05^2 = 382 images, and 25 times as many for 0.01.
    a, b = np.zeros(200), np.zeros(200)
    a[:20] = b[20:30] = 1
    seen = difference([outcomes(a)], [outcomes(b)])
    need = what_would_tell(seen)
    assert need.target == pytest.approx(0.05) and need.seeds is None
    assert 382 <= need.images <= 382 * 1.05
    assert 25 * 382 <= what_would_tell(seen, POINT).images <= 25 * 382 * 1.05


def test_more_seeds_and_more_images_both_help(rng):
    difficulty = rng.random(200)
    a, b = (
        [outcomes(rng.random(200) < low + 0.6 * difficulty, s) for s in range(3)]
        for low in (0.30, 0.35)
    )
    seen = difference(a, b)
    need, harder = (what_would_tell(seen, target) for target in (0.05, 0.04))
    assert 3 < need.seeds < harder.seeds <= MOST_SEEDS and 200 < need.images < harder.images
    assert what_would_tell(seen, 0.9) == Need(0.9, seeds=3, images=200)


def test_more_seeds_do_not_make_up_for_a_small_shared_test_set():
    # Every seed errs on the same images: 20 seeds tell no more than one.
    a = [outcomes(np.arange(100) >= 10, s) for s in range(3)]
    b = [outcomes((np.arange(100) >= 20) | (np.arange(100) < 7), s) for s in range(3)]
    need = what_would_tell(difference(a, b), 0.03)
    assert need.seeds is None and need.images > 1000


def test_where_nothing_is_known_nothing_is_advised():
    assert what_would_tell(estimate(0.01, -0.1, 0.1)) is None
    same = [outcomes([1, 0, 1, 1], s) for s in range(2)]
    assert what_would_tell(difference(same, same)) is None
    assert what_would_tell(difference(same[:1], same[:1]), 0.01).seeds is None
    with pytest.raises(ValueError, match="0 or more; got -0"):
        what_would_tell(difference(same, same), -0.1)


def one_in(number, seed, offset=0, group=None, image=None):
    """1,200 images of which every `number`th is wrong."""
    right = (np.arange(1200) + offset) % number > 0
    return outcomes(right, seed, image=image, group=group)


def test_what_would_tell_is_told_in_images_and_beside_them_in_groups():
    """Four images a group: 1,200 images in 300 groups."""
    group = np.arange(1200) // 4
    a = [one_in(7, seed, group=group) for seed in range(3)]
    b = [one_in(6, seed, 1, group=group) for seed in range(3)]
    seen = difference(a, b)
    assert (seen.images, seen.variance.groups) == (1200, 300)
    assert what_would_tell(seen, 0.9) == Need(0.9, seeds=3, images=1200, groups=300)
    need = what_would_tell(seen, 0.01)
    assert need.images > 1200 and need.images == pytest.approx(4 * need.groups, abs=4)


def test_a_test_set_is_as_large_as_a_seed_s_however_many_others_there_are():
    """Test sets drawn anew: three seeds with 1,200 images each, no image twice."""
    image = [np.arange(1200) + 1200 * seed for seed in range(3)]
    a = [one_in(7, seed, image=image[seed]) for seed in range(3)]
    b = [one_in(6, seed, 1, image=image[seed]) for seed in range(3)]
    seen = difference(a, b)
    assert (seen.images, seen.variance.groups) == (1200, 3600)
    assert what_would_tell(seen, 0.9) == Need(0.9, seeds=3, images=1200)


def test_of_test_sets_of_different_sizes_the_mean_counts():
    a, b = (
        [outcomes(np.arange(n) % k > 0, seed) for seed, n in enumerate((100, 201))] for k in (4, 5)
    )
    seen = difference(a, b)
    assert seen.variance.tested == 150.5 and what_would_tell(seen, 0.9).images == 151
