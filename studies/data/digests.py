"""Hashes of many files' contents, remembered, so that a second look need not read them again."""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from studies.data.progress import progress
from studies.machine.files import file_digest, stamp
from studies.machine.threaded import threaded

INDEX = "files.sqlite"
_SETTLED = 2_000_000_000  # ns: what has changed just now may change again within a clock's tick
_UNREADABLE = "unreadable"
_DIGEST = re.compile("[0-9a-f]{64}$")
_AT_ONCE = 500  # files that are looked up, or read
_TABLE = (
    "CREATE TABLE IF NOT EXISTS files (path BLOB PRIMARY KEY, size INTEGER, changed INTEGER, "
    "entered INTEGER, digest TEXT) WITHOUT ROWID"
)

Key = tuple[bytes, int, int, int]  # path, and what `stamp` gives
Answer = TypeVar("Answer")
Thing = TypeVar("Thing")


class Digests:
    """Digests by path, size and times, in a database in the cache's folder.

    Where that cannot be read or written, everything works, more slowly.

    Args:
        cache: the cache's folder.

    Example:
        >>> Digests(cache_folder()).of("my photos", ["a.jpg", "b.jpg"])
        ['9f86d08...', '60303ae...']
    """

    def __init__(self, cache: Path) -> None:
        self._path = cache / INDEX

    def of(self, name: str, files: Sequence[str]) -> list[str]:
        """The digests of files; of one that cannot be read, the reason in words instead.

        Args:
            name: what to call the files while they are read.
            files: their paths.
        """
        result: list[str] = []
        for part in _parts(files):
            known = self._known(part)
            for key in map(_key, part):
                result.append(key if isinstance(key, str) else known.get(key, ""))
        new = [i for i, digest in enumerate(result) if not digest]
        with progress(f"reading {name}", len(new), "files") as advance:
            for places in _parts(new):  # what is under way of a million files takes gigabytes
                asked = [files[i] for i in places]
                keys, rows = [_key(file) for file in asked], []  # as they are before they are read
                for i, key, digest in zip(places, keys, threaded(_digest, asked)):
                    result[i] = digest
                    if not isinstance(key, str) and _lasts(key, digest):
                        rows.append((*key, digest))
                    advance(1)
                self._remember(rows)
        return result

    def _known(self, files: Sequence[str]) -> dict[Key, str]:
        def ask(database: sqlite3.Connection) -> dict[Key, str]:
            paths = [os.fsencode(file) for file in files]
            marks = ",".join("?" * len(paths))
            rows = database.execute(f"SELECT * FROM files WHERE path IN ({marks})", paths)
            return {tuple(row[:4]): row[4] for row in rows if _DIGEST.match(str(row[4]))}

        return self._connected(ask, {}) if self._path.exists() else {}

    def _remember(self, rows: Sequence[tuple[bytes, int, int, int, str]]) -> None:
        def write(database: sqlite3.Connection) -> None:
            database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", rows)

        if rows:
            self._connected(write, None)

    def _connected(self, do: Callable[[sqlite3.Connection], Answer], instead: Answer) -> Answer:
        try:
            if self._path.exists() and not self._path.is_file():  # a pipe would be waited for
                return instead
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path, timeout=10)) as database, database:
                database.execute(_TABLE)
                return do(database)
        except (OSError, sqlite3.Error):
            return instead


def _parts(things: Sequence[Thing]) -> Iterator[Sequence[Thing]]:
    for start in range(0, len(things), _AT_ONCE):
        yield things[start : start + _AT_ONCE]


def _key(file: str) -> Key | str:
    """A file's path and stamp, or why it cannot be read."""
    try:
        return (os.fsencode(file), *stamp(file))
    except OSError as error:
        return f"{_UNREADABLE}: {error.strerror}"


def _digest(file: str) -> str:
    try:
        return file_digest(file)
    except OSError as error:
        return f"{_UNREADABLE}: {error.strerror}"


def _lasts(key: Key, digest: str) -> bool:
    return not digest.startswith(_UNREADABLE) and max(key[2:]) < time.time_ns() - _SETTLED
