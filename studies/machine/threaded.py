"""A function called for many things on several threads, which get some things at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from studies.machine.threads import cores

Answer = TypeVar("Answer")
Thing = TypeVar("Thing")

_PIECE = 16  # things at most: to hand small ones out one by one takes as long as their work


def threaded(function: Callable[[Thing], Answer], things: Sequence[Thing]) -> Iterator[Answer]:
    """Calls a function for every thing, on as many threads as there are cores.

    Args:
        function: one that works outside Python's lock, such as reading or decoding a file.
        things: its arguments.

    Yields:
        what it returns, in the things' order; where it raises, the rest is left undone.

    Example:
        >>> sizes = list(threaded(os.path.getsize, ["a.jpg", "b.jpg"]))
    """
    workers = len(cores())
    if workers == 1:
        yield from map(function, things)
        return
    length = max(1, min(_PIECE, len(things) // (4 * workers)))  # so that all have something to do
    pieces = [things[start : start + length] for start in range(0, len(things), length)]
    pool = ThreadPoolExecutor(workers)
    try:
        for done in pool.map(lambda piece: [function(thing) for thing in piece], pieces):
            yield from done
    finally:
        pool.shutdown(cancel_futures=True)
