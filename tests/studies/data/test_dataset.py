"""A seed is a replicate: it draws the splits that the data lack, and the training images."""

import numpy as np
import pytest
from PIL import Image

from studies.data import load
from studies.data.dataset import counts_by_seed
from studies.data.prepare import fingerprint_of, join_groups
from studies.errors import UsageError

pytestmark = pytest.mark.once


@pytest.fixture
def folder(tmp_path):
    """Thirty different images of two classes, the last five the same as the first five."""
    for label in ("a", "b"):
        (tmp_path / "images" / label).mkdir(parents=True)
    for index in range(30):
        value = index if index < 25 else index - 25
        image = np.full((4, 4, 3), 8 * value, np.uint8)
        Image.fromarray(image).save(tmp_path / "images" / "ab"[index % 2] / f"{index:02}.png")
    return load(f"folder:{tmp_path / 'images'}", cache=tmp_path / "cache")


def test_seeds_draw_splits_and_training_images_of_their_own(folder):
    one, again, two = (folder.replicate(seed) for seed in (0, 0, 1))
    for part in (one, two):
        ids = [*part.order, *part.validation.ids, *part.test.ids]
        assert sorted(ids) == list(range(30))
    assert one.test.ids.tolist() == again.test.ids.tolist()
    assert one.order.tolist() == again.order.tolist()
    assert one.test.ids.tolist() != two.test.ids.tolist()
    assert one.order.tolist() != two.order.tolist()
    assert set(one.subset(4)) < set(one.subset(9))


def test_identical_pixels_stay_on_one_side(folder):
    groups = folder.pools["train"].groups
    assert len(set(groups)) == 25
    for seed in range(20):
        part = folder.replicate(seed)
        sides = [set(groups[part.order]), set(part.validation.groups), set(part.test.groups)]
        assert not sides[0] & sides[1] and not sides[0] & sides[2] and not sides[1] & sides[2]
    counts = [folder.replicate(seed).counts for seed in range(20)]
    assert counts_by_seed(folder, 20) == counts and len({c["train"] for c in counts}) > 1


def test_images_of_another_size_are_split_alike_or_refused(folder, tmp_path):
    def at(size):
        return load(f"folder:{tmp_path / 'images'}", size, cache=tmp_path / "cache")

    small = at(2)
    one, other = folder.replicate(3), small.replicate(3, like=folder)
    assert other.test.images.shape[1:] == (2, 2, 3) and other.counts == one.counts
    assert other.order.tolist() == one.order.tolist() != small.replicate(3).order.tolist()
    for split in ("validation", "test"):
        assert getattr(other, split).ids.tolist() == getattr(one, split).ids.tolist()
    path = tmp_path / "images" / "a" / "00.png"
    path.rename(path.with_name("0.png"))
    for changed in (at(2), load("digits", cache=tmp_path / "cache")):
        with pytest.raises(UsageError, match=r"has other images at .* they cannot be split alike"):
            changed.replicate(3, like=folder)


def test_a_splits_images_are_those_of_its_ids(folder):
    whole = folder.pools["train"]
    part = folder.replicate(5)
    for split in (part.validation, part.test):
        np.testing.assert_array_equal(split.images[:], whole.images[split.ids])
        np.testing.assert_array_equal(np.asarray(split.images)[1:], whole.images[split.ids][1:])
        np.testing.assert_array_equal(split.labels, whole.labels[split.ids])
        assert split.images.shape == (len(split), 4, 4, 3)


def test_what_a_source_offers_is_the_same_for_every_seed(tmp_path):
    data = load("shapes:1000", 8, cache=tmp_path)
    one, two = data.replicate(0), data.replicate(1)
    assert one.test.ids.tolist() == two.test.ids.tolist() == list(range(3000, 8000))
    assert one.order.tolist() != two.order.tolist()  # the draw of training images is not
    assert fingerprint_of(data.folder, data.info) == data.info.fingerprint


@pytest.mark.parametrize(
    ("pixels", "given", "expected"),
    [
        ([1, 2, 3], None, [0, 1, 2]),
        ([5, 1, 5, 1, 2], None, [0, 1, 0, 1, 2]),
        ([1, 2, 3, 4], [7, -1, 7, -1], [0, 1, 0, 2]),
        # 0 and 1 look alike, 1 and 3 are given as one: all three are.
        ([1, 1, 2, 3], [-1, 9, -1, 9], [0, 0, 1, 0]),
    ],
)
def test_groups_join_what_is_given_with_what_looks_alike(pixels, given, expected):
    given = None if given is None else np.array(given)
    assert join_groups(np.array(pixels)[:, None], given).tolist() == expected
