"""Threads and cores of this process: the bits of a trial's results depend on them.

Nothing here loads a backend: threads must be settled before that.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from studies.machine.files import file_bytes, parsed_json, replace
from studies.machine.xla import add_xla_flag

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
)

# Threads of OpenMP, PyTorch's, sleep while they wait for each other. By default they spin, which on cores
# that others use takes the time of those that they wait for.
WAITING = {"OMP_WAIT_POLICY": "PASSIVE"}

MOST = 4096  # threads or cores that a note is believed


class Threads(NamedTuple):
    """How much of the machine a trial uses: threads of a computation, and cores they may run on."""

    threads: int
    cores: int


def cores() -> list[int]:
    """The processor cores that this process may use; all of them where no system call tells."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def bind(chosen: Iterable[int]) -> None:
    """Bind this thread and what it starts to some cores; macOS and Windows cannot, and ignore it."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, chosen)


def settle_threads(path: Path) -> Threads:
    """Fix the number of threads for this process, the way the trial's first process had it.

    The first process takes what its surroundings give (OMP_NUM_THREADS, else its cores) and notes
    it down in `path`; later ones follow the note, or the same trial would end with other bits.
    Must be called before a backend is loaded.

    Args:
        path: JSON note, beside the trial's checkpoints.
    """
    wanted = noted_threads(path)
    if wanted is None:
        available = len(cores())
        given = os.environ.get("OMP_NUM_THREADS", "")
        asked = int(given) if re.fullmatch("[0-9]{1,9}", given) else 0
        wanted = Threads(asked or available, available)
        note_threads(path, wanted)
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(wanted.threads)
    if wanted.threads == 1:
        add_xla_flag("--xla_cpu_multi_thread_eigen=false")
    return Threads(wanted.threads, _limit_cores(wanted.cores))


def note_threads(path: Path, threads: Threads) -> None:
    """Note down what a trial is to have."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace(path, json.dumps(threads._asdict()).encode() + b"\n", durable=True)


def noted_threads(path: Path) -> Threads | None:
    """What an earlier process noted down; None where there is no note that makes sense."""
    try:
        note = parsed_json(file_bytes(path))
        noted = Threads(int(note["threads"]), int(note["cores"]))
        if min(noted) < 1 or max(noted) > MOST:
            raise ValueError
        return noted
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        print(f"{path} is unreadable and is written anew.", file=sys.stderr)
        return None


def _limit_cores(wanted: int) -> int:
    allowed = cores()
    if len(allowed) > wanted:
        bind(allowed[:wanted])
        return len(cores())
    if len(allowed) < wanted:
        print(
            f"This trial started on {wanted} cores and goes on with {len(allowed)}: the bits of "
            "its results may differ from those of an undisturbed run.",
            file=sys.stderr,
        )
    return len(allowed)
