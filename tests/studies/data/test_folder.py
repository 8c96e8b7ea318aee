"""Image folders: layouts, splits, what is refused, and preparing them again when they change."""

import os

import numpy as np
import pytest
from PIL import Image

from studies.data import describe, load
from studies.errors import UsageError

pytestmark = pytest.mark.once


def add(folder, number=10, size=(12, 10), first=0):
    """Writes images whose grey value is their number."""
    folder.mkdir(parents=True, exist_ok=True)
    for value in range(first, first + number):
        Image.new("RGB", size, (value, value, value)).save(folder / f"{value:03}.png")


def values(split):
    return [(int(i[0, 0, 0]), int(label)) for i, label in zip(split.images, split.labels)]


@pytest.fixture
def opened(tmp_path):
    def open_(size=8, path=tmp_path / "images"):
        return load(f"folder:{path}", size, cache=tmp_path / "cache")

    return open_


def test_classes_are_folders_and_splits_are_cut(tmp_path, opened):
    add(tmp_path / "images" / "dogs", 20, first=100)
    add(tmp_path / "images" / "cats", 20)
    add(tmp_path / "images" / "cats" / "more", 10, first=20)
    (tmp_path / "images" / "cats" / "notes.txt").write_text("not an image")
    (tmp_path / "images" / ".hidden").mkdir()
    data = opened()
    assert data.info.class_names == ("cats", "dogs")
    assert data.info.image_shape == (8, 8, 3)
    assert data.info.class_counts == {"train": (21, 14), "validation": (3, 2), "test": (6, 4)}
    assert data.info.official == {"train": 50}
    part = data.replicate(0)
    train = [values(part.train)[index] for index in part.order]
    everything = [(i, 0) for i in range(30)] + [(100 + i, 1) for i in range(20)]
    assert sorted(train + values(part.validation) + values(part.test)) == everything


@pytest.mark.parametrize(
    "names", ["train val test", "Training Validation Testing", "TRAIN valid Test", "train dev test"]
)
def test_given_splits_are_honoured(tmp_path, opened, names):
    for number, split in enumerate(names.split()):
        add(tmp_path / "images" / split / "a", 4, first=50 * number)
        add(tmp_path / "images" / split / "b", 4, first=50 * number + 10)
    (tmp_path / "images" / "labels.csv").write_text("a stray file")
    add(tmp_path / "images" / ".cache" / "a")
    (tmp_path / "images" / "notes").mkdir()
    data = opened()
    part = data.replicate(0)
    assert values(part.validation) == [(50 + i, 0) for i in range(4)] + [
        (60 + i, 1) for i in range(4)
    ]
    assert values(part.test) == [(100 + i, 0) for i in range(4)] + [(110 + i, 1) for i in range(4)]
    assert data.info.counts["train"] == 8


def test_a_missing_validation_comes_from_train_only(tmp_path, opened):
    for split, first in (("train", 0), ("test", 100)):
        add(tmp_path / "images" / split / "a", 20, first=first)
        add(tmp_path / "images" / split / "b", 20, first=first + 50)
    data = opened()
    assert data.info.counts == {"train": 36, "validation": 4, "test": 40}
    assert max(v for v, _ in values(data.replicate(0).validation)) < 100


def test_a_class_may_be_called_train(tmp_path, opened):
    for name in ("train", "plane"):
        add(tmp_path / "images" / name, 10)
    assert opened().info.class_names == ("plane", "train")


def test_splits_without_classes_are_not_taken_for_classes(tmp_path, opened):
    for name in ("train", "test"):
        add(tmp_path / "images" / name, 10)
    with pytest.raises(UsageError, match="has test and train without folders for the classes"):
        opened()
    for name in ("a", "b"):
        add(tmp_path / "images" / "train" / name, 10)
    with pytest.raises(UsageError, match="has test without folders for the classes"):
        opened()


def test_classes_beside_splits_are_refused(tmp_path, opened):
    """Else a class with folders inside that is called train would be the whole data set."""
    for name in ("car", "plane", "train/steam", "train/electric"):
        add(tmp_path / "images" / name, 10)
    with pytest.raises(UsageError, match=r"images in car and plane beside .* splits \(train\)"):
        opened()
    (tmp_path / "images" / "train").rename(tmp_path / "images" / "railway")
    assert opened().info.class_names == ("car", "plane", "railway")


@pytest.mark.parametrize("empty", ["test", "val"])
def test_a_split_without_images_is_refused(tmp_path, opened, empty):
    for split in ("train", "val", "test"):
        for name in ("a", "b"):
            add(tmp_path / "images" / split / name, 0 if split == empty else 4)
    with pytest.raises(UsageError, match=rf"a {empty}\w* split without images: add some, remove"):
        opened()


