"""The cache of prepared data: a folder a data set, written whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

from studies.errors import UsageError
from studies.machine.files import file_bytes, parsed_json, replace

INFO = "info.json"
TFDS = "tfds"  # the folder of TensorFlow Datasets' downloads
MANUAL = "downloads/manual"  # in it, for files that a user must fetch by hand
USED = "used"  # the name that the data was last asked for by, written at each use
Current = Callable[[dict[str, Any]], dict[str, Any] | None]

_LAYOUT = 2  # part of every key: a new layout of the files does not meet old ones


def cache_folder(cache: str | os.PathLike[str] | None = None) -> Path:
    """The cache's folder: the argument, else $KERAS_VIT_CACHE, else ~/.cache/keras_vit."""
    chosen = cache or os.environ.get("KERAS_VIT_CACHE") or "~/.cache/keras_vit"
    return Path(chosen).expanduser().absolute()


def programs_folder(cache: Path) -> Path:
    """Where the programs that JAX compiles for this user lie, whoever shares the cache."""
    return cache / f"programs-{getattr(os, 'getuid', int)()}"


def lock_of(folder: Path) -> FileLock:
    """The lock of one of the cache's folders: it is held while the folder is made, filled or removed."""
    return FileLock(folder.with_name(f".{folder.name}.lock"))


def prepared(
    cache: Path,
    name: str,
    key: Any,
    build: Callable[[Path], dict[str, Any]],
    label: str | None = None,
    current: Current = lambda description: description,
) -> tuple[Path, dict[str, Any]]:
    """Finds a prepared folder, or builds it: under a lock, beside its place, then renamed into it.

    A process that is killed while building leaves nothing that could be taken for the data, two
    processes at once build it once, and a folder with missing or cut files is built again.

    Args:
        cache: the cache's folder.
        name: what to call the data.
        key: JSON-able; together with the label everything that decides the content.
        build: writes the files into the folder that it is given and returns the description.
        label: what the folder's name begins with, where that is not the data's name: a folder of
            images is the same data wherever it lies.
        current: gives the description of data that were prepared before, perhaps with something noted in
            it; None where they are to be prepared anew.

    Returns:
        (folder, description).

    Raises:
        UsageError: the cache cannot be written.
    """
    label = label or name
    digest = hashlib.sha256(json.dumps([_LAYOUT, label, key], sort_keys=True).encode()).hexdigest()
    title = f"{_title(label)}-{digest[:16]}"
    folder = cache / title
    if (info := _current(folder, current)) is None:
        try:
            info = _built(cache, title, name, build, current)
        except OSError as error:
            raise UsageError(
                f"The data set {name} cannot be prepared in the cache folder {cache} "
                f"({error.strerror or error}): make room there, or set KERAS_VIT_CACHE to a folder "
                f"that can be written."
            ) from error
    note_use(folder, name)
    return folder, info


def _current(folder: Path, current: Current) -> dict[str, Any] | None:
    """The description of a complete folder that is as it would be prepared; None where there is none."""
    if (info := _complete(folder)) is None:
        return None
    noted = current(info)
    if noted is not None and noted != info:
        with contextlib.suppress(
            OSError
        ):  # a cache that can be read alone is looked through each time
            replace(folder / INFO, json.dumps(noted).encode(), durable=True)
    return noted


def _title(label: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.]+", "-", label).strip("-.")[-60:]


def note_use(folder: Path, name: str) -> None:
    """Notes that a prepared folder is used now, under a name, where that can be written."""
    with contextlib.suppress(OSError):  # a cache that can be read alone is good enough
        # Anew: what lies there may be a link that leads elsewhere, or a pipe.
        replace(folder / USED, name.encode(errors="surrogateescape"))


def prepared_before(
    cache: Path, fingerprint: str, name: str | None = None
) -> tuple[Path, dict[str, Any]] | None:
    """Finds a folder with prepared data by what they hold, wherever they came from; None: not here.

    Several have the same pixels where files were renamed, or are in a folder and in a table, and differ in
    the names of images: those are found that were last asked for by the name, else those that were prepared
    under it, else the last used.

    Args:
        cache: the cache's folder.
        fingerprint: of the description.
        name: what the data are called.
    """
    found = []
    for path in sorted(cache.glob(f"[!.]*/{INFO}")):  # not what is being prepared
        info = _complete(path.parent)
        if info is not None and info.get("fingerprint") == fingerprint:
            last, moment = _last_use(path.parent) or (None, 0.0)
            found.append(((last == name, info.get("name") == name, moment), path.parent, info))
    return max(found, key=lambda each: each[0])[1:] if found else None


def _last_use(folder: Path) -> tuple[str, float] | None:
    """What `note_use` noted: the name, and when, in seconds since 1970."""
    with contextlib.suppress(OSError, UnicodeError):
        return file_bytes(folder / USED).decode(), (folder / USED).stat().st_mtime
    return None


def restored(
    cache: Path, fingerprint: str, name: str, build: Callable[[Path], dict[str, Any]]
) -> None:
    """Has data that were prepared elsewhere in the cache, where `prepared_before` finds them.

    Args:
        cache, name, build: as of `prepared`.
        fingerprint: of the description.

    Raises:
        OSError: the cache cannot be written; and what `build` raises.
    """
    title = f"{_title(name)}-{fingerprint[:16]}"
    _built(cache, title, name, build)
    note_use(cache / title, name)


