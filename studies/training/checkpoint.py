"""Checkpoints that survive a kill at any moment: whole or not there at all.

One file holds everything that a training run needs to go on: groups of arrays and a small JSON
object. It is written beside its final name, flushed to the disk and renamed, and ends with a
checksum; the file before it is kept, so that even a torn newest one costs a single epoch.

    magic line | header's length (8 bytes) | JSON header | the arrays' bytes | SHA-256 of all before
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from studies.machine.files import file_bytes, parsed_json, remove_leftovers, replaced
from studies.records.checkpoints import FINAL
from studies.shown import printable

MAGIC = b"keras_vit studies checkpoint 1\n"
KEPT = 2  # the newest and, should that one be damaged, its predecessor


class Checkpoint(NamedTuple):
    """What a checkpoint file holds."""

    meta: dict[str, Any]
    arrays: dict[str, list[np.ndarray]]


class DamagedCheckpoint(Exception):
    """A file that is not a whole checkpoint."""


def save(path: Path, meta: Mapping[str, Any], arrays: Mapping[str, Iterable[np.ndarray]]) -> None:
    """Write one checkpoint file atomically.

    Args:
        path: final name; an existing file is replaced in one step.
        meta: anything that JSON can hold.
        arrays: lists of arrays by group, e.g. `{"model": [...], "optimizer": [...]}`.

    Raises:
        OSError: the file cannot be written; then `path` is as it was.
    """
    flat = [
        (group, np.asarray(array, order="C")) for group, items in arrays.items() for array in items
    ]
    header = json.dumps(
        {
            "meta": meta,
            "groups": list(arrays),
            "arrays": [[group, str(array.dtype), array.shape] for group, array in flat],
        }
    ).encode()
    with replaced(path, durable=True) as beside, beside.open("wb") as file:
        digest = hashlib.sha256()
        for block in (MAGIC, len(header).to_bytes(8, "little"), header):
            file.write(block)
            digest.update(block)
        for _, array in flat:
            block = array.tobytes()
            file.write(block)
            digest.update(block)
        file.write(digest.digest())


def load(path: Path) -> Checkpoint:
    """Read one checkpoint file and verify every byte of it.

    Raises:
        DamagedCheckpoint: the file is torn, altered or something else altogether.
        FileNotFoundError: there is no such file.
        OSError: it cannot be read, or is a pipe or a device.
    """
    data = memoryview(file_bytes(path))
    start = len(MAGIC) + 8
    if len(data) < start + 32 or data[: len(MAGIC)] != MAGIC:
        raise DamagedCheckpoint(f"{path} is not a whole checkpoint of a training.")
    if hashlib.sha256(data[:-32]).digest() != data[-32:]:
        raise DamagedCheckpoint(f"{path} is damaged: its checksum does not match its content.")
    try:  # whoever altered it may have mended the checksum
        return _content(data[:-32], start)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise DamagedCheckpoint(f"{path} is damaged: {error}.") from error


def _content(data: memoryview, start: int) -> Checkpoint:
    offset = start + int.from_bytes(data[len(MAGIC) : start], "little")
    header = parsed_json(bytes(data[start:offset]))
    if not isinstance(header["meta"], dict):
        raise ValueError("its description is no table")
    arrays: dict[str, list[np.ndarray]] = {group: [] for group in header["groups"]}
    for group, dtype, shape in header["arrays"]:
        kind = _dtype(dtype)
        size = math.prod(shape) * kind.itemsize
        if any(length < 0 for length in shape) or kind.hasobject or offset + size > len(data):
            raise ValueError(f"it does not hold an array {dtype} of shape {shape}")
        # A copy: the file's buffer neither aligns nor should live on.
        array = np.frombuffer(data[offset : offset + size], kind).reshape(shape).copy()
        arrays[group].append(array)
        offset += size
    return Checkpoint(header["meta"], arrays)


class CheckpointFolder:
    """The checkpoints of one training: numbered states while it runs, one final file once it is trained.

    Args:
        folder: created when the first file is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.final_path = folder / FINAL

    def save_state(
        self, number: int, meta: Mapping[str, Any], arrays: Mapping[str, Iterable[np.ndarray]]
    ) -> None:
        """Write state `number` and forget all but it and its predecessor."""
        self.folder.mkdir(parents=True, exist_ok=True)
        save(self._state_path(number), meta, arrays)
        for path in self._states()[KEPT:]:
            path.unlink(missing_ok=True)

    def newest_state(self) -> Checkpoint | None:
        """The newest whole state, or None; a damaged one is named on stderr and passed over."""
        for path in self._states():
            state = _load_if_whole(path)
            if state is not None:
                return state
        return None

    def save_final(
        self, meta: Mapping[str, Any], arrays: Mapping[str, Iterable[np.ndarray]]
    ) -> None:
        """Write the end of the training, then drop the states, which nothing needs any more."""
        self.folder.mkdir(parents=True, exist_ok=True)
        save(self.final_path, meta, arrays)
        self.clean()

    def final(self) -> Checkpoint | None:
        """The end of the training, or None when it has not got there."""
        return _load_if_whole(self.final_path) if self.final_path.exists() else None

    def clean(self) -> None:
        """Remove the states and what killed writers left behind."""
        for path in self._states():
            path.unlink(missing_ok=True)
        remove_leftovers(self.folder)

    def _state_path(self, number: int) -> Path:
        return self.folder / f"state-{number:06d}.ckpt"

    def _states(self) -> list[Path]:
        """Newest first."""
        found = [p for p in self.folder.glob("state-*.ckpt") if re.fullmatch(r"state-\d+", p.stem)]
        return sorted(found, reverse=True)


def digest(arrays: Iterable[np.ndarray]) -> str:
    """SHA-256 over the arrays' types, shapes and bytes: equal exactly when all their bits are."""
    result = hashlib.sha256()
    for array in arrays:
        array = np.asarray(array, order="C")
        result.update(f"{array.dtype}{array.shape}".encode())
        result.update(array.tobytes())
    return result.hexdigest()


def _load_if_whole(path: Path) -> Checkpoint | None:
    try:
        return load(path)
    except DamagedCheckpoint as damage:
        print(f"{printable(str(damage))} Going back to the checkpoint before it.", file=sys.stderr)
    except FileNotFoundError:
        return None
    return None


def _dtype(name: str) -> np.dtype:
    try:
        return np.dtype(name)
    except TypeError:
        # bfloat16 and the float8 types are known to NumPy only once ml_dtypes is loaded.
        import ml_dtypes

        if not re.fullmatch(r"b?float\w+|u?int\w+", name):
            raise ValueError(f"there are no arrays of {name}") from None
        return np.dtype(getattr(ml_dtypes, name))
