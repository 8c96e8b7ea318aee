"""Scrambling permutes cells, the same way for every image and every split."""

import numpy as np
import pytest

from studies.data.dataset import DatasetInfo, Replicate, Split
from studies.data.scramble import Scramble, check_scramble, scrambled
from studies.errors import UsageError

pytestmark = pytest.mark.once

SHAPE = (8, 12, 3)


def some(size=5):
    return np.random.default_rng(0).integers(0, 256, (size, *SHAPE), dtype=np.uint8)


def cells(image, cell):
    """The image's cells in row-major order."""
    rows = np.split(image, image.shape[0] // cell)
    return [part for row in rows for part in np.split(row, image.shape[1] // cell, axis=1)]


@pytest.mark.parametrize("cell", [1, 2, 4])
def test_cells_are_permuted_and_whole(cell):
    images = some()
    found = Scramble(cell, 3, SHAPE)(images)
    orders = []
    for image, moved in zip(images, found, strict=True):
        before = [part.tobytes() for part in cells(image, cell)]
        orders.append([before.index(part.tobytes()) for part in cells(moved, cell)])
    assert sorted(orders[0]) == list(range(len(orders[0]))) != orders[0]
    assert all(order == orders[0] for order in orders)


def test_it_is_a_function_of_seed_grid_and_cell():
    images = some()
    one = Scramble(2, 3, SHAPE)(images)
    np.testing.assert_array_equal(one, Scramble(2, 3, SHAPE)(images))
    assert (one != Scramble(2, 4, SHAPE)(images)).any()
    # Whatever the channels and the type: an image is scrambled as its float32 form is.
    np.testing.assert_array_equal(
        Scramble(2, 3, (8, 12, 1))(images[..., :1].astype(np.float32)), one[..., :1]
    )


def test_all_permutations_of_four_cells_are_drawn():
    corners = np.arange(4, dtype=np.uint8).reshape(1, 2, 2, 1)
    drawn = {Scramble(1, seed, (2, 2, 1))(corners).tobytes() for seed in range(300)}
    assert len(drawn) == 24


def test_validation_and_test_images_are_scrambled_when_they_are_read():
    images = some(9)
    split = Split(images, np.arange(9) % 2)
    info = DatasetInfo("x", "0" * 16, SHAPE, ("a", "b"), {})
    whole = Replicate(info, split, split, split, np.arange(9))
    moved = scrambled(whole, 4, seed=1)
    expected = Scramble(4, 1, SHAPE)(images)
    assert moved.train is split and scrambled(whole, 0, seed=1) is whole
    for part in (moved.validation, moved.test):
        assert part.images.shape == images.shape and len(part.images) == len(part) == 9
        np.testing.assert_array_equal(part.images[np.array([3, 0])], expected[[3, 0]])
        np.testing.assert_array_equal(part.images[2:5], expected[2:5])
        np.testing.assert_array_equal(part.images[2], expected[2])
        np.testing.assert_array_equal(np.asarray(part.images), expected)
        np.testing.assert_array_equal(part.labels, split.labels)


def test_cells_that_do_not_divide_an_image_are_refused():
    check_scramble(0, (28, 28, 1))
    check_scramble(7, (28, 28, 1))
    with pytest.raises(UsageError, match=r"recipe.scramble 5: .* choose 1, 2, 4, 7, 14, or 0"):
        check_scramble(5, (28, 28, 1))
    with pytest.raises(UsageError, match="more than one cell"):
        check_scramble(28, (28, 28, 1))
    check_scramble(8, (8, 16, 1))
    with pytest.raises(UsageError, match="choose 1, 2, 4, or 0"):
        check_scramble(8, (12, 8, 1))
