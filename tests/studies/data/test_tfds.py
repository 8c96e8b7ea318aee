"""Other data sets of TensorFlow Datasets, offline: one is made and prepared here, in a process."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from studies.data import Options, load
from studies.data.cache import entries
from studies.errors import UsageError

pytestmark = [pytest.mark.once, pytest.mark.slow]
ROOT = Path(__file__).parents[3]

BUILDER = """
import numpy as np, tensorflow_datasets as tfds

class MyThings(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "picture": tfds.features.Image(shape=(None, None, 3)),
            "kind": tfds.features.ClassLabel(names=["a", "b", "c"]),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, manager):
        return {"train": self._generate_examples(60, 0), "test": self._generate_examples(30, 100)}

    def _generate_examples(self, number, first):
        for i in range(number):
            picture = np.full((8 + i % 3, 10, 3), first + i, np.uint8)
            yield i, {"picture": picture, "kind": i % 3}
"""
MAKER = """
import sys
from my_builder import MyThings
MyThings(data_dir=sys.argv[1], file_format=sys.argv[2]).download_and_prepare()
"""


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    """A folder with a module that has a builder."""
    folder = tmp_path_factory.mktemp("module")
    (folder / "my_builder.py").write_text(BUILDER)
    (folder / "maker.py").write_text(MAKER)
    return folder


def make(module, data_dir, file_format):
    command = [sys.executable, module / "maker.py", data_dir, file_format]
    subprocess.run(command, check=True, capture_output=True, cwd=module)


@pytest.fixture(scope="module")
def cache(module, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    make(module, folder / "tfds", "array_record")
    return folder


def test_any_prepared_name_works(cache):
    data = load("my_things", 8, cache=cache)
    assert data.info.class_names == ("a", "b", "c") and data.info.image_shape == (8, 8, 3)
    assert data.info.counts == {"train": 54, "validation": 6, "test": 30}
    part = data.replicate(0)
    pixels = part.test.images[:, 4, 4, 0].astype(int)
    assert sorted(pixels) == list(range(100, 130))
    np.testing.assert_array_equal((pixels - 100) % 3, part.test.labels)
    for split in (part.train, part.validation):
        np.testing.assert_array_equal(np.asarray(split.images)[:, 4, 4, 0] % 3, split.labels)


def test_differing_sizes_need_an_image_size(cache):
    with pytest.raises(UsageError, match="images of my_things differ in size: give an image size"):
        load("my_things", cache=cache)


def test_what_the_user_has_prepared_is_read_where_it_lies(cache, module, tmp_path, monkeypatch):
    """In either format, by TFDS_DATA_DIR and in the usual folder, without the builder's code."""
    here = load("my_things", 8, cache=cache)
    made = {"tfrecord": tmp_path / "made", "array_record": tmp_path / "home/tensorflow_datasets"}
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for file_format, data_dir in made.items():
        make(module, data_dir, file_format)
        if file_format == "tfrecord":
            monkeypatch.setenv("TFDS_DATA_DIR", str(data_dir))
        else:
            monkeypatch.delenv("TFDS_DATA_DIR")
        there = load("my_things", 8, cache=tmp_path / file_format)
        assert there.info == here.info  # so the order is the same, too
        assert not (tmp_path / file_format / "tfds").exists()


def test_a_module_with_builders_is_imported(module, tmp_path, monkeypatch, cache):
    monkeypatch.chdir(module)
    data = load("my_things", 8, Options(imports=("my_builder",)), cache=tmp_path)
    assert data.info.fingerprint == load("my_things", 8, cache=cache).info.fingerprint
    (module / "broken.py").write_text("import nothing_of_that_name")
    with pytest.raises(UsageError, match=r"'broken' of --import cannot be loaded \(ModuleNotFound"):
        load("my_things", 8, Options(imports=("broken",)), cache=tmp_path / "other")


def test_what_is_prepared_from_is_used_then(cache, module, tmp_path, monkeypatch):
    """A preparation notes it; one from the user's own folders does not."""

    def days_ago():
        (used,) = [entry.used for entry in entries(cache) if entry.title == "tfds"]
        return (time.time() - used) / 86_400

    past = time.time() - 40 * 86_400
    os.utime(cache / "tfds", (past, past))
    make(module, tmp_path / "own", "array_record")
    with monkeypatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", str(tmp_path / "own"))
        load("my_things", 5, cache=cache)
    assert days_ago() > 39
    load("my_things", 6, cache=cache)
    assert days_ago() < 1


# Tells who loads it, and that it is asked for images; slow, so that another is not done before.
SLOW = """
import os, time
from pathlib import Path
import my_builder

class SlowThings(my_builder.MyThings):
    def _split_generators(self, manager):
        Path(f"asked-{os.getpid()}").touch()
        time.sleep(4)
        return super()._split_generators(manager)

Path(f"loaded-{os.getpid()}").touch()
"""
LOADER = """
from studies.data import Options, load
load('slow_things', 8, Options(imports=('slow',)))
"""


@pytest.fixture
def slow(module, tmp_path, monkeypatch):
    """In a folder that is the working folder, too."""
    (tmp_path / "my_builder.py").write_text(BUILDER)
    (tmp_path / "slow.py").write_text(SLOW)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_VIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    return tmp_path


def test_of_two_processes_at_once_one_downloads_and_prepares(slow):
    """For images of two sizes, which are no business of each other in the cache."""

    def at(size):
        return load("slow_things", size, Options(imports=("slow",)))

    with ThreadPoolExecutor() as pool:
        small, large = pool.map(at, (8, 16))
    assert len(list(slow.glob("loaded-*"))) == 2 and len(list(slow.glob("asked-*"))) == 1
    assert small.info.image_shape == (8, 8, 3) and large.info.image_shape == (16, 16, 3)
    small.refuse_others(large)


def test_who_waits_for_another_process_can_be_interrupted(slow, cache):
    (slow / "cache").mkdir()
    with FileLock(slow / "cache" / ".tfds.lock"):
        waiting = subprocess.Popen([sys.executable, "-c", LOADER], stderr=subprocess.PIPE)
        try:
            end = time.monotonic() + 120
            while not (loaded := list(slow.glob("loaded-*"))):
                assert waiting.poll() is None and time.monotonic() < end
                time.sleep(0.05)
            time.sleep(2)
            assert waiting.poll() is None
            waiting.send_signal(signal.SIGINT)
            assert b"KeyboardInterrupt" in waiting.communicate(timeout=60)[1]
        finally:
            waiting.kill()
        worker = int(loaded[0].name.partition("-")[2])
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)
    assert not list(slow.glob("asked-*"))
    with FileLock(cache / ".tfds.lock"):  # what is prepared waits for nobody
        assert load("my_things", 12, cache=cache).info.image_shape == (12, 12, 3)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("fashon_mnist", r"unknown \(did you mean 'fashion_mnist'\?\): choose shapes"),
        ("shaps", r"'shaps' is unknown \(did you mean 'shapes'\?\)"),
        ("", "'' is unknown"),
        ("../x", "unknown"),
        ("cifar10/foo", "'cifar10' has no config 'foo'"),
        ("imdb_reviews", "imdb_reviews has no image"),
    ],
)
def test_wrong_names_are_refused(tmp_path, name, words):
    with pytest.raises(UsageError, match=words) as caught:
        load(name, 32, cache=tmp_path)
    assert "\n" not in str(caught.value)
    assert not [p for p in tmp_path.iterdir() if p.is_dir() and p.name != "tfds"]
