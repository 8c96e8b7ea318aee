"""What a file holds, the hash of it, and how it is replaced.

The same content is the same, under whatever path it lies. Only files are read: a pipe would be waited for
without end, and a device may have no end.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

TEMPORARY = ".tmp-"  # what is not whole yet, or was left by a killed process, is called so
TOO_DEEP = "it has too many brackets in brackets"
_DEPTH = 50
_HALF = re.compile(r"\\u[dD]")  # of a character, perhaps: JSON can say one without the other


def file_bytes(path: str | os.PathLike[str]) -> bytes:
    """All that a file holds.

    Raises:
        OSError: there is no such file, it cannot be read, or it is a pipe or a device.
    """
    stamp(path)
    with open(path, "rb") as file:
        try:
            return file.read()
        except OSError as error:
            error.filename = os.fspath(path)  # a disk that fails does not say where
            raise


def parsed_json(text: str | bytes) -> Any:
    """The value of a JSON text from a file.

    Raises:
        ValueError: it is no JSON, holds a number that JSON has not (NaN), half a character, or more
            brackets in brackets than can be read.
    """
    text = text.decode() if isinstance(text, bytes) else text
    try:
        value = json.loads(text, parse_constant=_refused)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    if text.count("[") + text.count("{") > _DEPTH:
        check_depth(value)
    if _HALF.search(text):
        json.dumps(value, ensure_ascii=False).encode()  # or a report could not be written
    return value


def check_depth(value: Any) -> None:
    """Raise ValueError where tables and lists lie in each other so deep that nobody wrote them."""
    layer = [value]
    for _ in range(_DEPTH):
        holders = [each for each in layer if isinstance(each, dict | list)]
        layer = [i for each in holders for i in (each.values() if isinstance(each, dict) else each)]
        if not layer:
            return
    raise ValueError(TOO_DEEP)


def _refused(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


@contextmanager
def replaced(path: Path, durable: bool = False) -> Iterator[Path]:
    """Replace a file in one step: whoever reads it, whenever, finds the old one or the new one, whole.

    A process may be killed in the middle. Where there is a link, the link is replaced, and what it leads to
    stays.

    Args:
        path: of the file, in a folder that is there.
        durable: also after a power cut, and the new one is on the disk when this returns.

    Yields:
        Where to write it, beside the old one and with the same ending.

    Raises:
        OSError: it cannot be written; then the old one stays.
    """
    beside = path.with_name(f"{TEMPORARY}{secrets.token_hex(6)}-{path.name}")
    try:
        yield beside
        if durable:
            with open(beside, "rb+") as file:
                os.fsync(file.fileno())
        os.replace(beside, path)
        if durable and sys.platform != "win32":  # which opens no folders
            _sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):  # it is there yet where both were names of one file
            beside.unlink()


def replace(path: Path, content: bytes, durable: bool = False) -> None:
    """The same of a file whose content is at hand."""
    with replaced(path, durable) as beside:
        beside.write_bytes(content)


def remove_leftovers(folder: Path, after: float = 0) -> None:
    """Remove what killed processes left in a folder of what `replaced` was to replace.

    Args:
        folder: which need not be there; those in it are left alone, and so is where a link leads.
        after: seconds since it was last written, where somebody else may be writing yet.
    """
    for path in [] if folder.is_symlink() else folder.glob(f"{TEMPORARY}*"):
        with contextlib.suppress(OSError):  # whoever wrote it has finished
            if time.time() - path.lstat().st_mtime >= after:
                path.unlink()


def make_own_folder(path: Path) -> None:
    """Make a folder that lies where it seems to.

    Raises:
        OSError: it cannot be made, or is a link: what is written to it would come to lie elsewhere.
    """
    if path.is_symlink():
        raise OSError(None, f"{path.name} is a link, and nothing is written through one", str(path))
    path.mkdir(parents=True, exist_ok=True)


def file_digest(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file's content, or of all that lies in a folder: 64 hexadecimal digits.

    A file is read once a process, until its size or its times change.

    Args:
        path: of the file, or of a folder, whose files' paths below it count as their contents do.

    Raises:
        OSError: there is no such file, it cannot be read, or it is a pipe or a device.

    Example:
        >>> file_digest("vit.npz") == file_digest("copies/vit-copy.npz")
        True
    """
    place = Path(path).expanduser()
    if not place.is_dir():
        return _digest(place, stamp(place))
    whole = hashlib.sha256()
    for file in sorted(p for p in place.rglob("*") if not p.is_dir()):
        whole.update(os.fsencode(file.relative_to(place).as_posix()) + b"\0")
        whole.update(_digest(file, stamp(file)).encode())
    return whole.hexdigest()


def stamp(path: str | os.PathLike[str]) -> tuple[int, int, int]:
    """What changes with a file's content: its size in bytes, and when content and entry changed (ns).

    Raises:
        OSError: as of `file_digest`.
    """
    try:
        status = os.stat(path)
    except ValueError:  # a zero byte, or half a character, in its name
        raise OSError(None, "no file can be called so", str(path)) from None
    if not stat.S_ISREG(status.st_mode):
        if stat.S_ISDIR(status.st_mode):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise OSError(None, "it is no file", str(path))
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


@lru_cache(maxsize=1024)
def _digest(path: Path, _stamp: tuple[int, int, int]) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_folder(folder: Path) -> None:
    """Make a new name in it durable, which a power cut may otherwise forget."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
