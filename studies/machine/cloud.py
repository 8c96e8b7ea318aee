"""Storage in the cloud, by an fsspec URL such as s3://bucket/folder.

An object there is replaced as a whole, and two processes cannot append to one. What is put once is put
under the condition that there is none (S3's If-None-Match, and the like of other stores), and read back:
where a store or a server knows no such condition, whoever was replaced finds it out.

Storage that has answered before may be out of reach for a while, in a run of days: then what was asked for
is asked for again, until patience ends.

Reference: https://filesystem-spec.readthedocs.io
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from studies.errors import UsageError
from studies.shown import printable

PATIENCE_SECONDS = 600.0  # in which storage that has answered before may be out of reach
_PART = 2**22  # bytes of an object that are compared at a time
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0  # seconds between two tries, each twice the one before
_URL = re.compile(r"([a-z][a-z0-9+.-]*)://(.*)", re.DOTALL)
# Without these a server that is not there is waited for during minutes.
_OPTIONS: dict[str, dict[str, Any]] = {
    "s3": {
        "config_kwargs": {
            "connect_timeout": 10,
            "read_timeout": 60,
            "retries": {"total_max_attempts": 4},
        }
    }
}
_MISSING = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
# What is no better a minute later: somebody's decision, or what no such storage does.
_FOR_GOOD = (PermissionError, ValueError, TypeError, NotImplementedError)
_NUMBERS_FOR_GOOD = (errno.EPERM, errno.EINVAL, errno.ENOSYS, errno.ENAMETOOLONG, errno.EMSGSIZE)
T = TypeVar("T")


@dataclass
class _Patience:
    """Whether storage may be waited for: it answered the latest question, and nobody wants to end."""

    patient: bool = False
    told: bool = False  # that it is waited for


class Bucket:
    """Objects below a URL; see `studies.machine.storage.Storage`.

    Args:
        url: SCHEME://..., of any kind of storage that fsspec knows.

    Raises:
        UsageError: a package is not installed, or the URL is none.
        OSError: of all methods, where objects cannot be read or written.
    """

    def __init__(self, url: str) -> None:
        scheme = _scheme(url)
        self.url = url.rstrip("/")
        fsspec = _fsspec()
        options = {"use_listings_cache": False, "skip_instance_cache": True}
        try:
            self._fs = fsspec.filesystem(scheme, **options, **_OPTIONS.get(scheme, {}))
        except ImportError as error:
            raise UsageError(
                f"what reads {scheme}:// is not installed: pip install 'keras-vit[cloud]' for s3://; of "
                f"other storage fsspec says: {_first_line(error)}"
            ) from None
        except ValueError as error:
            raise UsageError(
                f"{url} is no storage that fsspec knows: {_first_line(error)}"
            ) from None
        self._root = self._fs._strip_protocol(url).rstrip("/")
        self._patience = _Patience()

    def below(self, name: str) -> Bucket:
        """A folder of it, for which is waited as long as for all of it."""
        folder = Bucket(f"{self.url}/{name}")
        folder._patience = self._patience
        return folder

    def read(self, name: str) -> bytes | None:
        """See `Storage`."""
        try:
            return bytes(self._do(lambda: self._fs.cat_file(self._path(name))))
        except _MISSING:
            return None

    def read_many(self, names: Sequence[str]) -> dict[str, bytes]:
        """What several objects hold, by their names; without those that are not there."""
        paths = [self._path(name) for name in names]

        def whole() -> list[Any]:
            # `cat`, which is made for it, takes brackets in a name for a pattern.
            found: list[Any] = self._fs.cat_ranges(paths, None, None, on_error="return")
            for each in found:
                if isinstance(each, Exception) and not isinstance(each, _MISSING):
                    raise each
            return found

        found = zip(names, self._do(whole), strict=True)
        return {name: bytes(each) for name, each in found if not isinstance(each, Exception)}

    def write(self, name: str, content: bytes) -> None:
        """See `Storage`."""
        self._do(lambda: self._fs.pipe_file(self._path(name), content))

    def put_new(self, name: str, content: bytes) -> bool:
        """See `Storage`."""
        # An answer that was lost on the way is asked for again: then it may have been this call.
        with contextlib.suppress(FileExistsError):
            self._do(lambda: self._fs.pipe_file(self._path(name), content, mode="create"))
        return self.read(name) == content

    def put_new_file(self, name: str, path: Path) -> bool:
        """The same with what a file holds, part by part; see `Storage.put_new`."""
        with contextlib.suppress(FileExistsError):
            self._do(lambda: self._fs.put_file(str(path), self._path(name), mode="create"))
        return self._holds(name, path)

    def names(self, folder: str) -> list[str]:
        """See `Storage`."""
        base = self._path(folder)
        try:
            found = self._do(lambda: self._fs.ls(base, detail=False))
        except _MISSING:
            return []
        return sorted(path.rstrip("/").rpartition("/")[2] for path in found if path != base)

    def remove(self, name: str) -> None:
        """See `Storage`."""
        with contextlib.suppress(*_MISSING):
            self._do(lambda: self._fs.rm_file(self._path(name)))

    def stamps(self, folder: str) -> dict[str, str]:
        """What tells whether objects were written anew, by their names below a folder, at any depth.

        Of an object itself the name is empty.
        """
        base = self._path(folder)
        try:
            found = self._do(lambda: self._fs.find(base, detail=True))
        except _MISSING:
            return {}
        return {
            path[len(base) :].lstrip("/"): _stamp(info)
            for path, info in found.items()
            if path == base or path.startswith(f"{base}/")
        }

    def upload(self, name: str, path: Path) -> None:
        """Put a file in the place of an object, part by part: it may be larger than memory."""
        self._do(lambda: self._fs.put_file(str(path), self._path(name)))

    def download(self, name: str, path: Path) -> None:
        """Have an object as a file, in the same way."""
        self._do(lambda: self._fs.get_file(self._path(name), str(path)))

    def _holds(self, name: str, path: Path) -> bool:
        """Whether an object is a file's content."""
        there, begin = self._path(name), 0
        try:
            if self._do(lambda: self._fs.size(there)) != path.stat().st_size:
                return False
            with path.open("rb") as file:
                while part := file.read(_PART):
                    end = begin + len(part)
                    if self._do(partial(self._fs.cat_file, there, start=begin, end=end)) != part:
                        return False
                    begin = end
        except _MISSING:
            return False
        return True

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}".rstrip("/")

    def _do(self, work: Callable[[], T]) -> T:
        """Ask storage for something that is the same when it is done twice."""
        try:
            return self._answer(work)
        except (*_MISSING, FileExistsError):
            raise
        except BaseException as error:
            self._patience.patient = False  # or all that is done in the end would wait anew
            if isinstance(error, OSError) or not isinstance(error, Exception):
                raise
            raise OSError(None, _first_line(error)) from error  # of each kind of storage its own

    def _answer(self, work: Callable[[], T]) -> T:
        """What storage says, for a while asked again and again."""
        state, began, pause = self._patience, time.monotonic(), _FIRST_PAUSE
        while True:
            try:
                found = work()
            except (*_MISSING, FileExistsError):
                state.patient = True  # that is an answer
                raise
            except Exception as error:
                waited = time.monotonic() - began
                if _is_final(error) or not state.patient or waited >= PATIENCE_SECONDS:
                    raise
                if not state.told:
                    state.told = True
                    self._say(f"does not answer ({_first_line(error)}): it is asked again")
            else:
                if state.told:
                    state.told = False
                    self._say("answers again")
                state.patient = True
                return found
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _say(self, what: str) -> None:
        print(printable(f"{self.url} {what}"), file=sys.stderr, flush=True)


