"""What an image costs in memory, counted in bytes: what is needed of millions of them lies in files."""

import os
import time
import tracemalloc
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

import numpy as np
import pytest

from studies.data import Augmentation, Batches, Options, digests, load, prepare, reopen
from studies.data.building import build
from studies.data.cache import entries
from studies.data.dataset import DatasetInfo
from studies.data.digests import Digests
from studies.data.image_files import content_key
from studies.data.listing import Paths
from studies.data.prepare import read
from studies.data.shapes import Shapes
from studies.data.sources import listing
from studies.data.subsets import _cut_alone, _cut_groups, stratified_cut

pytestmark = pytest.mark.once

FEW, MANY = 10_000, 40_000
ALLOWED = 24  # bytes an image


class Pixels:
    """Images of three bytes, all different; of one pool, or in splits of their own."""

    name, class_names, image_shape = "pixels", list("abcde"), (1, 1, 3)

    def __init__(self, **numbers):
        self.labels = {split: np.arange(n, dtype=np.uint8) % 5 for split, n in numbers.items()}

    def images(self, split, indices):
        start = {"train": 0, "validation": 2**23, "test": 2**23 + 2**22}[split]
        numbers = (indices + start).astype("<u4")
        return numbers.view(np.uint8).reshape(-1, 4)[:, :3].reshape(-1, 1, 1, 3)


@contextmanager
def watched(most):
    """What NumPy and Python take at most, and what is left of it in the end, in bytes."""
    tracemalloc.start()
    try:
        yield
        most["left"], most["peak"] = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()


def alone(count, *arguments):
    """What a function counts in a process of its own, where nothing that another test left is at work."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(count, *arguments).result()


def an_image(most):
    """Bytes for each further image, of counts at three numbers of images."""
    _, few, many = most  # with the first some modules were loaded
    return {name: (most[many][name] - most[few][name]) / (many - few) for name in most[few]}


@pytest.fixture(
    scope="module", params=[{"validation": 500, "test": 500}, {}], ids=["splits", "one"]
)
def prepared(request, tmp_path_factory):
    """Prepared data by their number of images, and the memory that preparing took."""
    return alone(preparing, tmp_path_factory.mktemp("pixels"), request.param)


def preparing(folder, others):
    prepare._AT_ONCE = 30_000
    folders, most = {}, {}
    for number in (1000, FEW, MANY):
        path, most[number] = folder / str(number), {}
        path.mkdir()
        with watched(most[number]):
            info = build(path, Pixels(train=number, **others))
        assert not [file for file in path.iterdir() if file.is_dir()]
        folders[number] = path, DatasetInfo.from_dict(info)
    return folders, most


def test_preparing_takes_few_bytes_an_image(prepared):
    assert an_image(prepared[1])["peak"] < ALLOWED


def test_a_seeds_images_and_their_batches_take_few_bytes_an_image(prepared):
    found = an_image(alone(reading, prepared[0]))
    assert found["peak"] < ALLOWED and found["left"] < 15


def reading(folders):
    most = {}
    for number, (path, info) in folders.items():
        most[number] = {}
        with watched(most[number]):
            part = read(path, info).replicate(seed=3)
            size = part.counts["train"]
            batches = Batches(part.train, part.subset(size), 128, 3, Augmentation("crop_flip"))
            for step in (0, size // 128 + 1):  # of two epochs
                assert batches.batch(step)[0].shape == (128, 1, 1, 3)
    return most


def test_a_file_takes_its_name_and_little_more_also_while_it_is_hashed(tmp_path):
    listed, hashed = (an_image(most) for most in alone(hashing, tmp_path))
    assert (
        listed["left"] < len("00000000.png") + ALLOWED
    )  # its folder's number, name's end, a label
    assert hashed["peak"] < ALLOWED


def hashing(folder):
    digests.threaded = map  # it would count how many the threads have in hand just then
    listed, hashed = {}, {}
    for number in (100, FEW // 5, MANY // 4):
        listed[number], hashed[number], files = {}, {}, folder / f"{number:08}"
        for place in (files / "a", files / "b"):
            place.mkdir(parents=True)
            for index in range(number // 2):
                (place / f"{index:08}.png").touch()
        with watched(listed[number]):
            found = listing(f"folder:{files}", Options())
        with watched(hashed[number]):
            content_key(found, Digests(folder / "cache"))
        assert found.names["train"][0] == "a/00000000.png" and len(found.names["train"]) == number
    return listed, hashed


def test_paths_are_those_that_were_given():
    given = ["/a/b/1.png", "/a/b/2.png", "/a/c d/1.png", "/1.png", "/a/b/\udcff.jpg"]
    paths = Paths(given[:2])
    paths.extend(given[2:])
    assert list(paths) == given and len(paths) == 5 and paths[-1] == given[-1]
    assert paths[1:4:2] == given[1:4:2] and paths[5:] == []
    with pytest.raises(IndexError):
        paths[5]


def test_few_images_are_held_at_a_time_however_small_they_are(tmp_path, monkeypatch):
    asked = []

    class Asked(Pixels):
        def images(self, split, indices):
            asked.append(len(indices))
            return super().images(split, indices)

    (tmp_path / "few").mkdir()
    whole = build(tmp_path / "few", Asked(train=1000))
    monkeypatch.setattr(prepare, "_MOST", 300)
    (tmp_path / "many").mkdir()
    assert build(tmp_path / "many", Asked(train=1000)) == whole  # the fingerprint, too
    assert asked == [1000, 300, 300, 300, 100]


@pytest.mark.parametrize("seed", range(3))
def test_single_images_are_cut_as_groups_of_one_are(seed):
    labels = np.random.default_rng(seed).integers(0, 4, 300)
    alone = _cut_alone(labels, 60, [seed])
    np.testing.assert_array_equal(alone, _cut_groups(labels, 60, [seed], np.arange(300)))
    rest, cut = stratified_cut(labels, 60, [seed])
    assert (alone[cut]).all() and not alone[rest].any() and len(cut) == 60


def test_data_are_opened_again_without_what_they_were_made_of(tmp_path, monkeypatch):
    made = []
    first = Shapes.first_labels.__func__
    monkeypatch.setattr(
        Shapes, "first_labels", classmethod(lambda *a: made.append(a[1]) or first(*a))
    )
    info = load("shapes:1000", 8, cache=tmp_path).info
    assert made == ["train", "validation", "test"]
    assert load("shapes:1000", 8, cache=tmp_path).info == info and len(made) == 3
    (entry,) = entries(tmp_path)
    os.utime(tmp_path / entry.title / "used", (0, 0))
    again = reopen("shapes:1000", info.fingerprint, tmp_path)
    assert time.time() - entries(tmp_path)[0].used < 60  # of a run that lasts for days, too
    assert again.info == info and len(again.pools["train"]) == 1000
    assert reopen("shapes:1000", "0" * 64, tmp_path) is None
    (again.folder / "train_labels.npy").write_bytes(b"cut")
    assert reopen("shapes:1000", info.fingerprint, tmp_path) is None
