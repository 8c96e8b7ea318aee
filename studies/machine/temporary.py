"""Temporary folders: of processes that were killed, whoever makes the next one removes them.

Who has made one holds a lock beside it, which goes with the process.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

_LOCK = ".lock"


class TemporaryFolder:
    """An empty folder of this process's own, until it is removed or the process has ended, however it did.

    Args:
        kind: what it is for; those of the kind whose processes have ended are removed.

    Attributes:
        path: of the folder.
    """

    def __init__(self, kind: str) -> None:
        place, begin = Path(tempfile.gettempdir()), f"keras_vit-{kind}-"
        _remove_left(place, begin)
        self.path = place / f"{begin}{secrets.token_hex(8)}"
        self._lock = FileLock(_lock_of(self.path), thread_local=False)
        self._lock.acquire()
        self.path.mkdir(mode=0o700)

    def close(self) -> None:
        """Remove it with all that lies in it, as far as that can be done."""
        shutil.rmtree(self.path, ignore_errors=True)
        _lock_of(self.path).unlink(missing_ok=True)
        self._lock.release()


def _remove_left(place: Path, begin: str) -> None:
    for lock in place.glob(f"{begin}*{_LOCK}"):
        # It is held, or another user's.
        with contextlib.suppress(Timeout, OSError), FileLock(lock, timeout=0):
            shutil.rmtree(lock.with_name(lock.name.removesuffix(_LOCK)), ignore_errors=True)
            lock.unlink(missing_ok=True)


def _lock_of(folder: Path) -> Path:
    return folder.with_name(folder.name + _LOCK)
