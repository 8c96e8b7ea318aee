"""Other data sets of TensorFlow Datasets, offline: one is made and prepared here, in a process."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from studies.data import Options, load
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
