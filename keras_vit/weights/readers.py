"""Opening checkpoint files: names and arrays, never code.

What a file is, its first bytes say, not its name. Nothing is ever unpickled: a pickle can run
anything. Nor is a file believed that says it holds far more than it can: a few bytes may claim an
array larger than the memory, and an HDF5 file that its arrays lie in other files.
"""

import contextlib
import errno
import json
import math
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

_ALWAYS = 2**30  # bytes that arrays may have, whatever their file's size: a head may be all zeros
# What is wrong with a disk, a network or a permission, and not with the file.
_SYSTEM = {errno.EIO, errno.EACCES, errno.EPERM, errno.ESTALE, errno.ETIMEDOUT, errno.ENXIO}
_PACKED = 20  # times the size of its file, that arrays beyond it may have


class LazyArrays(Mapping):
    """Arrays by name, each read when it is asked for."""

    def __init__(self, names: list[str], read: Callable[[str], np.ndarray]):
        self._names, self._read = dict.fromkeys(names), read

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._names:
            raise KeyError(name)
        return self._read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@dataclass
class OpenedFile:
    """A checkpoint's arrays and what it says about them."""

    arrays: Mapping[str, np.ndarray]
    metadata: dict[str, str] = field(default_factory=dict)


@contextlib.contextmanager
def open_file(path: str | os.PathLike) -> Iterator[OpenedFile]:
    """Opens an .npz, .safetensors or .weights.h5 file.

    Raises:
        FileNotFoundError: if there is no such file.
        OSError: if the system cannot read it.
        ValueError: for a truncated file, a pickle, or anything else that is no checkpoint.
    """
    path = Path(path)
    if not os.path.exists(path):  # Path's own raises an error for a name that is too long
        raise FileNotFoundError(f"There is no checkpoint {path}.")
    if not path.is_file():  # a pipe would be waited for without end
        raise ValueError(f"{path} is no file; give the path of a checkpoint.")
    with _readable(path), path.open("rb") as file:
        start = file.read(16)
    opener = _opener(path, start)
    with contextlib.ExitStack() as stack:
        with _readable(path):
            opened = stack.enter_context(opener(path))
        arrays = opened.arrays

        def read(name):
            with _readable(path):
                array = arrays[name]
            return _as_float(array)

        yield OpenedFile(LazyArrays(list(arrays), read), opened.metadata)


def read_json(path: Path) -> Any:
    """Returns what a JSON file holds.

    Raises:
        OSError: if the system cannot read it.
        ValueError: for anything else.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    except RecursionError as error:
        raise ValueError(f"{path} has too many brackets in brackets.") from error


def _opener(path, start):
    if start.startswith(b"PK"):
        return _open_zip
    if start.startswith(b"\x89HDF"):
        return _open_h5
    if start[8:9] == b"{":
        return _open_safetensors
    if start.startswith((b"\x80", b"(dp")):
        raise _pickled(path)
    if start.startswith(b"\x93NUMPY"):
        raise ValueError(f"{path} holds a single array (.npy); a checkpoint is an .npz file.")
    raise ValueError(
        f"{path} is no checkpoint: it is neither an .npz nor a .safetensors nor a .weights.h5 "
        "file, or its beginning is damaged."
    )


@contextlib.contextmanager
def _open_zip(path):
    with zipfile.ZipFile(path) as archive:
        names, comment = archive.namelist(), archive.comment
        declared = sum(member.file_size for member in archive.infolist())
    if any(name.endswith("data.pkl") for name in names):
        raise _pickled(path)
    if "config.json" in names:
        raise ValueError(
            f"{path} is a .keras file; keras.saving.load_model reads it, and load_weights takes a "
            ".weights.h5 file or a preset folder of keras-hub."
        )
    if not names or not all(name.endswith(".npy") for name in names):
        raise ValueError(f"{path} is a zip file, but not of NumPy arrays (.npz).")
    _check_size(path, declared)
    with np.load(path, allow_pickle=False) as arrays:

        def read(name):
            _check_header(arrays.zip, f"{name}.npy")
            return arrays[name]

        yield OpenedFile(LazyArrays(arrays.files, read), _comment_metadata(comment))


def _check_header(archive, name):
    """Refuses an array that says it is larger than what there is of it, before memory is taken."""
    with archive.open(name) as file:
        version = np.lib.format.read_magic(file)
        header = "read_array_header_1_0" if version == (1, 0) else "read_array_header_2_0"
        shape, _, dtype = getattr(np.lib.format, header)(file)
    if math.prod(shape) * dtype.itemsize > archive.getinfo(name).file_size and not dtype.hasobject:
        raise ValueError(f"{name} holds less than its shape {shape}")


@contextlib.contextmanager
def _open_h5(path):
    import h5py  # with Keras, but slow to import

    with h5py.File(path, "r") as file:
        found: dict[str, h5py.Dataset] = {}
        file.visititems(  # links are not followed
            lambda name, item: (
                found.update({name: item}) if isinstance(item, h5py.Dataset) else None
            )
        )
        for name, item in found.items():
            if item.external or item.is_virtual:
                raise ValueError(f"{path} has the array {name} in another file, which is not read.")
        declared = sum(math.prod(i.shape or ()) * i.dtype.itemsize for i in found.values())
        _check_size(path, declared)
        yield OpenedFile(LazyArrays(list(found), lambda name: found[name][()]))


@contextlib.contextmanager
def _open_safetensors(path):
    safetensors = import_safetensors()
    with safetensors.safe_open(str(path), framework="np") as file:
        names, metadata = list(file.keys()), dict(file.metadata() or {})
        halves = _bfloat16_spans(path)

        def read(name):
            if name in halves:  # NumPy has no bfloat16
                return _read_bfloat16(path, *halves[name])
            return file.get_tensor(name)

        yield OpenedFile(LazyArrays(names, read), metadata)


def _check_size(path, declared):
    """Refuses arrays of so many bytes that no checkpoint of a file's size can hold."""
    size = path.stat().st_size
    if declared > max(_ALWAYS, _PACKED * size):
        raise ValueError(
            f"{path} says that it holds {declared / 1e9:,.1f} GB in {size / 1e6:,.1f} MB: no "
            "checkpoint is packed like that, and it is not read."
        )


