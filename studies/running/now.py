"""What a run is doing right now, for other terminals: RUN/running.json, while it runs."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studies.executors import Event
from studies.machine.files import file_bytes, parsed_json, replace
from studies.machine.storage import Storage
from studies.running.estimate import Estimator
from studies.running.lease import Running, running
from studies.running.runner import RUNNING, Plan
from studies.running.time_left import TimeLeft
from studies.study.trial import Trial

Found = tuple[Mapping[str, Any], Running | None]  # what a run was doing, and who runs it

_MOST = 1e15  # of seconds, trials and steps


class Now:
    """Keeps the file up to date; one of a run's displays.

    A run that is killed leaves its file behind. `read` recognises it: nobody alive holds the folder.
    """

    def __init__(self, estimator: Estimator) -> None:
        self._time_left = TimeLeft(estimator)
        self._run = secrets.token_hex(8)  # whose file it is

    def start(self, plan: Plan, trials: list[Trial], workers: int) -> None:
        self._time_left.start(trials, plan.costs, workers)
        self._path = plan.folder / RUNNING
        self._total, self._ended, self._failed = len(trials), 0, 0
        self._again: set[str] = set()  # trials that were lost, or made room, and began anew
        self._running: dict[str, dict[str, Any]] = {}
        self._write()

    def event(self, trial: Trial, event: Event) -> None:
        self._time_left.update(trial, event)
        key = trial.trial_id
        if event["event"] == "record":
            self._ended += 1
            self._failed += event["record"].get("status") != "done"
            self._running.pop(key, None)
        elif event["event"] == "again":
            self._again.add(key)
            self._running.pop(key, None)
        else:
            if event["event"] == "start" and key in self._running:  # an engine started it again
                self._again.add(key)
            known = {name: event.get(name) for name in ("step", "steps", "val_top1")}
            left = self._time_left.left_of(trial, event)
            self._running[key] = {"label": trial.label, **known, "left": left}
        self._write()

    def stop(self) -> None:
        with contextlib.suppress(OSError, AttributeError):  # it may never have started
            if self._path.read_text(encoding="utf-8") == self._written:  # and not another run's
                self._path.unlink()

    def _write(self) -> None:
        content = {
            "time": time.time(),
            "ended": self._ended,
            "failed": self._failed,
            "again": len(self._again),
            "total": self._total,
            "left": self._time_left.left(),
            "trials": list(self._running.values()),
        }
        self._written = json.dumps({**content, "run": self._run})
        with contextlib.suppress(OSError):  # on a full disk the run itself has more to say
            replace(self._path, self._written.encode())


def read(folder: Path, storage: Storage) -> Found | None:
    """What the latest run of a results folder was doing, and who runs it.

    Args:
        folder: of the results.
        storage: the same, of which that may be a copy: it says who is at work.

    Returns:
        `{"time": ..., "ended": ..., "failed": ..., "again": ..., "total": ..., "left": ...,
        "trials": [{"label": ..., "step": ..., "steps": ..., "val_top1": ..., "left": ...}, ...]}`, the
        trials being those at work, times in seconds, with who holds the folder, None where nobody does:
        the run was killed. None where the latest run came to its end.
    """
    try:
        said = parsed_json(file_bytes(folder / RUNNING))
        return (said, running(storage)) if _is_whole(said) else None
    except (OSError, ValueError):
        return None


def _is_whole(said: Any) -> bool:
    """Whether it is what `Now` writes."""
    try:
        numbers = [said["time"], said["ended"], said["total"], said["left"]]
        numbers += [said["failed"], said["again"]]
        numbers += [trial["left"] for trial in said["trials"]]
        words = [trial["label"] for trial in said["trials"]]
        marks = [trial[key] for trial in said["trials"] for key in ("step", "steps", "val_top1")]
    except (KeyError, TypeError):
        return False
    known = [mark for mark in marks if mark is not None]
    return all(isinstance(word, str) for word in words) and all(
        isinstance(number, int | float) and abs(number) < _MOST for number in (*numbers, *known)
    )
