"""Fashion-MNIST from Debian's files and through TensorFlow Datasets' download: the same arrays."""

import gzip
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from studies.data import fashion_mnist, load
from studies.errors import UsageError

pytestmark = [pytest.mark.once, pytest.mark.fashion_mnist]
ROOT = Path(__file__).parents[3]


def test_the_original_files_in_their_order(tmp_path):
    data = load("fashion_mnist", cache=tmp_path)
    assert data.info.image_shape == (28, 28, 1)
    assert data.info.counts == {"train": 54_000, "validation": 6_000, "test": 10_000}
    assert data.info.class_counts["validation"] == (600,) * 10
    assert data.info.class_names[9] == "Ankle boot"
    # Read here without our reader: 16 and 8 bytes of head, then the values.
    folder = Path("/usr/share/datasets/fashion-mnist")
    images = gzip.decompress((folder / "t10k-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((folder / "t10k-labels-idx1-ubyte.gz").read_bytes())[8:]
    assert data.info.official == {"train": 60_000, "test": 10_000}
    assert data.pools["test"].images.tobytes() == images
    assert data.pools["test"].labels.astype(np.uint8).tobytes() == labels
    part = data.replicate(0)
    for size in (10, 500, 5000):
        assert set(np.bincount(part.train.labels[part.subset(size)])) == {size // 10}


def test_another_image_size(tmp_path):
    data = load("fashion_mnist", 14, cache=tmp_path)
    assert data.info.image_shape == (14, 14, 1) and data.pools["train"].images.shape == (
        60_000,
        14,
        14,
        1,
    )


@pytest.mark.slow
def test_the_download_gives_the_same_arrays(tmp_path):
    """The files come over a file:// address, so TensorFlow Datasets' way is walked offline."""
    code = (
        "import sys; from pathlib import Path; from studies.data import fashion_mnist as f, load;"
        "f.DEBIAN = Path('/nowhere'); f.URL = 'file:///usr/share/datasets/fashion-mnist/';"
        "data = load('fashion_mnist', cache=sys.argv[1]); print(data.info.fingerprint);"
        "assert not {'tensorflow', 'tensorflow_datasets', 'keras'} & set(sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "downloaded")]
    fingerprint = subprocess.check_output(command, cwd=ROOT, text=True).strip()
    direct = load("fashion_mnist", cache=tmp_path / "direct")
    assert fingerprint == direct.info.fingerprint
    other = load("fashion_mnist", cache=tmp_path / "downloaded")
    for split in ("train", "test"):
        mine, theirs = other.pools[split], direct.pools[split]
        np.testing.assert_array_equal(mine.images, theirs.images)
        np.testing.assert_array_equal(mine.labels, theirs.labels)


@pytest.mark.slow
def test_what_is_prepared_already_is_not_downloaded(tmp_path):
    """Records of TensorFlow Datasets, which are in an order of its own: the same images."""
    prepare = (
        "import sys, tensorflow_datasets as tfds;"
        "b = tfds.builder('fashion_mnist', data_dir=sys.argv[1], file_format='array_record');"
        "b.URL = 'file:///usr/share/datasets/fashion-mnist/';"
        "b.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))"
    )
    load_it = (
        "import sys; from pathlib import Path; from studies.data import fashion_mnist as f, load;"
        "f.DEBIAN = Path('/nowhere'); f.URL = 'file:///nowhere/'; load('fashion_mnist', cache=sys.argv[1])"
    )
    place = {**os.environ, "TFDS_DATA_DIR": str(tmp_path / "tfds")}
    for code, to in ((prepare, "tfds"), (load_it, "cache")):
        command = [sys.executable, "-c", code, str(tmp_path / to)]
        subprocess.run(command, check=True, cwd=ROOT, env=place, capture_output=True)
    assert not (tmp_path / "cache" / "tfds").exists()
    direct, other = (load("fashion_mnist", cache=tmp_path / name) for name in ("direct", "cache"))
    assert other.info.class_names == direct.info.class_names
    for split in ("train", "test"):
        rows = [
            np.c_[np.asarray(d.pools[split].images).reshape(-1, 784), d.pools[split].labels]
            for d in (direct, other)
        ]
        assert sorted(map(bytes, rows[0])) == sorted(map(bytes, rows[1]))


@pytest.mark.parametrize(
    "content",
    [b"", b"not gzipped", gzip.compress(b""), gzip.compress(b"\0\0\x08\x01\0\0\0\x09abc")],
    # Without names of their own these would be the bytes, in which gzip puts the time of day: two
    # processes of one run then collect different tests.
    ids=["empty", "not gzipped", "nothing inside", "too short"],
)
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "labels.gz"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"labels\.gz of fashion_mnist cannot be read"):
        fashion_mnist.read_idx(path)
