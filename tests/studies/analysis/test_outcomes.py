import numpy as np
import pytest

from studies.analysis import Outcomes
from studies.analysis.outcomes import right, right_minus_right
from tests.studies.analysis.simulated import outcomes

pytestmark = pytest.mark.once


def test_models_are_paired_image_by_image_in_any_order():
    a = [outcomes([1, 0, 1], 0, image=[3, 1, 2]), outcomes([1, 1, 1], 1, image=[1, 2, 3])]
    b = [outcomes([0, 0, 1], 1, image=[3, 2, 1]), outcomes([1, 1, 0], 0, image=[1, 2, 3])]
    first, second = right_minus_right(a, b)
    assert (first.seed, second.seed) == (0, 1)
    # Seed 0, images 1, 2, 3: a has 0, 1, 1 and b has 1, 1, 0. Seed 1: 1, 1, 1 and 1, 0, 0.
    assert first.value.tolist() == [-1.0, 0.0, 1.0]
    assert second.value.tolist() == [0.0, 1.0, 1.0]
    assert first.group.tolist() == [1, 2, 3]


def test_only_seeds_in_common_are_paired():
    a = [outcomes([1, 0], seed) for seed in (0, 1, 2)]
    assert [s.seed for s in right_minus_right(a, [outcomes([1, 1], 2), outcomes([0, 1], 5)])] == [2]
    assert right_minus_right(a, []) == []


def test_different_test_images_cannot_be_paired():
    with pytest.raises(ValueError, match="seed 0 were tested on different images"):
        right_minus_right([outcomes([1, 0])], [outcomes([1, 0], image=[5, 6])])
    with pytest.raises(ValueError, match="different images or labels"):
        right_minus_right([outcomes([1, 0])], [outcomes([1, 0], label=[0, 1])])


def test_a_seed_twice_is_refused():
    with pytest.raises(ValueError, match=r"seeds \[4, 4\]"):
        right([outcomes([1, 0], 4), outcomes([1, 0], 4)])


def test_arrays_that_do_not_fit_are_refused():
    one, two = np.arange(1), np.arange(2)
    with pytest.raises(ValueError, match="flat arrays of one length"):
        Outcomes(0, two, two, two, two, two, one)
    with pytest.raises(ValueError, match="no test image"):
        Outcomes(0, *[np.arange(0)] * 6)
    with pytest.raises(ValueError, match="more than once"):
        Outcomes(0, two * 0, two, two, two, two, two)
