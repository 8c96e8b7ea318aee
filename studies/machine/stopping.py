"""Being asked to end: SIGTERM, which schedulers send before they take a machine away."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def termination_held_back(at_once: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Let SIGTERM have its effect at the end of the block; it then goes no further.

    Outside the main thread, where signals are never heard, nothing is held back.

    Args:
        at_once: called when the signal comes, between two instructions of the main thread.

    Yields:
        Tells whether it has come.
    """
    came = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield came.is_set
        return

    def note(signum: int, frame: Any) -> None:
        came.set()
        at_once()

    before = signal.signal(signal.SIGTERM, note)
    try:
        yield came.is_set
    finally:
        signal.signal(signal.SIGTERM, before)
        if came.is_set():
            signal.raise_signal(signal.SIGTERM)
            raise SystemExit(128 + signal.SIGTERM)  # where somebody ignores it
