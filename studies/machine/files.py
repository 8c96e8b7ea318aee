"""What a file holds, told by a hash: the same content is the same, under whatever path it lies."""

from __future__ import annotations

import hashlib
import os
import stat
from functools import lru_cache
from pathlib import Path


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


def stamp(path: str | Path) -> tuple[int, int, int]:
    """What changes with a file's content: its size in bytes, and when content and entry changed (ns).

    Raises:
        OSError: as of `file_digest`.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for without end
        raise OSError(None, "it is no file", str(path))
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


@lru_cache(maxsize=1024)
def _digest(path: Path, _stamp: tuple[int, int, int]) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
