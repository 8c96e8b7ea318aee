import math

import numpy as np
import pytest

from studies.analysis import Estimate, difference
from studies.analysis.verdict import (
    MOST_SEEDS,
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


def test_what_would_tell_is_told_in_seeds_and_images(rng):
    difficulty = rng.random(200)
    a = [outcomes(rng.random(200) < 0.3 + 0.6 * difficulty, s) for s in range(3)]
    b = [outcomes(rng.random(200) < 0.35 + 0.6 * difficulty, s) for s in range(3)]
    seen = difference(a, b)
    need = what_would_tell(seen, 0.05)
    # By hand, images alone: (1.645 + 0.842)^2 variance / 0.05^2 as many, a little more for t.
    share = (1.645 + 0.842) ** 2 * seen.variance.images / 0.05**2
    if seen.variance.seed_effect == 0.0:
        assert need.images == pytest.approx(200 * max(share, 1.0), rel=0.1)
    assert need.target == 0.05 and need.seeds is not None and 3 <= need.seeds <= MOST_SEEDS
    harder = what_would_tell(seen, 0.02)
    assert harder.images > need.images and (harder.seeds or MOST_SEEDS + 1) >= need.seeds


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
