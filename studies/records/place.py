"""Where results lie: a folder here, or storage elsewhere of which the work is done in a copy here.

All rooms read and write files below `path`. Of storage elsewhere a command copies what it needs, first
(`fetch`), and puts back what has changed, whenever something must not be lost (`store`); the copy is its
own and goes with it. A machine that trains a trial does the same in a copy of its own. Nothing can be
appended to an object, so that each line of trials.jsonl is an object of its own there,
trials/<number>.json, which is put once. So are a training's threads and its end: two studies that share the
training may do it at the same time, and one of them counts, whose weights all that follows is made of.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
import secrets
from collections.abc import Collection, Container, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Protocol

from studies.errors import UsageError
from studies.machine.cloud import Bucket
from studies.machine.storage import Folder, Storage
from studies.machine.temporary import TemporaryFolder
from studies.records.transfer import bring, put, put_new

RECORDS = "trials.jsonl"
LINES = "trials"  # the folder of its lines, where they are objects
LEFT_THERE = ("logs", "tensorboard", ".lease")  # which no command reads as files
LARGE = ("outcomes", "models", "figures")  # which only reports, and who keeps models, read
_PUT_ONCE = re.compile(r"\.checkpoints/[^/]+/(?:final\.ckpt|threads\.json)")
_OWN = "ours"  # the stamp of an object that was put from here, until one has seen it there


class Place(Protocol):
    """The folder of all studies' results."""

    path: Path

    @property
    def location(self) -> Path | str:
        """What `opened` takes, on any machine; and for people."""
        ...

    def check(self) -> None:
        """Raise UsageError where nothing can be written, as far as can be told without leaving a trace."""
        ...

    def fetch(self, *names: str, whole: bool = True) -> None:
        """Have folders or files below `path` as they are in storage.

        Args:
            names: of them, relative to `path`.
            whole: or without what only reports and models need, which may be much.
        """
        ...

    def store(self, *paths: Path) -> None:
        """Have files or folders below `path` in storage as they are here; what is gone is removed."""
        ...

    def names(self) -> list[str]:
        """What lies in storage, at the top."""
        ...

    def storage(self, name: str) -> Storage:
        """A folder of it, as it is in storage."""
        ...

    def bucket(self, name: str) -> Bucket | None:
        """A folder of it where only objects are to be had; None where all machines see its files."""
        ...

    def address(self, path: Path) -> str:
        """Where a file below `path` lies, for people."""
        ...


@contextlib.contextmanager
def opened(results: Path | str) -> Iterator[Place]:
    """Have a place for a while.

    Args:
        results: a folder, or a URL.

    Raises:
        UsageError: the URL is none, its packages are not installed, or nothing can be read there. Of
            others, raised inside, the paths are those in storage.
    """
    if isinstance(results, Path):
        yield Here(results)
        return
    bucket = Bucket(results)
    with contextlib.closing(TemporaryFolder("results")) as copy:
        # With the ends of the URL: they are what tells two runs apart.
        parts = bucket.url.partition("://")[2].split("/")
        path = copy.path.resolve().joinpath(
            *(part for part in parts if part not in ("", ".", ".."))
        )
        path.mkdir(parents=True, exist_ok=True)
        place = Elsewhere(bucket, path)
        try:
            yield place
        except UsageError as error:
            raise UsageError(str(error).replace(str(path), bucket.url)) from error
        finally:
            place.close()


@contextlib.contextmanager
def fetched(location: Path | str) -> Iterator[Path]:
    """Have a file or folder for a while: itself, or a copy of what a URL names.

    Args:
        location: its path, or its URL; what lies beside it as JSON under the same name comes with it.

    Raises:
        UsageError: as of `opened`.
    """
    if isinstance(location, Path):
        yield location
        return
    base, _, name = location.rstrip("/").rpartition("/")
    with opened(base) as place:
        place.fetch(name, PurePosixPath(name).with_suffix(".json").name)
        yield place.path / name


