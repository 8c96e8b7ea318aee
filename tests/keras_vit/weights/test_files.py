"""What is no checkpoint is refused with one sentence, and nothing is unpickled."""

import errno
import json
import os
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


@pytest.mark.parametrize(
    "name", ["namelist", "open"]
)  # as the file is opened, and as an array is read
def test_what_the_system_says_is_no_damage(tmp_path, arrays, monkeypatch, name):
    """A disk or a network that fails is not mended by getting the file again."""
    path = tmp_path / "vit.npz"
    np.savez(path, **arrays)

    def fails(*arguments, **options):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(zipfile.ZipFile, name, fails)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
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


def test_arrays_that_lie_in_other_files_are_not_read(tmp_path):
    """An HDF5 file can name any file of this machine as the place of its arrays."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"s3cr3t--")
    with h5py.File(tmp_path / "outside.h5", "w") as file:
        file.create_dataset("a", (8,), "u1", external=[(str(secret), 0, 8)])
    layout = h5py.VirtualLayout((8,), "u1")
    layout[:] = h5py.VirtualSource(str(tmp_path / "outside.h5"), "a", (8,))
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        file.create_virtual_dataset("a", layout)
    for name in ("outside.h5", "virtual.h5"):
        with pytest.raises(ValueError, match="array a in another file, which is not read"):
            read_checkpoint(tmp_path / name)
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["a"] = h5py.ExternalLink(str(tmp_path / "outside.h5"), "a")
    with pytest.raises(ValueError, match="names of no known checkpoint"):
        read_checkpoint(tmp_path / "link.h5")


def test_a_file_that_says_it_is_larger_than_it_can_be_is_refused(tmp_path, arrays, monkeypatch):
    with h5py.File(tmp_path / "hollow.h5", "w") as file:
        file.create_dataset("a", (10**12,), "f4", chunks=(1024,))
    with zipfile.ZipFile(tmp_path / "packed.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(10**8))
    monkeypatch.setattr("keras_vit.weights.readers._ALWAYS", 10**7)  # bytes
    for name, words in (("hollow.h5", "holds 4,000.0 GB in"), ("packed.npz", r"holds 0\.1 GB in")):
        with pytest.raises(ValueError, match=words):
            read_checkpoint(tmp_path / name)
    np.savez(tmp_path / "vit.npz", **arrays)
    with zipfile.ZipFile(tmp_path / "vit.npz") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name, head = next((n, c) for n, c in parts.items() if b"(8,)" in c)
    parts[name] = head.replace(b"(8,), }" + b" " * 14, b"(9999999999,), }     ")
    with zipfile.ZipFile(tmp_path / "head.npz", "w") as archive:
        for each, content in parts.items():
            archive.writestr(each, content)
    assert parts[name] != head and len(parts[name]) == len(head)
    with pytest.raises(ValueError, match="holds less than its shape"):
        read_checkpoint(tmp_path / "head.npz")


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    (tmp_path / "zeros.npz").symlink_to("/dev/zero")
    for name in ("pipe.npz", "zeros.npz"):
        with pytest.raises(ValueError, match="is no file; give the path of a checkpoint"):
            read_checkpoint(tmp_path / name)


@pytest.mark.parametrize(
    "name", ["../a.safetensors", "/a.safetensors", "..", "", "b/a.safetensors"]
)
def test_shards_lie_beside_their_index(tmp_path, name):
    (tmp_path / "a.safetensors").write_bytes(b"")
    folder = tmp_path / "model"
    folder.mkdir()
    index = {"weight_map": {"head.bias": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"must name files beside it, not '"):
        read_checkpoint(folder)
