"""Cores and GPUs for one trial alone, although nobody on the machine hands them out: files to lock."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from studies.machine.devices import visible_gpus
from studies.machine.threads import bind, cores


class Claim:
    """Some parts of this machine; they are free again once it is released, or its process gone.

    Attributes:
        chosen: their names, in order.
    """

    def __init__(self, chosen: list[str], locks: list[BaseFileLock]) -> None:
        self.chosen = chosen
        self._locks = locks

    def release(self) -> None:
        """Let others have them."""
        for lock in self._locks:
            lock.release()


class Cores(Claim):
    """Some cores."""

    @property
    def cores(self) -> list[int]:
        return [int(name) for name in self.chosen]

    @contextlib.contextmanager
    def bound(self) -> Iterator[None]:
        """Bind the process that is started inside to the cores; JAX counts those and nothing else."""
        before = cores()
        bind(self.cores)
        try:
            yield
        finally:
            bind(before)


def claim_cores(count: int, folder: Path | None = None) -> Cores:
    """Claim cores that no other claim has, as long as there are such; then some that others have.

    Args:
        count: how many; never more than this process may use.
        folder: where the locks lie, the same for all that share the machine.
    """
    available = [str(core) for core in cores()]
    start = os.getpid() % len(available)
    return Cores(
        *_claimed(available[start:] + available[:start], count, folder or _folder("cores"))
    )


def claim_gpus(count: int, folder: Path | None = None) -> Claim:
    """Claim GPUs in the same way, those with the lowest numbers first."""
    return Claim(*_claimed(visible_gpus(), count, folder or _folder("gpus")))


def _folder(kind: str) -> Path:
    user = getattr(os, "getuid", int)()
    return Path(tempfile.gettempdir()) / f"keras_vit-{kind}-{user}"


def _claimed(
    available: Sequence[str], count: int, folder: Path
) -> tuple[list[str], list[BaseFileLock]]:
    locks: dict[str, BaseFileLock] = {}
    for name in available:
        if len(locks) < count:
            lock = FileLock(folder / name.replace("/", "_"))
            with contextlib.suppress(Timeout, OSError):  # it is taken, or the folder another's
                folder.mkdir(exist_ok=True)
                lock.acquire(timeout=0)
                locks[name] = lock
    others = [name for name in available if name not in locks]
    return [*locks, *others][:count], list(locks.values())