class Here:
    """A folder of this machine, or a shared one: there is no copy."""

    def __init__(self, path: Path) -> None:
        self.path = self.location = path.expanduser().resolve()

    def check(self) -> None:
        """See `Place`."""
        place = self.path
        while not place.exists() and place != place.parent:
            place = place.parent
        if not place.is_dir():
            raise unwritable(self.location, f"{place} is not a folder")
        if not os.access(place, os.W_OK | os.X_OK):
            raise unwritable(self.location, f"no permission to write to {place}")

    def fetch(self, *names: str, whole: bool = True) -> None:
        """See `Place`."""

    def store(self, *paths: Path) -> None:
        """See `Place`."""

    def names(self) -> list[str]:
        """See `Place`."""
        return Folder(self.path).names("")

    def storage(self, name: str) -> Storage:
        """See `Place`."""
        return Folder(self.path / name)

    def bucket(self, name: str) -> None:
        """See `Place`."""

    def address(self, path: Path) -> str:
        """See `Place`."""
        return str(path)


class Elsewhere:
    """Storage that is reached by a URL, and a copy of some of it.

    Args:
        bucket: the storage.
        path: of the copy; an empty folder that nobody else writes to.
    """

    def __init__(self, bucket: Bucket, path: Path) -> None:
        self.location, self.path = bucket.url, path
        self._bucket, self._closed = bucket, False
        # By name: stamps of the objects that files are copies of; size and time of files that are as in
        # storage; bytes of records' files that are there, line by line.
        self._there: dict[str, str] = {}
        self._here: dict[str, tuple[int, int]] = {}
        self._lines: dict[Path, int] = {}

    def check(self) -> None:
        """See `Place`."""
        name = f".written-{secrets.token_hex(8)}"
        try:
            self._bucket.write(name, b"")
            self._bucket.remove(name)
        except OSError as error:
            raise unwritable(self.location, _reason(error)) from error

    def fetch(self, *names: str, whole: bool = True) -> None:
        """See `Place`."""
        without = LEFT_THERE if whole else (*LEFT_THERE, *LARGE)
        with self._readable():
            # One question for all below a folder at the top: there may be checkpoints of many trainings.
            below: dict[str, set[str]] = {}
            for name in names:
                below.setdefault(name.partition("/")[0], set()).add(name)
            for top, asked in below.items():
                if top not in ("", ".", ".."):  # what leads out of it names nothing there
                    base = posixpath.commonpath(asked)
                    stamps = self._bucket.stamps(base).items()
                    found = {
                        posixpath.join(base, name).rstrip("/"): stamp for name, stamp in stamps
                    }
                    self._fetch(asked, found, without)

    def close(self) -> None:
        """Store nothing any more, as the copy's files go."""
        self._closed = True

    def store(self, *paths: Path) -> None:
        """See `Place`."""
        for path in paths:
            if path.name == RECORDS:
                self._put_lines(path)
            else:
                self._store(path)

    def names(self) -> list[str]:
        """See `Place`."""
        with self._readable():
            return self._bucket.names("")

    def storage(self, name: str) -> Storage:
        """See `Place`."""
        return self.bucket(name)

    def bucket(self, name: str) -> Bucket:
        """See `Place`."""
        return self._bucket.below(name)

    def address(self, path: Path) -> str:
        """See `Place`."""
        return f"{self.location}/{self._name(path)}"

    def _fetch(
        self, asked: Collection[str], found: Mapping[str, str], without: Container[str]
    ) -> None:
        """Copy what of the found objects was asked for, and has changed."""
        for name in found:
            if self._there.get(name) == _OWN:
                self._there[name] = found[name]
        wanted = (name for name in found if _is_wanted(name, asked, without))
        new = {name: found[name] for name in wanted if self._there.get(name) != found[name]}
        for name in bring(self._bucket, new, self.path):
            self._there[name] = new[name]
            self._here[name] = _state(self.path / name)
        for name in [n for n in self._there if n not in found and _is_wanted(n, asked)]:
            Folder(self.path).remove(name)
            del self._there[name], self._here[name]
        for folder in asked:
            self._join_lines(self.path / folder)

    def _join_lines(self, folder: Path) -> None:
        """Make the file of records of its lines."""
        parts = _lines(folder / LINES)
        if parts:
            whole = b"".join(parts[n].read_bytes().rstrip(b"\n") + b"\n" for n in sorted(parts))
            (folder / RECORDS).write_bytes(whole)
            self._lines[folder / RECORDS] = len(whole)

    def _put_lines(self, path: Path) -> None:
        with path.open("rb") as file:
            file.seek(self._lines.get(path, 0))
            new = file.read()
        there = path.parent / LINES
        there.mkdir(exist_ok=True)
        number = max(_lines(there), default=0)
        for line in new.splitlines(keepends=True):
            number += 1
            name = f"{self._name(there)}/{number:08d}.json"
            while not self._bucket.put_new(name, line):  # a run that was taken over may have put it
                number += 1
                name = f"{self._name(there)}/{number:08d}.json"
            (self.path / name).write_bytes(line)
            self._lines[path] = self._lines.get(path, 0) + len(line)

    def _store(self, path: Path) -> None:
        base = self._name(path)
        files = [path] if path.is_file() else sorted(path.rglob("*")) if path.is_dir() else []
        present = set()
        for file in files:
            name = self._name(file)
            with contextlib.suppress(FileNotFoundError):  # a trial may just have replaced it
                if file.is_file():
                    present.add(name)
                    state = _state(file)
                    if _is_stored(name) and self._here.get(name) != state:
                        self._put(name, file, state)
        for name in [n for n in self._here if n == base or n.startswith(f"{base}/")]:
            if name not in present and not self._closed:
                self._bucket.remove(name)
                del self._here[name]
                self._there.pop(name, None)

    def _put(self, name: str, file: Path, state: tuple[int, int]) -> None:
        if self._is_ours(name, file):
            self._here[name], self._there[name] = state, _OWN
        else:  # another machine's counts, here too
            stamp = self._bucket.stamps(name).get("")
            self._fetch([name], {name: stamp} if stamp else {}, ())

    def _is_ours(self, name: str, file: Path) -> bool:
        """Put a file; False where that is done once, and another machine has done it."""
        known = self._there.get(name)
        if _PUT_ONCE.fullmatch(name) and known != _OWN:
            there = self._bucket.stamps(name).get("")
            if there is None:
                return put_new(self._bucket, name, file)
            if there != known:
                return False
            # What was fetched was of no use here: it is damaged.
        put(self._bucket, name, file)
        return True

    def _name(self, path: Path) -> str:
        return path.relative_to(self.path).as_posix()

    @contextlib.contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UsageError(
                f"cannot read {self.location} ({_reason(error)}): see to the URL, the permission and the "
                f"connection, or choose another place with --results"
            ) from error


