"""Hashes of many files' contents, remembered, so that a second look need not read them again."""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar

from studies.data.progress import progress
from studies.machine.files import file_digest, stamp
from studies.machine.threaded import threaded

INDEX = "files.sqlite"
_SETTLED = 2_000_000_000  # ns: what has changed just now may change again within a clock's tick
_UNREADABLE = "unreadable"
_DIGEST = re.compile("[0-9a-f]{64}$")
_AT_ONCE = 500  # files that are looked up and read: what is under way of a million takes gigabytes
_TABLE = (
    "CREATE TABLE IF NOT EXISTS files (path BLOB PRIMARY KEY, size INTEGER, changed INTEGER, "
    "entered INTEGER, digest TEXT) WITHOUT ROWID"
)

Key = tuple[bytes, int, int, int]  # path, and what `stamp` gives
Answer = TypeVar("Answer")


class Digests:
    """Digests by path, size and times, in a database in the cache's folder.

    Where that cannot be read or written, everything works, more slowly.

    Args:
        cache: the cache's folder.

    Example:
        >>> list(Digests(cache_folder()).of("my photos", ["a.jpg", "b.jpg"]))
        ['9f86d08...', '60303ae...']
    """

    def __init__(self, cache: Path) -> None:
        self._path = cache / INDEX

    def of(self, name: str, *files: Sequence[str]) -> Iterator[str]:
        """The digests of files, one after the other; of one that cannot be read, the reason in words instead.

        Args:
            name: what to call the files while they are read.
            files: their paths, in one sequence or several.
        """
        with progress(f"reading {name}", sum(map(len, files)), "files") as advance:
            paths = chain.from_iterable(files)
            while part := list(islice(paths, _AT_ONCE)):
                yield from self._of_some(part, advance)

    def _of_some(self, files: Sequence[str], advance: Callable[[int], None]) -> list[str]:
        keys = [_key(file) for file in files]  # as they are before they are read
        known = self._known(files)
        result = [key if isinstance(key, str) else known.get(key, "") for key in keys]
        new = [i for i, digest in enumerate(result) if not digest]
        advance(len(files) - len(new))
        rows = []
        for i, digest in zip(new, threaded(_digest, [files[i] for i in new])):
            result[i], key = digest, keys[i]
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


def is_unreadable(digest: str) -> bool:
    """Whether it stands for a file that could not be read."""
    return digest.startswith(_UNREADABLE)


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
    return not is_unreadable(digest) and max(key[2:]) < time.time_ns() - _SETTLED
