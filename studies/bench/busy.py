"""`python -m studies.bench.busy`: what trials lose where others compute on the same cores.

Models of the studies train with as many threads as there are cores, alone and beside processes that only
count; of a core that it shares with one other, a thread gets half. Threads that wait for each other by
spinning lose far more, since one waits for another that is not on a core, and takes its core meanwhile: rows
without the setting of trials (`studies.machine.threads.WAITING`) show it.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from studies.bench.cases import Case, Contender, of_studies
from studies.bench.csv_rows import end_with
from studies.bench.turns import Process, take_turns
from studies.machine.backends import BACKENDS
from studies.machine.threads import WAITING, cores
from studies.machine.versions import versions

MODELS = ("data-scale/vit-s", "data-scale/bit-s")
FIT = Contender("fit", "fit:fit")
WAYS: dict[str, Mapping[str, str]] = {"as trials": WAITING, "as the library": {}}
COLUMNS = (
    *("backend", "model", "waiting", "threads", "others", "images_per_second_alone"),
    *("images_per_second_beside", "share", "fair_share", "rounds", "device", "versions"),
)


def measure(
    case: Case, waiting: Mapping[str, str], others: int, rounds: int, seconds: float
) -> dict[str, Any]:
    """Images per second of a trial's `fit` on all cores, alone and beside other processes, in turn.

    Args:
        case: of `fit`.
        waiting: environment variables that say how threads wait.
        others: processes that count.
        rounds: turns of each.
        seconds: wanted length of a turn alone.
    """
    threads = len(cores())
    with (
        tempfile.TemporaryDirectory() as cache,
        Process(case, FIT, threads, Path(cache), waiting) as fit,
    ):

        def beside(steps: int) -> float:
            with _counting(others):
                return fit.turn(steps)

        took = take_turns({"alone": fit.turn, "beside": beside}, rounds, seconds)
        device = fit.said["device"]
    alone, with_others = (np.array(took[name]) for name in ("alone", "beside"))
    return {
        "backend": case.backend,
        "model": case.model,
        "threads": threads,
        "others": others,
        "images_per_second_alone": _short(case.batch_size / np.median(alone)),
        "images_per_second_beside": _short(case.batch_size / np.median(with_others)),
        "share": _short(np.median(alone / with_others)),
        "fair_share": _short(threads / (threads + others)),
        "rounds": rounds,
        "device": device,
    }


@contextlib.contextmanager
def _counting(number: int) -> Iterator[None]:
    """Processes that count as fast as they can."""
    command = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(command) for _ in range(number)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and write it as busy.csv."""
    parser = argparse.ArgumentParser(prog="python -m studies.bench.busy", description=main.__doc__)
    parser.add_argument("--backend", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--others", type=int, default=4, help="processes that count")
    parser.add_argument("--rounds", type=int, default=5, help="turns, alone and beside them")
    parser.add_argument("--seconds", type=float, default=2.0, help="of a turn alone")
    parser.add_argument("--output", type=Path, default=Path("runs/bench"), help="folder")
    options = parser.parse_args(arguments)
    if min(options.rounds, options.others) < 1 or not 0 < options.seconds < math.inf:
        parser.error("--rounds and --others must be at least 1, and --seconds above 0")
    rows = []
    for case in of_studies(options.backend, ["float32"], None, []):
        for name, waiting in WAYS.items() if case.model in MODELS else ():
            print(f"{case.backend}, {case.model}, {name} ...", file=sys.stderr, flush=True)
            found = measure(case, waiting, options.others, options.rounds, options.seconds)
            words = ", ".join(f"{each} {number}" for each, number in versions(case.backend).items())
            rows.append({**found, "waiting": name, "versions": words})
    _print(rows)
    return end_with(options.output / "busy.csv", COLUMNS, rows)


def _short(value: float) -> float:
    return float(f"{value:.3g}")


def _print(rows: Sequence[Mapping[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Training on all cores, alone and beside processes that count, images/s")
    for heading in ("backend", "model", "threads wait", "alone", "beside", "share", "fair"):
        table.add_column(heading)
    for row in rows:
        names = ("backend", "model", "waiting", *COLUMNS[5:9])
        table.add_row(*(str(row[name]) for name in names))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