def unwritable(location: Path | str, reason: str) -> UsageError:
    """What is said where a place cannot be written to."""
    return UsageError(
        f"cannot write to the results folder {location} ({reason}); choose another one with --results"
    )


def _reason(error: OSError) -> str:
    return str(error.strerror or error)


def _lines(folder: Path) -> dict[int, Path]:
    """The records among a folder's objects, by their numbers; what is called otherwise is not ours."""
    found = folder.glob("*.json")
    return {int(path.stem): path for path in found if re.fullmatch(r"[0-9]{8,}", path.stem)}


def _is_wanted(name: str, asked: Collection[str], without: Container[str] = ()) -> bool:
    """Whether an object was asked for, itself or by a folder, of which some parts may be left out."""
    path = PurePosixPath(name)
    for above in (path, *path.parents):
        if str(above) in asked:
            inside = path.relative_to(above).parts
            return ".." not in path.parts and not (inside and inside[0] in without)
    return False


def _is_stored(name: str) -> bool:
    """Whether it is stored as it is: not what means something here alone, for a while, nor records."""
    folder, _, file = name.rpartition("/")
    here_alone = file.startswith(".") or file == "lock"
    return not here_alone and file != RECORDS and not folder.endswith(f"/{LINES}")


def _state(file: Path) -> tuple[int, int]:
    status = os.stat(file)
    return status.st_size, status.st_mtime_ns
