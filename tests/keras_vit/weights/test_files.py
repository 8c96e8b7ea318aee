"""What is no checkpoint is refused with one sentence, and nothing is unpickled."""

import pickle
import zipfile

import h5py
import numpy as np
import pytest
from safetensors.numpy import save_file

from keras_vit.weights.checkpoint import read_checkpoint
from tests.keras_vit.weights import files

pytestmark = pytest.mark.once


class Bomb:
    """Unpickling it would fail the test."""

    def __reduce__(self):
        return pytest.fail, ("a pickle was opened",)


@pytest.fixture
def arrays(rng) -> files.Arrays:
    return files.vit_jax(rng)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no checkpoint"):
        read_checkpoint(tmp_path / "nothing.npz")


@pytest.mark.parametrize("kind", ["npz", "safetensors", "h5"])
@pytest.mark.parametrize("kept", [0.98, 0.5, 0.02])
def test_truncated(tmp_path, arrays, kind, kept):
    path = tmp_path / f"vit.{kind}"
    if kind == "npz":
        np.savez(path, **arrays)
    elif kind == "safetensors":
        tensors = {n: np.ascontiguousarray(a) for n, a in files.timm_vit(arrays).items()}
        save_file(tensors, str(path))
    else:
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(ValueError, match="truncated or damaged"):
        read_checkpoint(path)


def test_damaged_inside(tmp_path, arrays):
    path = tmp_path / "vit.npz"
    np.savez_compressed(path, **arrays)
    content = bytearray(path.read_bytes())
    content[100:200] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="truncated or damaged"):
        read_checkpoint(path)


@pytest.mark.parametrize("name", ["model.pth", "model.npz", "model.safetensors"])
def test_plain_pickle(tmp_path, name):
    (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match=r"contains a pickle.*safetensors"):
        read_checkpoint(tmp_path / name)


def test_pytorch_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.pth", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match="contains a pickle"):
        read_checkpoint(tmp_path / "model.pth")


def test_objects_in_an_npz(tmp_path, arrays):
    np.savez(tmp_path / "vit.npz", **arrays | {"head/bias": np.array([Bomb()], object)})
    with pytest.raises(ValueError, match="contains a pickle"):
        read_checkpoint(tmp_path / "vit.npz")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no checkpoint"),
        (b"<!DOCTYPE html><html>404</html>", "is no checkpoint"),
    ],
)
def test_something_else(tmp_path, content, message):
    (tmp_path / "vit.npz").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_checkpoint(tmp_path / "vit.npz")


def test_a_single_array(tmp_path):
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(ValueError, match="a single array"):
        read_checkpoint(tmp_path / "array.npy")


def test_other_archives(tmp_path):
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("image.png", b"")
    with pytest.raises(ValueError, match="not of NumPy arrays"):
        read_checkpoint(tmp_path / "images.zip")
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(ValueError, match=r"keras\.saving\.load_model"):
        read_checkpoint(tmp_path / "model.keras")


def test_folder_without_a_checkpoint(tmp_path):
    with pytest.raises(ValueError, match=r"neither model\.safetensors"):
        read_checkpoint(tmp_path)


def test_unknown_names(tmp_path):
    np.savez(tmp_path / "other.npz", weight=np.zeros(3))
    with pytest.raises(ValueError, match=r"names of no known checkpoint.*they are weight"):
        read_checkpoint(tmp_path / "other.npz")


def test_source_must_agree(tmp_path, arrays):
    np.savez(tmp_path / "vit.npz", **arrays)
    assert read_checkpoint(tmp_path / "vit.npz", "google").format.source == "google"
    with pytest.raises(ValueError, match="names of google, not of timm"):
        read_checkpoint(tmp_path / "vit.npz", "timm")
    with pytest.raises(ValueError, match="source is 'flax'; use one of 'google', 'timm'"):
        read_checkpoint(tmp_path / "vit.npz", "flax")


def test_ending_does_not_matter(tmp_path, arrays):
    with (tmp_path / "vit.checkpoint").open("wb") as file:
        np.savez(file, **arrays)
    assert read_checkpoint(tmp_path / "vit.checkpoint").classes == 3


def test_safetensors_missing(tmp_path, arrays, monkeypatch):
    tensors = {n: np.ascontiguousarray(a) for n, a in files.timm_vit(arrays).items()}
    save_file(tensors, str(tmp_path / "vit.safetensors"))
    monkeypatch.setitem(__import__("sys").modules, "safetensors", None)
    with pytest.raises(ImportError, match="pip install safetensors"):
        read_checkpoint(tmp_path / "vit.safetensors")
