"""Cores for one trial alone, although nobody on the machine hands them out: files that one locks."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from studies.machine.threads import bind, cores


class Claim:
    """Some cores of this machine; they are free again once it is released, or its process gone."""

    def __init__(self, chosen: list[int], locks: list[BaseFileLock]) -> None:
        self.cores = chosen
        self._locks = locks

    @contextlib.contextmanager
    def bound(self) -> Iterator[None]:
        """Bind the process that is started inside to the cores; JAX counts those and nothing else."""
        before = cores()
        bind(self.cores)
        try:
            yield
        finally:
            bind(before)

    def release(self) -> None:
        """Let others have them."""
        for lock in self._locks:
            lock.release()


def claim_cores(count: int, folder: Path | None = None) -> Claim:
    """Claim cores that no other claim has, as long as there are such; then some that others have.

    Args:
        count: how many; never more than this process may use.
        folder: where the locks lie, the same for all that share the machine.
    """
    folder = (
        folder or Path(tempfile.gettempdir()) / f"keras_vit-cores-{getattr(os, 'getuid', int)()}"
    )
    available = cores()
    start = os.getpid() % len(available)
    locks: dict[int, BaseFileLock] = {}
    for core in available[start:] + available[:start]:
        if len(locks) < count:
            lock = FileLock(folder / str(core))
            with contextlib.suppress(Timeout, OSError):  # it is taken, or the folder another's
                folder.mkdir(exist_ok=True)
                lock.acquire(timeout=0)
                locks[core] = lock
    others = [core for core in available if core not in locks]
    return Claim([*locks, *others][:count], list(locks.values()))
