"""The digits inside scikit-learn: its images and labels, in one pool."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from studies.data import load
from studies.errors import UsageError

pytestmark = pytest.mark.once


def test_the_images_are_scikit_learns_from_black_to_white(tmp_path):
    data = load("digits", cache=tmp_path)
    found = load_digits()
    pool = data.pools["train"]
    assert data.info.official == {"train": 1797} and data.info.image_shape == (8, 8, 1)
    assert pool.images.min() == 0 and pool.images.max() == 255
    np.testing.assert_allclose(pool.images[..., 0] * (16 / 255), found.images, atol=0.04)
    np.testing.assert_array_equal(pool.labels, found.target)
    assert data.info.counts == {"train": 1258, "validation": 180, "test": 359}


def test_another_image_size(tmp_path):
    data = load("digits", 16, cache=tmp_path)
    assert data.pools["train"].images.shape == (1797, 16, 16, 1)


def test_without_scikit_learn_it_says_what_to_do(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(UsageError, match=r"pip install 'keras-vit\[studies\]'"):
        load("digits", cache=tmp_path)
