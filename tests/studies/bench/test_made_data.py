"""Data sets that a bench makes are what the studies read: a folder, and a set of TensorFlow Datasets."""

import subprocess
import sys

import numpy as np
import pytest

from studies.bench import made_data
from studies.data import load

pytestmark = pytest.mark.once


def made(kind, folder):
    order = [kind, str(folder), "60", "8"]
    subprocess.run(
        [sys.executable, "-m", "studies.bench.made_data", *order],
        check=True,
        stdin=subprocess.DEVNULL,
    )


def check(data):
    counts = {"train": 60, "validation": made_data.VALIDATION, "test": made_data.TEST}
    assert data.info.counts == data.info.official == counts
    assert data.info.image_shape == (8, 8, 3) and data.info.num_classes == made_data.CLASSES
    pools = data.pools.values()
    images = np.concatenate([np.asarray(pool.images) for pool in pools])
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == sum(counts.values())
    assert 120 < images.mean() < 135 and images.std() > 70  # of all brightnesses alike: 127.5, 73.9
    for pool in pools:
        assert len(set(np.bincount(pool.labels, minlength=10))) == 1


def test_a_folder(tmp_path):
    made("folder", tmp_path / "images")
    check(load(f"folder:{tmp_path / 'images'}", 8, cache=tmp_path / "cache"))


def test_a_set_of_tensorflow_datasets_in_several_files(tmp_path, monkeypatch):
    monkeypatch.setattr(made_data, "_SHARD", 5000)
    made_data.tfds_files(tmp_path / "tfds", 60, 8)
    assert len(list((tmp_path / "tfds").rglob("*train.array_record-*-of-00003"))) == 3
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    data = load(made_data.TFDS_NAME, 8, cache=tmp_path / "cache")
    check(data)
    np.testing.assert_array_equal(data.pools["train"].labels, np.arange(60) % 10)
