"""Other channels than the data's own: as Pillow converts them, and only what is asked for."""

import numpy as np
import pytest
from PIL import Image

from studies.data.channels import Converted, convert, with_channels
from studies.data.dataset import Dataset, DatasetInfo, Split

pytestmark = pytest.mark.once


@pytest.fixture
def colours():
    return np.random.default_rng(0).integers(0, 256, (6, 5, 4, 3)).astype(np.uint8)


def data_of(images):
    labels = np.arange(len(images)) % 2
    counts = dict.fromkeys(("train", "validation", "test"), (1, 1))
    info = DatasetInfo("x", "ab12", images.shape[1:], ("a", "b"), counts, {"train": len(images)})
    groups = np.arange(len(images))
    return Dataset(info, {"train": Split(images, labels, groups, groups)})


def test_grey_is_the_luma_of_pillow(colours):
    expected = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in colours])
    np.testing.assert_array_equal(convert(colours, 1)[..., 0], expected)


def test_colours_of_grey_images_are_all_alike(colours):
    grey = colours[..., :1]
    np.testing.assert_array_equal(convert(grey, 3), np.concatenate([grey] * 3, axis=-1))
    assert convert(grey, 1) is grey


def test_a_data_set_converts_what_is_read(colours):
    data = with_channels(data_of(colours), 1)
    assert data.info.image_shape == (5, 4, 1) and data.info.fingerprint == "ab12"
    split = data.pools["train"]
    assert split.images.shape == (6, 5, 4, 1)
    np.testing.assert_array_equal(split.images[[3, 1]], convert(colours, 1)[[3, 1]])
    np.testing.assert_array_equal(np.asarray(split.images), convert(colours, 1))
    assert with_channels(data, 1) is data


class Mapped:
    """A billion images, of which one is asked for at a time."""

    shape, dtype = (10**9, 2, 2, 1), np.dtype("uint8")

    def __getitem__(self, key):
        assert key == slice(7, 8)
        return np.zeros((1, 2, 2, 1), np.uint8)


def test_only_the_images_that_are_asked_for_are_read():
    images = Converted(Mapped(), 3)
    assert len(images.shape) == 4 and images[7:8].shape == (1, 2, 2, 3)
