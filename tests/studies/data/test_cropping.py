"""Crops are windows of the padded image; mirror images are half of them."""

import numpy as np
import pytest

from studies.data.cropping import random_crop, random_flip

pytestmark = pytest.mark.once


def some(size, shape):
    images = np.random.default_rng(0).integers(0, 256, (size, *shape), dtype=np.uint8)
    images[:, 0, 0, 0] = np.arange(size)
    return images


def test_a_crop_is_a_window_of_the_padded_image():
    images = some(64, (16, 8, 1))
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
    images = some(200, (8, 12, 3))
    flipped = random_flip(images, np.random.default_rng(0))
    same = (flipped == images).all((1, 2, 3))
    mirrored = (flipped == images[:, :, ::-1]).all((1, 2, 3))
    assert (same ^ mirrored).all() and 70 < mirrored.sum() < 130
    assert images[0, 0, 0, 0] == 0  # the data itself is untouched
