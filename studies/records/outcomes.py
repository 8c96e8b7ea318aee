"""What every trial said about every test image: RUN/outcomes/<trial_id>.npz, one file a trial.

The file is there before its record's line, and whole or not at all. Arrays are those of
`studies.analysis.outcomes.Outcomes`, in small types: class numbers in as few bytes as they need,
probabilities in half precision (to 0.0005).
"""

from __future__ import annotations

import io
import math
import struct
import sys
import zipfile
import zlib
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from studies.analysis.outcomes import FIELDS, Outcomes
from studies.machine.files import file_bytes, replaced
from studies.shown import printable

_MOST = 2**30  # bytes of all arrays: test sets of tens of millions of images
_MAGIC, _VERSION, _LENGTH = b"\x93NUMPY\x01\x00", (1, 0), struct.Struct("<H")  # of an .npy's head
_LENGTHS = struct.Struct("<HH")  # of a name and what follows it, before a file in a .zip
_ENTRY = struct.Struct("<4s6H3I5H2I")  # of a .zip's directory
_WANTED = itemgetter(
    4, 7, 8, 9, 10, 11, 12, 16
)  # its method, sum, two sizes, three lengths, and place
_TESTED = ("image", "group", "label")  # fields that trials on the same test set have in common
_WIDE = {"i": np.int64, "u": np.int64, "f": np.float64}  # what arrays are read as, by dtype.kind


class Member(NamedTuple):
    """A file in an archive, as it lies there: how, the sum and the size of its content, and its bytes."""

    method: int
    crc: int
    size: int
    data: bytes


Shared = dict[Member, np.ndarray]


def outcomes_of(
    seed: int, logits: np.ndarray, labels: np.ndarray, ids: np.ndarray, groups: np.ndarray
) -> Outcomes:
    """What a trained model's logits say about the test images.

    Args:
        seed: of the trial.
        logits: (N, C).
        labels: (N,) integers.
        ids: (N,) each image's number in the data set.
        groups: (N,) integers, equal for images that belong together.
    """
    logits = np.asarray(logits, np.float64)
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities = shifted / shifted.sum(axis=-1, keepdims=True)
    predicted = np.argmax(logits, axis=-1)
    rows = np.arange(len(labels))
    return Outcomes(
        seed=seed,
        image=np.asarray(ids),
        group=np.asarray(groups),
        label=np.asarray(labels),
        predicted=predicted,
        confidence=probabilities[rows, predicted],
        label_probability=probabilities[rows, labels],
    )


def save_outcomes(path: Path, outcomes: Outcomes, durable: bool = True) -> None:
    """Write a file of outcomes in one step.

    Args:
        path: of the file.
        outcomes: its content.
        durable: whether it is on the disk when this returns, as it must be before a record says so.

    Raises:
        OSError: it cannot be written; then `path` is as it was.
    """
    classes = int(max(outcomes.label.max(), outcomes.predicted.max()))
    arrays = {
        "image": outcomes.image.astype(np.int32),
        "group": outcomes.group.astype(np.int32),
        "label": outcomes.label.astype(np.min_scalar_type(classes)),
        "predicted": outcomes.predicted.astype(np.min_scalar_type(classes)),
        "confidence": outcomes.confidence.astype(np.float16),
        "label_probability": outcomes.label_probability.astype(np.float16),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced(path, durable) as beside, beside.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, seed=np.int64(outcomes.seed), **arrays)


def load_outcomes(path: Path, shared: Shared | None = None) -> Outcomes | None:
    """Read a file of outcomes; None where there is none, or, said on stderr, where it is damaged.

    Args:
        path: of the file.
        shared: arrays of what trials were tested on, from files that were read before; those of this file
            are added. Trials on the same test set have the same ones then.
    """
    shared = {} if shared is None else shared
    try:
        members = _members(file_bytes(path))
        arrays = {}
        for name in FIELDS:
            member = members[f"{name}.npy"]
            array = shared.get(member) if name in _TESTED else None
            if array is None:
                array = _array(member)
                array = array.astype(_WIDE[array.dtype.kind])
            if name in _TESTED:
                shared[member] = array
            arrays[name] = array
        return _sound(Outcomes(seed=int(_array(members["seed.npy"])), **arrays))
    except FileNotFoundError:
        return None
    except Exception as error:  # of many types, from the readers of archives and of arrays
        told = printable(" ".join(str(error).split()) or type(error).__name__)
        print(f"{path} is damaged and passed over ({told}).", file=sys.stderr)
        return None


def _sound(outcomes: Outcomes) -> Outcomes:
    """The same outcomes; raises ValueError where no model can have said so."""
    for name in ("label", "predicted"):
        numbers = getattr(outcomes, name)
        if numbers.dtype.kind == "f" or numbers.min() < 0:
            raise ValueError(f"{name} holds what is no number of a class")
    for name in ("confidence", "label_probability"):
        shares = getattr(outcomes, name)
        if not 0 <= shares.min() <= shares.max() <= 1:  # nor NaN, which is both then
            raise ValueError(f"{name} holds what is no probability")
    return outcomes


def _members(content: bytes) -> dict[str, Member]:
    """The files in an archive as NumPy writes it.

    A report reads thousands of them: `np.load` takes five times as long, and `zipfile` twice.
    """
    found, room = {}, _MOST
    end = content.rindex(b"PK\x05\x06")
    number, _, place = struct.unpack_from("<HII", content, end + 10)
    for _ in range(number):
        entry = _WANTED(_ENTRY.unpack_from(content, place))
        method, crc, packed, size, name, extra, comment, offset = entry
        room -= size
        if room < 0:
            raise ValueError("it says that it holds more than any test set has")
        before, between = _LENGTHS.unpack_from(content, offset + 26)
        start = offset + 30 + before + between
        begin = place + _ENTRY.size
        data = content[start : start + packed]
        found[content[begin : begin + name].decode()] = Member(method, crc, size, data)
        place = begin + name + extra + comment
    return found


def _array(member: Member) -> np.ndarray:
    """The array of an .npy file in an archive."""
    content = member.data
    if member.method == zipfile.ZIP_DEFLATED:
        unpacking = zlib.decompressobj(-zlib.MAX_WBITS)
        content = unpacking.decompress(content, max(1, member.size))  # no more
    if len(content) != member.size or zlib.crc32(content) != member.crc:
        raise zipfile.BadZipFile("its sums are wrong")
    length = _LENGTH.unpack_from(content, len(_MAGIC))[0]
    start = len(_MAGIC) + _LENGTH.size + length
    shape, dtype = _header(content[:start])
    return np.frombuffer(content, dtype, math.prod(shape), start).reshape(shape)


@lru_cache(1024)  # of trials on the same test set they are equal
def _header(content: bytes) -> tuple[tuple[int, ...], np.dtype]:
    file = io.BytesIO(content)
    if np.lib.format.read_magic(file) != _VERSION:
        raise ValueError("an array of another version of NumPy's format")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if fortran or dtype.hasobject:  # Python objects would be unpickled
        raise ValueError(f"an array of {dtype}, which is none of an outcome's")
    return shape, dtype
