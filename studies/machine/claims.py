"""Cores and GPUs shared out among trials, although nobody on the machine hands them out: files to lock.

Each has as many places as there are trials on it, a file a place, and the emptiest is taken first.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from studies.machine.devices import visible_gpus
from studies.machine.threads import bind, cores

_TURN_SECONDS = 10.0  # to look which are free takes milliseconds


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
    """Claim the cores that fewest other claims have: none at all, as long as there are such.

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
    chosen: dict[str, BaseFileLock] = {}
    if count:
        with contextlib.suppress(Timeout, OSError):  # the folder may be another's
            folder.mkdir(exist_ok=True)
            with FileLock(folder / "turn", timeout=_TURN_SECONDS):
                chosen = _emptiest(available, count, folder)
    others = [name for name in available if name not in chosen]
    return [*chosen, *others][:count], list(chosen.values())


def _emptiest(available: Sequence[str], count: int, folder: Path) -> dict[str, BaseFileLock]:
    """A free place of each of those that fewest have; nobody else looks at the same time."""
    places: dict[str, set[int]] = {}
    for file in os.listdir(folder):
        stem, _, number = file.rpartition("@")
        if re.fullmatch("[0-9]{1,9}", number):
            places.setdefault(stem, set()).add(int(number))
    taken, free = {}, {}
    for name in available:
        stem = name.replace("/", "_")
        known = places.get(stem, set())
        locks = {number: FileLock(folder / f"{stem}@{number}") for number in {*known, len(known)}}
        got = {number: lock for number, lock in locks.items() if _is_free(lock)}
        taken[name] = len(locks) - len(got)
        free[name] = got.pop(min(got))
        for lock in got.values():
            lock.release()
    chosen = sorted(available, key=taken.__getitem__)[:count]
    for name in set(available) - set(chosen):
        free[name].release()
    return {name: free[name] for name in chosen}


def _is_free(lock: BaseFileLock) -> bool:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True
