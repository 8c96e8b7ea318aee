"""Batches are a pure function of the step, cover every image, and stay within their range."""

import hashlib

import numpy as np
import pytest

from studies.data import Augmentation, Batches, Split
from studies.data.batches import to_float
from studies.data.scramble import Scramble
from studies.errors import UsageError

pytestmark = pytest.mark.once


def split(size=20, shape=(8, 12, 3)) -> Split:
    """Images whose first pixel is their own index."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (size, *shape), dtype=np.uint8)
    images[:, 0, 0, 0] = np.arange(size)
    return Split(images, np.arange(size) % 4)


ALL = Augmentation("crop_flip", 2, 9.0, random_erasing=0.5, mixup=0.4, cutmix=1.0, scramble=4)


@pytest.mark.parametrize(
    "augmentation", [Augmentation(), Augmentation("crop"), Augmentation("crop_flip"), ALL]
)
def test_a_step_gives_the_same_batch_at_any_time(augmentation):
    one = Batches(split(), np.arange(15), 8, 3, augmentation, num_classes=4)
    forward = [one.batch(step) for step in range(6)]
    other = Batches(split(), np.arange(15), 8, 3, augmentation, num_classes=4)
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


def test_both_ends_of_the_range_are_exact():
    values = to_float(np.array([0, 255], np.uint8))
    assert values.tolist() == [-1.0, 1.0]


def digest(batches, step):
    images, labels = batches.batch(step)
    return hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()[:16]


def test_batches_of_old_recipes_have_the_bits_that_they_had():
    # Of the code before there was more than crops and mirror images.
    for augmentation, bits in (
        ("none", "276daaf39ad5c7fe"),
        ("crop", "ca203e03834e9427"),
        ("crop_flip", "9f6d48ffcfbdce3d"),
    ):
        batches = Batches(split(), np.arange(15), 8, 3, Augmentation(augmentation))
        assert digest(batches, 5) == bits, augmentation


def test_each_change_draws_from_a_stream_of_its_own():
    """What one of them does is the same whether or not another is on."""
    data = split()
    whole, crossed = (
        Batches(data, np.arange(20), 20, 0, Augmentation(random_erasing=p, **more)).batch(1)[0]
        for p, more in ((0.0, {}), (0.5, {}))
    )
    with_crop = Batches(data, np.arange(20), 20, 0, Augmentation("crop", random_erasing=0.5))
    cropped = Batches(data, np.arange(20), 20, 0, Augmentation("crop"))
    erased = (whole != crossed).any(-1).sum((1, 2)) > 4
    assert 0 < erased.sum() < 20
    changed = (with_crop.batch(1)[0] != cropped.batch(1)[0]).any(-1).sum((1, 2)) > 4
    np.testing.assert_array_equal(changed, erased)


def test_mixed_labels_are_probabilities():
    batches = Batches(split(), np.arange(20), 10, 0, Augmentation(mixup=1.0), num_classes=5)
    images, targets = batches.batch(0)
    assert images.dtype == targets.dtype == np.float32
    assert targets.shape == (10, 5) and (targets >= 0).all()
    np.testing.assert_allclose(targets.sum(1), 1, rtol=1e-6)


def test_cells_are_permuted_last_and_as_those_of_other_splits():
    data = split()
    plain, moved = (
        Batches(data, np.arange(20), 20, 5, Augmentation("crop_flip", cutmix=1.0, scramble=c), 4)
        for c in (0, 2)
    )
    np.testing.assert_array_equal(moved.batch(2)[0], Scramble(2, 5, (8, 12, 3))(plain.batch(2)[0]))
    np.testing.assert_array_equal(moved.batch(2)[1], plain.batch(2)[1])


def test_wrong_use_is_refused():
    with pytest.raises(UsageError, match="'flip' is unknown: choose none, crop, crop_flip"):
        Batches(split(), np.arange(3), 8, 0, Augmentation("flip"))
    with pytest.raises(UsageError, match="need the number of classes"):
        Batches(split(), np.arange(3), 8, 0, Augmentation(mixup=0.1))
    with pytest.raises(UsageError, match="choose 1, 2, 4, or 0"):
        Batches(split(), np.arange(3), 8, 0, Augmentation(scramble=3))
    with pytest.raises(UsageError, match="at least one image"):
        Batches(split(), np.arange(0), 8, seed=0)
