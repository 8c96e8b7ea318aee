"""Other data sets of TensorFlow Datasets, offline: one is made and prepared here, in a process."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from studies.data import load
from studies.errors import UsageError

pytestmark = [pytest.mark.once, pytest.mark.slow]
ROOT = Path(__file__).parents[3]

MAKER = """
import sys
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

MyThings(data_dir=sys.argv[1], file_format="array_record").download_and_prepare()
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    script = folder / "maker.py"
    script.write_text(MAKER)
    subprocess.run([sys.executable, script, folder / "tfds"], check=True, capture_output=True)
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
