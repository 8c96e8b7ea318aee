"""A budget of wall time: what was typed, what is left, and an end to it."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from studies.errors import UsageError

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
OVER = 1.10  # times the budget at which trials are interrupted; 1.15 with the answer that follows
ANSWER_SECONDS = 15.0  # that are kept for analysing and writing, but
_MOST = 1e9  # seconds; clocks of the system end somewhere beyond
ANSWER_SHARE = 0.1  # no more than this part of the budget

Clock = Callable[[], float]


class OutOfTime(KeyboardInterrupt):
    """The budget is used up: what runs is ended as by Ctrl-C, and continues in a later run."""


class Budget:
    """A budget that began when the command did.

    Args:
        seconds: from start to answer.
        clock: tells the time in seconds.
    """

    def __init__(self, seconds: float, clock: Clock = time.monotonic) -> None:
        self.seconds = seconds
        self.clock, self._began = clock, clock()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self.clock() - self._began

    @property
    def kept(self) -> float:
        """Seconds that are kept for the answer."""
        return min(ANSWER_SECONDS, ANSWER_SHARE * self.seconds)

    @property
    def left(self) -> float:
        """Seconds in which trials may still run."""
        return self.seconds - self.kept - self.elapsed

    @contextmanager
    def enforced(self) -> Iterator[None]:
        """Raise `OutOfTime` in here once trials have taken a tenth more than the budget."""
        last = OVER * self.seconds - self.kept - self.elapsed
        if not hasattr(signal, "setitimer"):  # Windows: trials that run end by themselves
            yield
            return

        def end(signum: int, frame: Any) -> None:
            raise OutOfTime

        before = signal.signal(signal.SIGALRM, end)
        signal.setitimer(signal.ITIMER_REAL, max(last, 0.001))
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, before)


def seconds_of(text: str) -> float:
    """Seconds of a duration as people write it.

    Raises:
        UsageError: it is none.

    Example:
        >>> seconds_of("30m"), seconds_of("1h30m"), seconds_of("90s")
        (1800.0, 5400.0, 90.0)
    """
    parts = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?", text)
    found = [float(part or 0) for part in parts.groups()] if parts else [0.0]
    total = sum(number * unit for number, unit in zip(found, (3600.0, 60.0, 1.0)))
    if not 0 < total < _MOST:
        raise UsageError(f"--budget takes a time such as 30m, 1h30m or 90s, not {text!r}")
    return total


def in_units(seconds: float) -> str:
    """A duration that `seconds_of` reads, rounded up to what one would type.

    Example:
        >>> in_units(95), in_units(1210), in_units(4000)
        ('2m', '21m', '1h10m')
    """
    minutes = -(-int(-(-seconds // 1)) // 60)
    if minutes <= 60:
        return f"{minutes}m"
    minutes = -(-minutes // 5) * 5
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m" if minutes else f"{hours}h"
