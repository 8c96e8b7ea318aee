"""Batches are a pure function of the step, cover every image, and stay within their range."""

import numpy as np
import pytest

from studies.data import Batches, Split
from studies.data.batches import random_crop, random_flip, to_float
from studies.errors import UsageError

pytestmark = pytest.mark.once


def split(size=20, shape=(8, 12, 3)) -> Split:
    """Images whose first pixel is their own index."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (size, *shape), dtype=np.uint8)
    images[:, 0, 0, 0] = np.arange(size)
    return Split(images, np.arange(size) % 4)


@pytest.mark.parametrize("augmentation", ["none", "crop", "crop_flip"])
def test_a_step_gives_the_same_batch_at_any_time(augmentation):
    one = Batches(split(), np.arange(15), 8, seed=3, augmentation=augmentation)
    forward = [one.batch(step) for step in range(6)]
    other = Batches(split(), np.arange(15), 8, seed=3, augmentation=augmentation)
    for step in (5, 0, 3, 3, 1):
        for expected, found in zip(forward[step], other.batch(step), strict=True):
            np.testing.assert_array_equal(expected, found)


def test_batches_are_float_images_and_int_labels():
    data = split()
    images, labels = Batches(data, np.arange(20), 6, seed=0).batch(2)
    assert images.shape == (6, 8, 12, 3) and images.dtype == np.float32
    assert labels.shape == (6,) and labels.dtype == np.int32
    assert images.min() >= -1 and images.max() <= 1
    chosen = np.rint((images[:, 0, 0, 0] + 1) * 127.5).astype(int)
    np.testing.assert_array_equal(labels, data.labels[chosen])
    np.testing.assert_allclose(images, data.images[chosen] / 127.5 - 1, atol=1e-6)


def test_an_epoch_shows_every_image_of_the_subset_once():
    subset = np.array([3, 5, 7, 11, 13, 17])
    batches = Batches(split(), subset, 4, seed=1)
    shown = np.concatenate([batches.indices_of(step) for step in range(6)])  # 4 epochs of 6
    for epoch in shown.reshape(4, 6):
        assert sorted(epoch) == sorted(subset)
    assert len({tuple(epoch) for epoch in shown.reshape(4, 6)}) > 1


def test_the_order_is_the_documented_one():
    expected = np.random.default_rng([9, 1]).permutation(np.arange(10))
    found = Batches(split(), np.arange(10), 5, seed=9)
    np.testing.assert_array_equal(
        np.concatenate([found.indices_of(2), found.indices_of(3)]), expected
    )


def test_a_subset_smaller_than_a_batch_repeats_its_images():
    shown = Batches(split(), np.arange(3), 8, seed=0).indices_of(0)
    assert set(shown) == {0, 1, 2}
    assert sorted(np.bincount(shown)) == [2, 3, 3]


def test_another_seed_gives_another_order():
    orders = [Batches(split(), np.arange(20), 20, seed=s).indices_of(0) for s in (0, 1)]
    assert (orders[0] != orders[1]).any()


def test_a_crop_is_a_window_of_the_padded_image():
    images = split(size=64, shape=(16, 8, 1)).images
    padded = np.pad(images, [(0, 0), (2, 2), (1, 1), (0, 0)], mode="edge")
    cropped = random_crop(images, np.random.default_rng(0))
    places = set()
    for image, whole in zip(cropped, padded, strict=True):
        found = [
            (y, x)
            for y in range(5)
            for x in range(3)
            if (whole[y : y + 16, x : x + 8] == image).all()
        ]
        assert len(found) == 1
        places.add(found[0])
    assert len(places) > 10  # of 15


def test_a_flip_mirrors_about_half_of_the_images():
    images = split(size=200).images
    flipped = random_flip(images, np.random.default_rng(0))
    same = (flipped == images).all((1, 2, 3))
    mirrored = (flipped == images[:, :, ::-1]).all((1, 2, 3))
    assert (same ^ mirrored).all() and 70 < mirrored.sum() < 130
    assert images[0, 0, 0, 0] == 0  # the data itself is untouched


def test_both_ends_of_the_range_are_exact():
    values = to_float(np.array([0, 255], np.uint8))
    assert values.tolist() == [-1.0, 1.0]


def test_wrong_use_is_refused():
    with pytest.raises(UsageError, match="'flip' is unknown: choose none, crop, crop_flip"):
        Batches(split(), np.arange(3), 8, seed=0, augmentation="flip")
    with pytest.raises(UsageError, match="at least one image"):
        Batches(split(), np.arange(0), 8, seed=0)
