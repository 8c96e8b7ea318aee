"""What a run is doing right now, for other terminals: RUN/running.json, while it runs."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studies.executors import Event
from studies.machine.files import file_bytes, parsed_json
from studies.running.estimate import Estimator
from studies.running.results_folder import is_held
from studies.running.runner import Plan
from studies.running.time_left import TimeLeft
from studies.study.trial import Trial

FILE = "running.json"
_MOST = 1e15  # of seconds, trials and steps


class Now:
    """Keeps the file up to date; one of a run's displays.

    A run that is killed leaves its file behind. `read` recognises it: nobody holds the folder any more.
    """

    def __init__(self, estimator: Estimator) -> None:
        self._time_left = TimeLeft(estimator)

    def start(self, plan: Plan, trials: list[Trial], workers: int) -> None:
        self._time_left.start(trials, plan.costs, workers)
        self._path = plan.folder / FILE
        self._total, self._ended = len(trials), 0
        self._running: dict[str, dict[str, Any]] = {}
        self._write()

    def event(self, trial: Trial, event: Event) -> None:
        self._time_left.update(trial, event)
        if event["event"] == "record":
            self._ended += 1
            self._running.pop(trial.trial_id, None)
        else:
            known = {key: event.get(key) for key in ("step", "steps", "val_top1")}
            left = self._time_left.left_of(trial, event)
            self._running[trial.trial_id] = {"label": trial.label, **known, "left": left}
        self._write()

    def stop(self) -> None:
        with contextlib.suppress(OSError, AttributeError):  # it may never have started
            self._path.unlink()

    def _write(self) -> None:
        content = {
            "time": time.time(),
            "ended": self._ended,
            "total": self._total,
            "left": self._time_left.left(),
            "trials": list(self._running.values()),
        }
        temporary = self._path.with_name(f".{FILE}.{os.getpid()}.tmp")
        with contextlib.suppress(OSError):  # on a full disk the run itself has more to say
            temporary.write_text(json.dumps(content), encoding="utf-8")
            os.replace(temporary, self._path)


def read(folder: Path) -> tuple[Mapping[str, Any], bool] | None:
    """What the latest run of a results folder was doing, and whether it still does.

    Returns:
        `{"time": ..., "ended": ..., "total": ..., "left": ..., "trials": [{"label": ..., "step": ...,
        "steps": ..., "val_top1": ..., "left": ...}, ...]}`, times in seconds, with False where the run
        was killed; None where the latest run came to its end.
    """
    try:
        said = parsed_json(file_bytes(folder / FILE))
        return (said, is_held(folder)) if _is_whole(said) else None
    except (OSError, ValueError):
        return None


def _is_whole(said: Any) -> bool:
    """Whether it is what `Now` writes."""
    try:
        numbers = [said["time"], said["ended"], said["total"], said["left"]]
        numbers += [trial["left"] for trial in said["trials"]]
        words = [trial["label"] for trial in said["trials"]]
        marks = [trial[key] for trial in said["trials"] for key in ("step", "steps", "val_top1")]
    except (KeyError, TypeError):
        return False
    known = [mark for mark in marks if mark is not None]
    return all(isinstance(word, str) for word in words) and all(
        isinstance(number, int | float) and abs(number) < _MOST for number in (*numbers, *known)
    )
