"""A run's log for programs: `--log-format json`, one JSON object a line for each change of a state.

Every line has `time` (UTC, ISO 8601) and `event`; seconds are numbers. Words for people are not printed
then, and stderr has errors alone.

    run_started    study, folder, planned (trials of the study), trials (to run now), workers, seconds_left
    trial_started  the trial's fields, step, steps, attempt (from 1); step is above 0 where it goes on
    trial_waiting  the trial's fields, reason: its machine was lost, or needed by others, and it will
                   be started again
    trial_done     the trial's fields, metrics (as in its record), seconds
    trial_failed   the trial's fields, reason, seconds
    run_ended      study, folder, done, failed, left (of the trials to run now), seconds

A trial's fields are trial_id, model, size, seed, backend, evaluation, and log, its log's path relative to
folder. `advise` runs several rounds, each of which starts and ends; its last line has the event `answer`
and what `--json` prints.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, TextIO

from studies.command_line.commands import stop_talking
from studies.executors import Event, log_name
from studies.running.estimate import Estimator
from studies.running.runner import LOGS, Plan
from studies.running.time_left import TimeLeft
from studies.study.study import STANDARD
from studies.study.trial import Trial


@contextlib.contextmanager
def words_aside() -> Iterator[TextIO]:
    """Keep words for people off stdout for a while.

    Yields:
        stdout, for lines.
    """
    lines = sys.stdout
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        yield lines


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keep stderr still for a while, in which errors are raised: the progress of preparing data."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stderr(nowhere):
        yield


def write_line(out: TextIO, event: str, **fields: Any) -> None:
    """Write one line of the log."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    print(json.dumps({"time": now, "event": event, **fields}), file=out, flush=True)


class JsonLines:
    """Writes a line for each change of a state; one of a run's displays.

    Args:
        estimator: of the time left.
        out: where lines go.
    """

    def __init__(self, estimator: Estimator, out: TextIO) -> None:
        self._time_left = TimeLeft(estimator)
        self._out = out

    def start(self, plan: Plan, trials: list[Trial], workers: int) -> None:
        self._time_left.start(trials, plan.costs, workers)
        self._began = time.monotonic()
        self._run = {"study": plan.study.name, "folder": plan.address}
        self._counts = {"done": 0, "failed": 0, "left": len(trials)}
        self._attempts: Counter[str] = Counter()
        known = {"planned": len(plan.trials), "trials": len(trials), "workers": workers}
        left = round(self._time_left.left(), 1)
        write_line(self._out, "run_started", **self._run, **known, seconds_left=left)

    def event(self, trial: Trial, event: Event) -> None:
        if event["event"] == "start":
            self._attempts[trial.trial_id] += 1
            steps = {"step": event.get("step"), "steps": event.get("steps")}
            attempt = self._attempts[trial.trial_id]
            self._say("trial_started", trial, **steps, attempt=attempt)
        elif event["event"] == "again":
            self._say("trial_waiting", trial, reason=event.get("reason"))
        elif event["event"] == "record":
            record = event["record"]
            status = "done" if record.get("status") == "done" else "failed"
            told = {"done": "metrics", "failed": "reason"}[status]
            self._counts[status] += 1
            self._counts["left"] -= 1
            known = {told: record.get(told), "seconds": record.get("seconds")}
            self._say(f"trial_{status}", trial, **known)

    def stop(self) -> None:
        seconds = round(time.monotonic() - self._began, 1)
        try:
            write_line(self._out, "run_ended", **self._run, **self._counts, seconds=seconds)
        except BrokenPipeError:  # whose reader has seen enough; what is done stays done
            stop_talking(self._out.fileno())

    def _say(self, event: str, trial: Trial, **fields: Any) -> None:
        which = {
            "trial_id": trial.trial_id,
            "model": trial.model.name,
            "size": trial.size,
            "seed": trial.seed,
            "backend": trial.backend,
            "evaluation": trial.extra.name if trial.extra else STANDARD,
            "log": f"{LOGS}/{log_name(trial)}",
        }
        write_line(self._out, event, **which, **fields)