def import_safetensors():
    """Returns the safetensors package.

    Raises:
        ImportError: with what to install.
    """
    try:
        import safetensors
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            "Reading and writing .safetensors files needs the package safetensors: "
            "pip install safetensors."
        ) from error
    return safetensors


def _bfloat16_spans(path):
    """Returns {name: (shape, first byte, last byte)} of the bfloat16 tensors."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))  # which safetensors has read
    start = 8 + length
    return {
        name: (entry["shape"], *(start + offset for offset in entry["data_offsets"]))
        for name, entry in header.items()
        if name != "__metadata__" and entry["dtype"] == "BF16"
    }


def _read_bfloat16(path, shape, first, last):
    with path.open("rb") as file:
        file.seek(first)
        raw = file.read(last - first)
    return np.frombuffer(raw, "V2").reshape(shape)


def _as_float(array):
    array = np.asarray(array)
    if array.dtype.kind == "V" and array.dtype.itemsize == 2:
        # bfloat16, which NumPy stores as two raw bytes: the upper half of a float32.
        return (array.view("uint16").astype("uint32") << 16).view("float32")
    return array


def _comment_metadata(comment):
    """Our own .npz files carry their metadata as the zip archive's comment."""
    try:
        metadata = json.loads(comment)
    except (ValueError, RecursionError):
        return {}
    pairs = metadata.items() if isinstance(metadata, dict) else ()
    return {key: value for key, value in pairs if isinstance(value, str)}


@contextlib.contextmanager
def _readable(path):
    """Turns the many ways in which a damaged file fails into one sentence."""
    try:
        yield
    except (ImportError, FileNotFoundError, MemoryError):
        raise
    except OSError as error:
        if error.errno in _SYSTEM:
            error.filename = error.filename or str(path)  # a disk that fails does not say where
            raise
        raise _damaged(
            path, error
        ) from error  # h5py's, which has no number or that of a wrong place
    except Exception as error:  # of any type: those of four readers, and of what they call
        if isinstance(error, ValueError) and str(path) in str(error):
            raise  # one of ours, which says more
        if "allow_pickle" in str(error):
            raise _pickled(path) from error
        raise _damaged(path, error) from error


def _damaged(path, error):
    told = " ".join(str(error).split()) or type(error).__name__
    return ValueError(f"{path} cannot be read: it is truncated or damaged ({told}); get it again.")


def _pickled(path):
    return ValueError(
        f"{path} contains a pickle, which can run any code and is never opened here; convert it "
        "to .safetensors (in PyTorch, load it with weights_only=True and save the state_dict with "
        "safetensors.torch.save_file)."
    )
