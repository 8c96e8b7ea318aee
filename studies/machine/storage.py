"""A place for named objects that several machines reach: read, write, put once, list, remove.

Names are relative, with slashes. An object is whole or not there, whenever it is read.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from pathlib import Path
from typing import Protocol

from studies.machine.files import TEMPORARY, file_bytes, replace

# What file systems say that have no second names for a file, such as those of memory cards.
_NO_LINKS = (errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


class Storage(Protocol):
    """What every such place does; `tests/studies/machine/test_storage.py` checks it."""

    def read(self, name: str) -> bytes | None:
        """All that an object holds; None where there is none."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Put an object in the place of the one that is there."""
        ...

    def put_new(self, name: str, content: bytes) -> bool:
        """Put an object where there is none; of several who try at the same time one does it.

        Returns:
            Whether it was this call.
        """
        ...

    def names(self, folder: str) -> list[str]:
        """Names of the objects in a folder, without its own, sorted; none where there is no folder."""
        ...

    def remove(self, name: str) -> None:
        """Take an object out, if it is there."""
        ...


class Folder:
    """Objects as files of a folder, on this machine's disk or a shared one.

    Args:
        path: of the folder; it comes to be with the first object.

    Raises:
        OSError: of all methods, where files cannot be read or written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def read(self, name: str) -> bytes | None:
        """See `Storage`."""
        try:
            return file_bytes(self.path / name)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, name: str, content: bytes) -> None:
        """See `Storage`."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, content)

    def put_new(self, name: str, content: bytes) -> bool:
        """See `Storage`."""
        path = self.path / name
        temporary = self._written(path, content)
        try:
            # Which is one step on NFS too, and whole, as creating a file and then writing to it is not.
            os.link(temporary, path)
            return True
        except FileExistsError:
            # An answer that was lost on the way is asked for again: then it may have been this call.
            return os.path.samefile(temporary, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return _created(path, content)
        finally:
            temporary.unlink(missing_ok=True)

    def names(self, folder: str) -> list[str]:
        """See `Storage`."""
        try:
            found = sorted(entry.name for entry in os.scandir(self.path / folder))
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [name for name in found if not name.startswith(TEMPORARY)]

    def remove(self, name: str) -> None:
        """See `Storage`."""
        with contextlib.suppress(NotADirectoryError):
            (self.path / name).unlink(missing_ok=True)

    @staticmethod
    def _written(path: Path, content: bytes) -> Path:
        """A file with the content, beside the place where it is to be; its name is of no other machine."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(6)}-{path.name}")
        try:
            temporary.write_bytes(content)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return temporary


def _created(path: Path, content: bytes) -> bool:
    """The same where files have one name alone; for a moment it is there and not whole."""
    try:
        with open(path, "xb") as file:
            file.write(content)
    except FileExistsError:
        return False
    return True
