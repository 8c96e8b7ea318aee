"""Image folders: layouts, splits, what is refused, and preparing them again when they change."""

import os

import numpy as np
import pytest
from PIL import Image

from studies.data import Options, check, describe, image_files, load, prepare
from studies.data.folder import list_folder
from studies.data.images import UnreadableImage, decode
from studies.data.listing import in_words
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
    def open_(size=8, path=tmp_path / "images", options=None):
        return load(f"folder:{path}", size, options, cache=tmp_path / "cache")

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
    "names",
    [
        *("train val test", "Training Validation Testing", "TRAIN valid Test", "train dev test"),
        "training_set Validation-Set testset",
    ],
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
    refused(r"has only one class \(a\)")  # a folder with nothing in it is no class
    (images / "b" / "1.heic").write_bytes(b"of a telephone")
    refused(r"has no images in b \(but 1 \.heic, 1 \.txt\): add some")
    (images / "b" / "1.heic").unlink()
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
    refused("class 'c' of .*/val is not among those in train that have images")
    with pytest.raises(UsageError, match="does not exist"):
        load("folder:", cache=tmp_path / "cache")


def test_unreadable_images_are_named_together_and_left_out_on_demand(tmp_path, opened):
    for first, name in ((0, "a"), (100, "b")):
        add(tmp_path / "images" / name, 40, first=first)
    whole = opened()
    files = [tmp_path / "images" / name for name in ("b/107.png", "a/003.png", "b/111.png")]
    files[0].write_bytes(b"\x89PNG\r\n\x1a\n broken")
    files[1].write_bytes(b"")
    files[2].unlink()
    files[2].symlink_to(files[2])  # a circle
    (tmp_path / "images" / "b" / "110.png").write_bytes(
        files[0].with_name("112.png").read_bytes()[:50]
    )
    with pytest.raises(
        UsageError,
        match=r"has 4 images that cannot be read: a/003\.png \(the file is empty\), b/107\.png "
        r"\(.+\), b/110\.png \(.+\) and 1 more \(check lists all\); repair or remove them, or leave "
        r"them out with --skip-broken",
    ) as caught:
        opened()
    assert "\n" not in str(caught.value)
    data = opened(options=Options(skip_broken=True))
    left = sorted(v for pool in data.pools.values() for v in values(pool))
    kept = {*range(40), *range(100, 140)} - {3, 107, 110, 111}
    assert left == [(value, value // 100) for value in sorted(kept)]
    assert data.info.fingerprint != whole.info.fingerprint
    for file in (*files, tmp_path / "images" / "b" / "110.png"):
        file.unlink()
    assert opened().info.fingerprint == data.info.fingerprint  # as if they had never been there
    facts = check(f"folder:{tmp_path / 'images'}", 8, cache=tmp_path / "cache")
    assert facts.broken.count == 0 and facts.images == 76


def test_each_file_is_decoded_once_whether_some_are_broken_or_not(tmp_path, opened, monkeypatch):
    for number, place in enumerate(("train/a", "train/b", "test/a", "test/b")):
        add(tmp_path / "images" / place, 30, first=30 * number)
    asked = []
    monkeypatch.setattr(prepare, "_AT_ONCE", 8 * 8 * 3 * 7)  # the last part is not a whole one
    monkeypatch.setattr(
        image_files, "decode", lambda f, *a, **k: asked.append(f) or decode(f, *a, **k)
    )
    for broken in ("train/a/003.png", "test/b/119.png"):
        (tmp_path / "images" / broken).write_bytes(b"nothing")
    data = opened(options=Options(skip_broken=True))
    assert len(asked) == len(set(asked)) == 120
    assert values(data.pools["test"]) == [(v, v // 90) for v in range(60, 119)]


def test_an_image_on_a_disk_that_fails_is_named_and_comes_back(tmp_path, opened):
    for first, name in ((0, "a"), (100, "b")):
        add(tmp_path / "images" / name, 40, first=first)
    file = tmp_path / "images" / "a" / "003.png"
    file.rename(tmp_path / "aside.png")
    file.symlink_to("/proc/self/mem")  # reading it is an input/output error
    with pytest.raises(UsageError, match=r"1 image that .*: a/003\.png \(Input/output error\);"):
        opened()
    assert len(opened(options=Options(skip_broken=True)).pools["train"]) == 79
    (tmp_path / "aside.png").replace(file)
    assert len(opened().pools["train"]) == 80


def test_what_fails_between_two_readings_is_in_no_prepared_data(tmp_path, opened, monkeypatch):
    for first, name in ((0, "a"), (100, "b")):
        add(tmp_path / "images" / name, 40, first=first)

    def fails(file, name, *arguments, **options):
        if name == "b/107.png":
            raise UnreadableImage(name, "Input/output error") from OSError(5, "Input/output error")
        return decode(file, name, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(image_files, "decode", fails)
        with pytest.raises(
            UsageError, match=r"b/107\.png of .* was read before and cannot be read now \(Input/"
        ):
            opened(options=Options(skip_broken=True))
    assert len(opened().pools["train"]) == 80


def test_a_class_of_unreadable_images_alone_is_refused(tmp_path, opened):
    for name in ("a", "b"):
        add(tmp_path / "images" / name)
    for file in (tmp_path / "images" / "b").iterdir():
        file.write_bytes(b"nothing")
    for options in (None, Options(skip_broken=True)):
        with pytest.raises(UsageError, match=r"class 'b' of .* no image .*\(b/000\.png: .+\)"):
            opened(options=options)
    assert not [p for p in (tmp_path / "cache").iterdir() if p.is_dir()]


def listed(tmp_path, **options):
    return list_folder(f"folder:{tmp_path / 'images'}", Options(**options))


def test_what_is_left_alone_is_counted_by_kind(tmp_path):
    images = tmp_path / "images"
    for name in ("a", "b"):
        add(images / name)
    for number in range(3):
        (images / "a" / f"{number}.SVG").write_text("<svg/>")
    (images / "b" / "Makefile").write_text("")
    (images / "b" / ".DS_Store").write_text("")
    (images / "b" / "empty").mkdir()
    (images / "b" / "scan.pdf").write_bytes(b"%PDF")
    add(images / ".git", 2)
    add(images / "__MACOSX" / "a", 2)
    add(tmp_path / "elsewhere", 2, first=50)
    (images / "b" / "more").symlink_to(tmp_path / "elsewhere")
    (images / "loose.png").write_bytes(b"")
    (images / "a" / "nowhere").symlink_to("nowhere")
    os.mkfifo(images / "a" / "pipe.png")
    found = listed(tmp_path)
    assert found.left_out == {
        ".svg": 3,
        "file without an ending": 2,
        "hidden file": 1,
        "empty folder": 1,
        ".pdf": 1,
        "hidden folder": 1,
        "__MACOSX": 1,
        "linked folder": 1,
        "image outside the classes' folders": 1,
        "pipe or device": 1,
    }
    assert in_words(found.left_out).startswith("3 .svg, 2 files without an ending, 1 .pdf, 1 _")
    assert len(found.files["train"]) == 20


def test_a_class_may_be_a_link_but_none_leads_upwards(tmp_path):
    add(tmp_path / "images" / "a")
    add(tmp_path / "elsewhere")
    (tmp_path / "images" / "b").symlink_to(tmp_path / "elsewhere")
    found = listed(tmp_path)
    assert found.class_names == ["a", "b"] and not found.left_out
    assert len(found.files["train"]) == 20
    (tmp_path / "images" / "a" / "up").symlink_to(tmp_path / "images")
    with pytest.raises(UsageError, match=r"link a/up in the image folder .* above itself: remove"):
        listed(tmp_path)
    (tmp_path / "images" / "a" / "up").unlink()
    (tmp_path / "images" / "c").symlink_to("..")
    with pytest.raises(UsageError, match=r"link c in the image folder .* above itself"):
        listed(tmp_path)


def test_a_moved_folder_is_the_same_data_and_is_not_read_again(tmp_path, opened, monkeypatch):
    for first, name in ((0, "a"), (100, "b")):
        add(tmp_path / "images" / name, first=first)
        for file in (tmp_path / "images" / name).iterdir():
            os.utime(file, (1e9, 1e9))
    data = opened()
    (tmp_path / "images").rename(tmp_path / "renamed")
    (tmp_path / "link").symlink_to(tmp_path / "renamed")
    monkeypatch.setattr("studies.data.building.build", None)  # nothing is prepared
    for path in (tmp_path / "renamed", tmp_path / "link", tmp_path / "link" / ".." / "renamed"):
        again = opened(path=path)
        assert again.info.fingerprint == data.info.fingerprint
        assert again.info.name == f"folder:{path}"


def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    """By a system call that fails: the super-user may read everything."""
    for name in ("a", "b"):
        add(tmp_path / "images" / name)
    look = os.scandir

    def scandir(folder):
        if folder == tmp_path / "images" / "b":
            raise PermissionError(13, "Permission denied", str(folder))
        return look(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(
        UsageError, match=r"cannot be read \(Permission denied: .*images/b\): check its permissions"
    ):
        listed(tmp_path)


def test_groups_come_from_a_file_in_the_folder(tmp_path, opened):
    for first, name in ((0, "a"), (100, "b")):
        add(tmp_path / "images" / name, 20, first=first)
    lines = ["file,group", "a/000.png,x", "./a/001.png,x", "b/100.png,x", "gone.png,y"]
    (tmp_path / "images" / "groups.csv").write_text("\n".join(lines))
    found = listed(tmp_path)
    assert found.groups["train"][[0, 1, 20]].tolist() == [0, 0, 0]
    assert (np.delete(found.groups["train"], [0, 1, 20]) == -1).all()
    assert found.notes == ("groups.csv: 1 of its files are not there, such as gone.png",)
    assert not found.left_out
    together = opened()
    assert len(set(together.pools["train"].groups[[0, 1, 20]])) == 1
    (tmp_path / "images" / "groups.csv").write_text("\n".join([*lines, "a/001.png,x"]))
    assert opened().info.fingerprint == together.info.fingerprint
    (tmp_path / "images" / "groups.csv").write_text("\n".join([*lines, "a//000.png,y"]))
    with pytest.raises(UsageError, match=r"groups.csv puts 'a//000.png' into two groups \('x' and"):
        listed(tmp_path)
    (tmp_path / "images" / "groups.csv").unlink()
    assert opened().info.fingerprint != together.info.fingerprint


def test_groups_come_from_paths(tmp_path, opened):
    for name in ("a", "b"):
        for scene in (0, 1, 2):
            add(
                tmp_path / "images" / name / f"scene{scene}",
                4,
                first=10 * scene + 100 * (name == "b"),
            )
    add(tmp_path / "images" / "b", 3, first=200)
    found = listed(tmp_path, groups=r"(scene\d)/")
    assert found.groups["train"].tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [-1] * 3 + [
        *([0] * 4 + [1] * 4 + [2] * 4)
    ]
    found = listed(tmp_path, groups=r"/(scene[01]|)")
    assert (
        found.groups["train"] == -1
    ).sum() == 4 + 3 + 4  # a bracket that holds nothing is no group
    for pattern, words in (
        ("(x?)", "fit no image"),
        ("scene(", "are no regular expression"),
        ("scene", "have no bracket: put round brackets"),
        ("(nowhere)", r"fit no image of folder:.* paths such as 'a/scene0/000\.png'"),
    ):
        with pytest.raises(UsageError, match=words):
            listed(tmp_path, groups=pattern)


def test_whole_groups_are_cut(tmp_path, opened):
    """Frames of one scene are never on two sides of a split, whatever the seed."""
    for label, name in enumerate(("a", "b")):
        for scene in range(10):
            add(tmp_path / "images" / name / f"s{scene}", 4, first=label * 120 + scene * 5)
    data = opened(options=Options(groups=r"(./s\d)/"))
    for seed in range(3):
        replicate = data.replicate(seed)
        drawn = replicate.train.groups[replicate.order]
        parts = [set(drawn), set(replicate.validation.groups), set(replicate.test.groups)]
        assert all(parts) and sum(map(len, parts)) == len(set.union(*parts)) == 20


def test_odd_names_stay_in_one_line(tmp_path, opened):
    for name in ("a", "b\nc"):
        add(tmp_path / "images" / name)
    (tmp_path / "images" / "a" / "two\nlines.png").write_bytes(b"")
    with open(os.fsencode(tmp_path / "images" / "a") + b"/\xff.png", "wb"):
        pass  # not UTF-8
    with pytest.raises(UsageError, match="has 2 images that cannot be read") as caught:
        opened()
    assert "\n" not in str(caught.value)
    assert r"a/two\nlines.png" in str(caught.value) and r"a/\udcff.png" in str(caught.value)
    assert opened(options=Options(skip_broken=True)).info.class_names == ("a", r"b\nc")


def test_fits_are_data_of_their_own(tmp_path, opened):
    for first, name in ((0, "a"), (100, "b")):
        add(tmp_path / "images" / name, first=first, size=(20, 10))
    data = {fit: opened(options=Options(fit=fit)) for fit in ("crop", "pad", "squash")}
    first = {fit: d.pools["train"].images[1][:, :, 0] for fit, d in data.items()}
    assert (first["crop"] == 1).all() and (first["squash"] == 1).all()
    assert first["pad"].tolist() == [[255] * 8] * 2 + [[1] * 8] * 4 + [[255] * 8] * 2
    assert data["pad"].info.fingerprint != data["crop"].info.fingerprint
    with pytest.raises(UsageError, match="fit 'stretch' is unknown: choose crop, pad, squash"):
        opened(options=Options(fit="stretch"))


def test_pipes_and_devices_behind_links_are_unreadable_images(tmp_path, opened):
    """And not waited for, nor read without end."""
    for name in "ab":
        add(tmp_path / "images" / name, 10, first=20 * ord(name) % 200)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "images" / "a" / "pipe.png").symlink_to(tmp_path / "pipe")
    (tmp_path / "images" / "a" / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "images" / "a" / "round.png").symlink_to("round.png")
    with pytest.raises(
        UsageError, match=r"has 3 images that cannot be read: a/pipe\.png \(it is no file\)"
    ):
        opened()
    table = tmp_path / "table.csv"
    rows = [f"images/{n}/{20 * ord(n) % 200 + i:03}.png,{n}" for n in "ab" for i in range(10)]
    table.write_text("\n".join(["file,label", *rows, "pipe,a", "/dev/zero,b", "a\0b.png,a"]))
    with pytest.raises(UsageError, match="has 3 images that cannot be read"):
        load(f"csv:{table}", 8, cache=tmp_path / "cache")
    with pytest.raises(UsageError, match=r"pipe cannot be read \(it is no file\)"):
        load(f"csv:{tmp_path / 'pipe'}", 8, cache=tmp_path / "cache")


def test_an_image_size_must_be_a_number_of_pixels(tmp_path):
    for wrong in (0, -3, (3, 4, 5), "32", 3.5):
        with pytest.raises(UsageError, match=r"image size .* is wrong: give a number of pixels"):
            describe(f"folder:{tmp_path}", wrong)
