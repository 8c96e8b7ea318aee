"""How far a long reading of data is, on stderr: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

FIRST, BETWEEN = 2.0, 15.0  # seconds until the first sign, and between two lines


@contextmanager
def progress(what: str, total: int, unit: str = "images") -> Iterator[Callable[[int], None]]:
    """Shows how many of a number of things are done, and the time left; what is quick stays silent.

    Args:
        what: is done, such as "preparing folder:photos".
        total: number of things.
        unit: what they are.

    Yields:
        a function to be told how many more are done, from one thread.

    Example:
        >>> with progress("preparing folder:photos", 5000) as advance:
        ...     advance(64)
    """
    able = sys.stderr.isatty() and os.environ.get("TERM") not in (None, "dumb", "unknown")
    shown = _Bar(what, total, unit) if able else _Lines(what, total, unit)
    done, began = 0, time.monotonic()

    def advance(number: int) -> None:
        nonlocal done
        done += number
        passed = time.monotonic() - began
        if passed >= FIRST:
            shown.show(done, passed, passed * (total - done) / max(done, 1))

    try:
        yield advance
    finally:
        shown.end()


class _Lines:
    """For logs and pipes."""

    def __init__(self, what: str, total: int, unit: str) -> None:
        self.what, self.total, self.unit = what, total, unit
        self._next = BETWEEN

    def show(self, done: int, passed: float, left: float) -> None:
        if passed >= self._next:
            self._next = passed + BETWEEN
            state = f"{done:,} of {self.total:,} {self.unit}, about {_time(left)} left"
            print(f"{self.what}: {state}", file=sys.stderr, flush=True)

    def end(self) -> None:
        """The next line follows."""


class _Bar:
    """For terminals."""

    def __init__(self, what: str, total: int, unit: str) -> None:
        self.what, self.total, self.unit = what, total, unit
        self._bars: Any = None

    def show(self, done: int, passed: float, left: float) -> None:
        if self._bars is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            words = [
                TextColumn(f"{{task.{w}}}", markup=False) for w in ("description", "fields[note]")
            ]
            columns = (words[0], BarColumn(), words[1])
            self._bars = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bars.start()
            self._task = self._bars.add_task(self.what, total=self.total, note="")
        note = f"{done:,} of {self.total:,} {self.unit}, {_time(left)} left"
        self._bars.update(self._task, completed=done, note=note)

    def end(self) -> None:
        if self._bars is not None:
            self._bars.stop()


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
