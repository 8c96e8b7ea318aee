"""What "auto" stands for."""

import pytest

from studies.study.defaults import default_seeds, default_sizes

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("train", "classes", "sizes"),
    [
        (560, 16, (70, 140, 280, 560)),  # four, though the smallest is below 100
        (1599, 10, (200, 400, 800, 1599)),  # one more would begin below 100
        (1600, 10, (100, 200, 400, 800, 1600)),
        (3000, 100, (380, 750, 1500, 3000)),  # and here below four images a class
        (54_000, 10, (840, 1700, 3400, 6800, 14_000, 27_000, 54_000)),
        (10**6, 2, (16_000, 31_000, 62_000, 120_000, 250_000, 500_000, 10**6)),
        (40, 10, (10, 16, 25, 40)),  # no less than one image a class
        (12, 10, (10, 11, 12)),
        (3, 3, (3,)),
    ],
)
def test_sizes_halve_from_all_images_down(train, classes, sizes):
    assert default_sizes(train, classes) == sizes


@pytest.mark.parametrize("classes", [2, 7, 100])
def test_there_are_four_to_seven_sizes_that_the_data_can_give(classes):
    for train in range(classes + 3, 5000, 37):
        sizes = default_sizes(train, classes)
        assert 4 <= len(sizes) <= 7 and sizes[-1] == train, train
        assert sizes[0] >= classes and list(sizes) == sorted(set(sizes)), train


def test_a_small_test_set_gets_more_seeds():
    assert [default_seeds(test) for test in (150, 1999, 2000, 10_000)] == [5, 5, 3, 3]