def test_images_of_one_size_need_no_image_size(tmp_path, opened):
    for name in ("a", "b"):
        add(tmp_path / "images" / name)
    assert opened(size=None).info.image_shape == (10, 12, 3)
    add(tmp_path / "images" / "a", 1, size=(9, 9), first=99)
    with pytest.raises(UsageError, match=r"differ in size .*9x9.*give an image size"):
        opened(size=None)
    assert opened(size=(4, 6)).info.image_shape == (4, 6, 3)


def test_a_changed_folder_is_prepared_again_and_an_equal_one_has_the_same_fingerprint(
    tmp_path, opened
):
    for root in ("images", "copy"):
        for first, name in ((0, "a"), (100, "b")):
            add(tmp_path / root / name, first=first)
    data = opened()
    assert opened(path=tmp_path / "copy").info.fingerprint == data.info.fingerprint
    os.utime(tmp_path / "images" / "a" / "000.png", (1, 1))
    assert opened().info.fingerprint == data.info.fingerprint
    Image.new("RGB", (12, 10), (200, 0, 0)).save(tmp_path / "images" / "a" / "000.png")
    assert opened().info.fingerprint != data.info.fingerprint
    assert opened(size=4).info.fingerprint != data.info.fingerprint


def test_many_images_keep_their_order_and_labels(tmp_path, opened):
    for first, name in ((0, "a"), (100, "b")):
        add(tmp_path / "images" / name, 100, first=first)
    data = opened()
    part = data.replicate(3)
    for split in (part.train, part.validation, part.test):
        assert all((value >= 100) == label for value, label in values(split))
    assert sorted([*part.order, *part.validation.ids, *part.test.ids]) == list(range(200))
    assert np.bincount(part.train.labels[part.subset(20)]).tolist() == [10, 10]


def test_wrong_folders_are_refused_in_a_sentence_and_nothing_is_written(tmp_path, opened):
    images = tmp_path / "images"

    def refused(words):
        with pytest.raises(UsageError, match=words) as caught:
            opened()
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "cache").exists()

    refused("does not exist or is no folder: give folder:PATH")
    images.mkdir()
    refused("has no images in folders: put the images")
    (images / "a").mkdir()
    (images / "a" / "readme.txt").write_text("nothing")
    refused("has no images in folders")
    add(images / "a")
    refused(r"has only one class \(a\)")
    (images / "b").mkdir()
    refused("class 'b' of the image folder .* has no images")
    add(images / "b")
    add(images / "test" / "a")
    refused(r"has images in a and b beside what look like splits \(test\): move a and b into train")
    for name in ("a", "b"):
        (images / name).rename(tmp_path / name)
    refused("has test for the split test, but no train")
    (images / "test").rename(images / "train")
    add(images / "val" / "a")
    add(images / "validation" / "a")
    refused("has val and validation for the split validation: name the folders train, val and test")
    (images / "validation").rename(tmp_path / "elsewhere")
    add(images / "train" / "b")
    add(images / "val" / "c")
    refused("class 'c' of .*/val is not among those in train")
    with pytest.raises(UsageError, match="does not exist"):
        load("folder:", cache=tmp_path / "cache")


def test_a_corrupt_image_is_named_and_leaves_nothing(tmp_path, opened):
    for name in ("a", "b"):
        add(tmp_path / "images" / name, 40)
    (tmp_path / "images" / "b" / "007.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    with pytest.raises(
        UsageError, match=r"images/b/007\.png cannot be read .*: repair or remove it"
    ):
        opened()
    assert not [p for p in (tmp_path / "cache").iterdir() if p.is_dir()]
    (tmp_path / "images" / "b" / "007.png").unlink()
    assert opened().info.num_classes == 2


def test_a_link_that_leads_nowhere_is_named(tmp_path, opened):
    for name in ("a", "b"):
        add(tmp_path / "images" / name)
    (tmp_path / "images" / "a" / "link.jpg").symlink_to(tmp_path / "nowhere.jpg")
    with pytest.raises(UsageError, match=r"images/a/link\.jpg cannot be read"):
        opened()


def test_an_image_size_must_be_a_number_of_pixels(tmp_path):
    for wrong in (0, -3, (3, 4, 5), "32", 3.5):
        with pytest.raises(UsageError, match=r"image size .* is wrong: give a number of pixels"):
            describe(f"folder:{tmp_path}", wrong)