def is_url(text: str) -> bool:
    """Whether it is a URL, and no folder."""
    return _URL.fullmatch(text) is not None


def _scheme(url: str) -> str:
    found = _URL.fullmatch(url)
    # Chains of URLs (a::b) can name files of this machine, and code.
    if found is None or "::" in url or not found[2].strip("/"):
        raise UsageError(
            f"{url} is no place for results: give a folder, or a URL such as s3://bucket/runs"
        )
    return found[1]


def size_in(stamp: str) -> int | None:
    """How many bytes an object of such a stamp has; None where storage does not say."""
    size = stamp.partition(" ")[0]
    return int(size) if re.fullmatch("[0-9]+", size) else None


def _stamp(info: dict[str, Any]) -> str:
    """What changes when an object is written anew; the first word is its size."""
    size = info.get("size")
    marks = ("ETag", "etag", "md5Hash", "mtime", "created", "LastModified")
    known = [info[mark] for mark in marks if info.get(mark) is not None]
    return " ".join(map(str, ["?" if size is None else size, *known]))


def _is_final(error: Exception) -> bool:
    """Whether it is of no use to ask again."""
    number = error.errno if isinstance(error, OSError) else None
    return isinstance(error, _FOR_GOOD) or number in _NUMBERS_FOR_GOOD


def _fsspec() -> Any:
    try:
        return importlib.import_module("fsspec")
    except ImportError:
        raise UsageError(
            "fsspec is not installed: pip install 'keras-vit[cloud]', or give a folder with --results"
        ) from None


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].strip().rstrip(".") if lines else type(error).__name__
