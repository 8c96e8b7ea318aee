"""Trials as processes of this machine, each started fresh, some at a time."""

from __future__ import annotations

import contextlib
import math
import queue
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from studies.errors import UsageError
from studies.executors import Event, OnEvent, log_name
from studies.executors.process import TrialProcess, stop
from studies.executors.resources import Resources, amount
from studies.executors.waiting import Waiting
from studies.machine.devices import physical_memory, visible_gpus
from studies.machine.threads import cores
from studies.records.place import Place
from studies.study.trial import Trial


class LocalExecutor:
    """Run trials as local processes.

    Args:
        workers: trials at a time.
        threads: computing threads of a device; by default the cores are shared out evenly.
        command: what runs one trial, by default `python -m studies.training.trial`.
        devices: of each trial; GPUs where there are some.
        gpus: of each device, or a part of one; by default one, but a trial that is alone on one device sees
            all there are.
        memory: bytes that each trial needs; nothing here holds it to them.

    Raises:
        UsageError: a number is below 1, or more is asked for than this machine has.
    """

    def __init__(
        self,
        workers: int = 1,
        threads: int | None = None,
        command: Sequence[str] | None = None,
        devices: int = 1,
        gpus: float | None = None,
        memory: int | None = None,
    ) -> None:
        available = len(cores())
        if workers < 1 or (threads is not None and threads < 1):
            raise UsageError("--workers and --threads must be at least 1")
        self.workers = workers
        self.command = command
        self.threads = threads or max(1, available // (workers * devices))
        most = max(1, available // devices)
        if self.threads > most:
            on = f" for each of {devices} devices" if devices > 1 else ""
            raise UsageError(
                f"--threads {threads} is more than there are cores here{on}; choose at most {most}"
            )
        there = len(visible_gpus())
        if gpus is None and there and workers * devices > 1:
            gpus = 1
        # Of a part of a GPU a trial sees the whole, with the others that share it.
        self._gpus = None if gpus is None else math.ceil(gpus) * devices
        a_part = gpus is not None and 0 < gpus < 1
        self._shared = a_part or workers * (self._gpus or 1) > max(1, there)
        self._refuse_more_than_there_is(Resources(self.threads, gpus or 0, memory, devices))

    def run(self, trials: Sequence[Trial], place: Place, logs: Path, on_event: OnEvent) -> None:
        """Run all trials, `workers` at a time; see `studies.executors.Executor.run`."""
        logs.mkdir(parents=True, exist_ok=True)
        waiting = Waiting(trials, place)
        running: dict[str, TrialProcess] = {}  # by trial_id
        recorded: set[str] = set()
        events: queue.Queue[tuple[str, Event | None]] = queue.Queue()
        try:
            while waiting or running:
                at_work = [process.trial for process in running.values()]
                for trial in waiting.take(at_work, self.workers - len(running)):
                    running[trial.trial_id] = self._start(trial, place, logs, events)
                key, event = _get(events)
                process = running[key]
                process.save()
                if event is None:
                    del running[key]
                    process.close()
                elif process.answered(event):
                    continue
                if key not in recorded:
                    event = event or process.failed_record()
                    if event["event"] == "record":
                        recorded.add(key)
                    on_event(process.trial, event)
        finally:
            stop(running.values())
            with contextlib.suppress(OSError):  # what stopped the run says more
                for process in running.values():  # who was asked to end has left a checkpoint
                    process.save()
            for process in running.values():
                process.close()

    def _start(
        self, trial: Trial, place: Place, logs: Path, events: queue.Queue[Any]
    ) -> TrialProcess:
        log = logs / log_name(trial)
        process = TrialProcess(
            trial, place, log, self.threads, self._shared, self.command, gpus=self._gpus
        )
        threading.Thread(target=_read, args=(process, events), daemon=True).start()
        return process

    def _refuse_more_than_there_is(self, asked: Resources) -> None:
        gpus, memory = len(visible_gpus()), physical_memory()
        if asked.all_gpus > gpus:
            raise UsageError(
                f"a trial is to have {amount(asked.all_gpus, 'GPU')}, and there are {gpus} here: ask for "
                f"less with --gpus or --devices, or choose a cluster with --executor"
            )
        if memory and self.workers * (asked.memory or 0) > memory:
            raise UsageError(
                f"trials of {(asked.memory or 0) / 1e9:.1f} GB, {self.workers} at a time, are "
                f"more than the {memory / 1e9:.1f} GB of this machine: ask for less with --memory, or "
                f"choose fewer --workers"
            )


def _read(process: TrialProcess, events: queue.Queue[Any]) -> None:
    """Hand events on, then None once the process has ended (runs in its own thread)."""
    for event in process.events():
        events.put((process.trial.trial_id, event))
    events.put((process.trial.trial_id, None))


def _get(events: queue.Queue[Any]) -> tuple[str, Event | None]:
    while True:
        # A bare get() may hold back Ctrl-C on some systems; half a second is no loss.
        with contextlib.suppress(queue.Empty):
            item: tuple[str, Event | None] = events.get(timeout=0.5)
            return item
