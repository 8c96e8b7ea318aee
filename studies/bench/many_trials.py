"""`python -m studies.bench.many_trials`: what plan, status, report and the driver take of many trials.

Each command is a process of its own, on a made-up results folder of so many trials (`made_up`): its time,
that of its processor, which other work on the machine disturbs less, and the most memory that it took.
Folders are kept in `--folder`, and rows in the table: what is there is not made, or measured, again.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from studies.bench.csv_rows import read_rows, write_rows
from studies.bench.made_up import made_up_events, made_up_study, make_up
from studies.errors import UsageError
from studies.executors import OnEvent
from studies.machine.devices import cpu_name
from studies.machine.processes import child_environment
from studies.records.place import Here, Place
from studies.running import runner
from studies.running.costs import measure
from studies.running.estimate import Estimator
from studies.running.now import Now
from studies.study.file import read_resolved
from studies.study.trial import Trial

COMMANDS = ("plan", "status", "report", "driver")
TITLES = {"driver": "driver, a trial"}
DRIVEN = 100  # trials that the driver is watched with
A_SEED = 1000  # trials of the made-up study
COLUMNS = (
    *("trials", "command", "seconds", "processor_seconds", "peak_mib", "test_images"),
    *("device", "command_line"),
)
NAME = "many_trials.csv"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is not in the table yet, and write it as many_trials.csv."""
    parser = argparse.ArgumentParser(
        prog="python -m studies.bench.many_trials", description=main.__doc__
    )
    parser.add_argument("--trials", nargs="+", type=int, default=[1_000, 10_000, 100_000])
    parser.add_argument("--output", type=Path, default=Path("runs/bench"), help="folder")
    parser.add_argument("--folder", type=Path, default=Path("runs/made-up"), help="of the trials")
    parser.add_argument("--drive", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.drive is not None:
        drive(options.drive)
        return 0
    if any(number < A_SEED or number % A_SEED for number in options.trials):
        parser.error(f"--trials must be multiples of {A_SEED:,}")
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        for number in options.trials:
            _measure(number, options.folder.resolve() / str(number), options.output / NAME)
    except (UsageError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print((options.output / NAME).read_text(encoding="utf-8"), end="")
    return 0


def _measure(number: int, results: Path, table: Path) -> None:
    rows = read_rows(table)
    known = {row["command"] for row in rows if row["trials"] == str(number)}
    left = [command for command in COMMANDS if TITLES.get(command, command) not in known]
    if not left:
        return
    study = made_up_study(number // A_SEED)
    assert study.data is not None
    print(f"{number:,} trials: made up in {results} ...", file=sys.stderr, flush=True)
    folder = make_up(results, study)
    file = str(folder / "study.toml")
    lines = {
        "plan": ["-m", "studies", "plan", file, "--results", str(results)],
        "status": ["-m", "studies", "status", study.name, "--results", str(results)],
        "report": ["-m", "studies", "report", study.name, "--results", str(results)],
        "driver": ["-m", "studies.bench.many_trials", "--drive", str(folder)],
    }
    # Models are built once, in a process of a backend, and what they cost is remembered.
    entries = [arm.entry for arm in study.arms.values()]
    measure(entries, study.data.image_shape, study.data.num_classes, study.backends[0])
    for command in left:
        print(f"{number:,} trials: {command} ...", file=sys.stderr, flush=True)
        found = _run(lines[command])
        rows.append(
            {
                "trials": number,
                "command": TITLES.get(command, command),
                **found,
                "test_images": study.data.counts["test"],
                "device": f"cpu ({cpu_name()})",
                "command_line": f"python -m studies.bench.many_trials --trials {number} "
                "--output results/bench",
            }
        )
        write_rows(table, COLUMNS, rows)


def _run(line: Sequence[str]) -> dict[str, Any]:
    """Run a line of Python; what it took. Lines that it ends with `seconds A B` replace its times."""
    began = time.monotonic()
    environment = {**child_environment("tensorflow"), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, *line], stdout=subprocess.PIPE, env=environment
    ) as child:
        assert child.stdout is not None
        said = child.stdout.read().decode(errors="replace").splitlines()
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise UsageError(f"python {' '.join(line)} ended with code {child.returncode}")
    seconds = [time.monotonic() - began, used.ru_utime + used.ru_stime]
    if said and said[-1].startswith("seconds "):
        seconds = [float(word) for word in said[-1].split()[1:]]
    return {
        "seconds": float(f"{seconds[0]:.3g}"),
        "processor_seconds": float(f"{seconds[1]:.3g}"),
        "peak_mib": round(used.ru_maxrss / 1024),  # KiB on Linux
    }


def drive(folder: Path) -> None:
    """Let the driver watch the last trials of a made-up folder, and print what each took of its time."""
    results = folder.with_name(f"{folder.name}-driven")
    shutil.rmtree(results, ignore_errors=True)
    new = results / folder.name
    new.mkdir(parents=True)
    try:
        shutil.copy(folder / "study.toml", new)
        study = read_resolved(folder)
        assert study.data is not None
        total = sum(1 for _ in study.each_trial(study.data))
        with (
            open(folder / "trials.jsonl", "rb") as source,
            open(new / "trials.jsonl", "wb") as copy,
        ):
            copy.writelines(itertools.islice(source, total - DRIVEN))
        plan = runner.make_plan(study, Here(results))
        executor = _MadeUp()
        runner.run(plan, executor, Now(Estimator([], 1)))
    finally:
        shutil.rmtree(results, ignore_errors=True)
    print("seconds", *(f"{spent / DRIVEN:.6f}" for spent in executor.spent))


class _MadeUp:
    """An executor whose trials say what is made up for them; it counts the time of who listens."""

    workers = 1

    def __init__(self) -> None:
        self.spent = (0.0, 0.0)

    def run(self, trials: Sequence[Trial], place: Place, logs: Path, on_event: OnEvent) -> None:
        said = [(trial, event) for trial in trials for event in made_up_events(trial)]
        began = time.monotonic(), time.process_time()
        for trial, event in said:
            on_event(trial, event)
        self.spent = (time.monotonic() - began[0], time.process_time() - began[1])


if __name__ == "__main__":
    sys.exit(main())
