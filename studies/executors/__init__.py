"""Executors: ways to run trials, each in a process of its own.

An executor is handed trials and reports what happens to them as events, dictionaries such as a
trial's process prints them:

    {"event": "start", ...}
    {"event": "progress", "step": 50, "steps": 1000, ...}
    {"event": "again", "reason": ...}       its machine was lost, or needed: it waits for another
    {"event": "record", "record": {...}}

A process also says `ended`, once a training has come to its end and storage is elsewhere, and waits: who
started it answers when that end is stored (`TrialProcess.answered`), and hands the event on to nobody.

Every trial ends with exactly one record, whose status is "done" or "failed"; a process that dies
without one gets a failed record from the executor.  Trials that would train the same never run at the
same time (`waiting`, `studies.records.checkpoints.claimed`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from studies.records.place import Place
from studies.records.store import new_record
from studies.study.trial import Trial

Event = dict[str, Any]
_STEM = 150  # bytes of a file's name, which has at most 255
OnEvent = Callable[[Trial, Event], None]


class Executor(Protocol):
    """What every executor does; `tests/studies/executors/contract.py` checks it."""

    workers: int  # trials at a time

    def run(self, trials: Sequence[Trial], place: Place, logs: Path, on_event: OnEvent) -> None:
        """Run all trials and return when each has its record.

        Args:
            trials: what to run, the most wanted first.
            place: of all studies' results, in whose storage checkpoints, outcomes and logs are kept.
            logs: folder of one log file a trial, in that place.
            on_event: called in the caller's thread for every event of every trial, when all that the
                trial has written before it is in storage.

        Raises:
            KeyboardInterrupt: handed on once no process of a trial is left.
        """
        ...


def failed_record(trial: Trial, reason: str) -> dict[str, Any]:
    """The record of a trial that died without writing one itself."""
    return {**new_record(trial), "status": "failed", "reason": reason}


def log_name(trial: Trial) -> str:
    """File name of a trial's log: readable, and its own for every trial."""
    model = file_stem(trial.model.name)
    return f"{model}-{trial.size}-s{trial.seed}-{trial.backend}-{trial.trial_id[:8]}.log"


def file_stem(name: str) -> str:
    """A model's name with nothing in it that a file's name may not have, and not too long for one."""
    stem = "".join(char if char.isalnum() or char in "-_+." else "_" for char in name)
    if len(stem.encode()) <= _STEM:
        return stem
    short = stem.encode()[:_STEM].decode(errors="ignore")
    return f"{short}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