@dataclass(frozen=True)
class Entry:
    """What a cache holds: prepared data, downloads of TensorFlow Datasets, or compiled programs.

    Args:
        title: name of its folder in the cache.
        name: what the data was last asked for by.
        bytes: on the disk.
        used: time of the last use, in seconds since 1970; who uses what is no prepared data sets the time of
            its folder.
    """

    title: str
    name: str
    bytes: int
    used: float


def entries(cache: Path) -> list[Entry]:
    """What a cache holds, the last used first."""
    found = []
    for folder in cache.glob("*/"):
        if not folder.name.startswith(".") and ((folder / INFO).exists() or _other(folder)):
            with contextlib.suppress(FileNotFoundError):  # another process removes it
                found.append(_entry(folder))
    return sorted(found, key=lambda entry: (-entry.used, entry.title))


class Removed(NamedTuple):
    """What became of an entry: bytes that are free again, and in words what stays ("": nothing)."""

    bytes: int
    stays: str


def remove(cache: Path, entry: Entry, named: bool = True) -> Removed | None:
    """Removes one entry; a process that has it open keeps what it has.

    Args:
        cache, entry: of `entries`.
        named: whether this very entry is meant. Else what is in `MANUAL` stays.

    Returns:
        what became of it; None where it was gone.

    Raises:
        OSError: it cannot be removed, or not all of it.
    """
    folder = cache / entry.title
    manual = folder / MANUAL
    with lock_of(folder):
        if folder.is_symlink():
            _drop(folder)
            return Removed(0, "what the link led to")
        if not folder.exists():
            return None
        (folder / INFO).unlink(missing_ok=True)  # what is removed in part is not complete
        if not named and folder.name == TFDS and any(manual.glob("*")):
            _drop_beside(manual, folder)
            return Removed(entry.bytes - _size(folder), MANUAL)
        _drop(folder)
        return Removed(entry.bytes, "")


def _drop(path: Path) -> None:
    """Removes a file, a folder with all in it, or a link; what is gone already is no trouble."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    # First so that it goes on where another process has removed something.
    shutil.rmtree(path, ignore_errors=True)
    if path.exists():
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(path)  # says why it stays


def _drop_beside(kept: Path, folder: Path) -> None:
    """Removes all of a folder but one path below it."""
    for path in folder.iterdir():
        if path != kept and path not in kept.parents:
            _drop(path)
        elif path != kept and not path.is_symlink():  # what lies behind a link stays
            _drop_beside(kept, path)


def _other(folder: Path) -> str:
    """What a folder that is no prepared data holds; "" where that is nobody's business."""
    if folder.name == TFDS:
        return "downloads of TensorFlow Datasets"
    return "programs that JAX compiled" if folder == programs_folder(folder.parent) else ""


def _entry(folder: Path) -> Entry:
    info = folder / INFO
    name, last = _other(folder), folder.stat().st_mtime
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        last = info.stat().st_mtime
        name = str(parsed_json(file_bytes(info))["name"])
    if (noted := _last_use(folder)) is not None:
        name, last = noted[0] or name, noted[1]
    return Entry(folder.name, name, _size(folder), min(last, time.time()))


def _size(folder: Path) -> int:
    """Bytes of all files."""
    size = 0
    for place, _, files in os.walk(folder):
        for file in files:
            with contextlib.suppress(OSError):
                size += os.lstat(os.path.join(place, file)).st_size
    return size


def _built(
    cache: Path,
    title: str,
    name: str,
    build: Callable[[Path], dict[str, Any]],
    current: Current = lambda description: description,
) -> dict[str, Any]:
    folder = cache / title
    cache.mkdir(parents=True, exist_ok=True)
    with lock_of(folder):
        if (info := _current(folder, current)) is not None:
            return info  # another process has built it meanwhile
        for leftover in cache.glob(f".{title}.new-*"):
            _drop(leftover)  # of a killed process: ours is the lock
        new = Path(tempfile.mkdtemp(prefix=f".{title}.new-", dir=cache))
        try:
            print(f"Preparing {name} in {folder} (once) ...", file=sys.stderr, flush=True)
            info = build(new)
            _seal(new, info)
            _drop(folder)
            new.rename(folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    return info


def _seal(folder: Path, info: dict[str, Any]) -> None:
    """Writes the description last, with every file's length, and brings all of it to the disk."""
    files = {}
    for path in sorted(folder.iterdir()):
        with open(path, "rb") as file:
            os.fsync(file.fileno())
        files[path.name] = path.stat().st_size
    with open(folder / INFO, "w", encoding="utf-8") as file:
        json.dump({**info, "files": files}, file)
        file.flush()
        os.fsync(file.fileno())
    folder.chmod(0o755)  # mkdtemp gives 0700: others may share the cache


def _complete(folder: Path) -> dict[str, Any] | None:
    """The description of a folder whose files all have their lengths, else None."""
    try:
        info = parsed_json(file_bytes(folder / INFO))
        whole = all((folder / f).stat().st_size == size for f, size in info["files"].items())
        return info if whole else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
