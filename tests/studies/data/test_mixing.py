"""Mixup, CutMix and erasing against what their papers say, image by image."""

import numpy as np
import pytest

from studies.data.erasing import random_erasing
from studies.data.mixing import box, mix

pytestmark = pytest.mark.once

SIZE, SHAPE = 16, (12, 10, 1)


def some():
    """Each image of one value, which is its own; each with a label of its own."""
    values = np.linspace(-1, 1, SIZE, dtype=np.float32)
    return np.broadcast_to(values[:, None, None, None], (SIZE, *SHAPE)).copy(), np.arange(SIZE)


def test_mixup_mixes_images_and_labels_in_the_same_shares():
    images, labels = some()
    shares = set()
    for seed in range(20):
        mixed, targets = mix(images, labels, SIZE, 0.4, 0.0, np.random.default_rng(seed))
        assert mixed.dtype == targets.dtype == np.float32
        # The label's probabilities say which values are in the image, and how much of each.
        expected = targets @ images[:, 0, 0, 0]
        np.testing.assert_allclose(
            mixed, np.broadcast_to(expected[:, None, None, None], mixed.shape), atol=1e-6
        )
        np.testing.assert_allclose(targets.sum(1), 1, rtol=1e-6)
        own = {round(float(share), 5) for share in targets[labels, labels]} - {1.0}
        assert len(own) == 1  # one share a batch
        shares |= own
        assert ((targets > 0).sum(0) <= 2).all()  # every image is partner of one
    assert len(shares) == 20


def test_shares_are_of_the_beta_distribution():
    images, labels = some()
    drawn = []
    for seed in range(3000):
        _, targets = mix(images[:2], labels[:2], 2, 0.5, 0.0, np.random.default_rng(seed))
        if targets[0, 0] < 1:
            drawn.append(targets[0, 0])
    # Beta(a, a) has mean 1/2 and variance 1 / (4 (2 a + 1)); pairs that are no pairs are left out.
    assert np.mean(drawn) == pytest.approx(0.5, abs=0.03)
    assert np.var(drawn) == pytest.approx(1 / 8, rel=0.06)


def test_cutmix_puts_a_box_of_another_image_in_the_share_of_the_label():
    images, labels = some()
    corners = set()
    for seed in range(30):
        mixed, targets = mix(images.copy(), labels, SIZE, 0.0, 1.0, np.random.default_rng(seed))
        for image, target in zip(mixed, targets, strict=True):
            values, counts = np.unique(image, return_counts=True)
            found = {
                int(np.flatnonzero(images[:, 0, 0, 0] == v)[0]): c for v, c in zip(values, counts)
            }
            assert set(found) == set(np.flatnonzero(target > 0)) and len(found) <= 2
            for label, count in found.items():
                assert target[label] == pytest.approx(count / 120, abs=1e-6)
        other = np.argwhere(mixed[0, ..., 0] != images[0, 0, 0, 0])
        if len(other):
            (top, left), (bottom, right) = other.min(0), other.max(0)
            assert len(other) == (bottom - top + 1) * (right - left + 1)  # a rectangle
            corners.add((top, left))
    assert len(corners) > 10


def test_a_box_has_the_papers_size_where_it_lies_inside():
    for seed in range(50):
        rows, columns = box((200, 100), 0.75, np.random.default_rng(seed))
        if min(rows.start, columns.start, 200 - rows.stop, 100 - columns.stop) > 0:
            assert (rows.stop - rows.start, columns.stop - columns.start) == (100, 50)
    rows, columns = box((20, 10), 1.0, np.random.default_rng(0))
    assert rows.start == rows.stop and columns.start == columns.stop


def test_with_both_a_batch_has_one_by_halves():
    images, labels = some()
    cuts = 0
    for seed in range(400):
        mixed, _ = mix(images.copy(), labels, SIZE, 1.0, 1.0, np.random.default_rng(seed))
        cuts += np.isin(mixed, images[:, 0, 0, 0]).all()  # no new value
    assert 160 < cuts < 240


def test_erasing_puts_one_rectangle_of_noise_into_some_images():
    images = np.zeros((3000, 20, 16, 3), np.uint8)
    kept = images.copy()
    erased = random_erasing(images, 0.25, np.random.default_rng(0))
    np.testing.assert_array_equal(images, kept)
    hit = np.flatnonzero(erased.any((1, 2, 3)))
    assert 0.22 < len(hit) / 3000 < 0.28
    areas, ratios = [], []
    for image in erased[hit]:
        rows, columns = np.flatnonzero(image.any((1, 2))), np.flatnonzero(image.any((0, 2)))
        tall, wide = np.ptp(rows) + 1, np.ptp(columns) + 1
        areas.append(tall * wide / 320)
        ratios.append(tall / wide)
        inside = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert (inside > 0).any(-1).mean() > 0.9  # noise, of all colours
    assert min(areas) > 0.01 and max(areas) < 0.45  # 2 to 40 %, rounded to whole pixels
    assert np.mean(areas) == pytest.approx(0.21, abs=0.02)
    assert np.median(ratios) == pytest.approx(1, rel=0.15)
    assert min(ratios) < 0.4 and max(ratios) > 2.5
    values = erased[erased > 0]
    assert values.mean() == pytest.approx(128, abs=2) and values.max() == 255


def test_erasing_every_image_or_none():
    images = np.zeros((50, 8, 8, 1), np.uint8)
    assert not random_erasing(images, 0.0, np.random.default_rng(0)).any()
    assert random_erasing(images, 1.0, np.random.default_rng(0)).any((1, 2, 3)).all()
