"""Trials as processes of this machine, each started fresh, some at a time."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from studies.errors import UsageError
from studies.executors import Event, OnEvent, log_name
from studies.executors.process import TrialProcess, stop
from studies.executors.waiting import Waiting
from studies.machine.threads import cores
from studies.study.trial import Trial


class LocalExecutor:
    """Run trials as local processes.

    Args:
        workers: trials at a time.
        threads: computing threads of each; by default the cores are shared out evenly.
        command: what runs one trial, by default `python -m studies.training.trial`.

    Raises:
        UsageError: a number is below 1, or more threads than cores are asked for.
    """

    def __init__(
        self,
        workers: int = 1,
        threads: int | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        available = len(cores())
        if workers < 1 or (threads is not None and threads < 1):
            raise UsageError("--workers and --threads must be at least 1")
        self.workers = workers
        self.command = command
        self.threads = threads or max(1, available // workers)
        if self.threads > available:
            raise UsageError(
                f"--threads {threads} is more than there are cores for it here; "
                f"choose at most {available}"
            )

    def run(self, trials: Sequence[Trial], results: Path, logs: Path, on_event: OnEvent) -> None:
        """Run all trials, `workers` at a time; see `studies.executors.Executor.run`."""
        logs.mkdir(parents=True, exist_ok=True)
        waiting = Waiting(trials, results)
        running: dict[str, TrialProcess] = {}  # by trial_id
        recorded: set[str] = set()
        events: queue.Queue[tuple[str, Event | None]] = queue.Queue()
        try:
            while waiting or running:
                at_work = [process.trial for process in running.values()]
                for trial in waiting.take(at_work, self.workers - len(running)):
                    running[trial.trial_id] = self._start(trial, results, logs, events)
                key, event = _get(events)
                process = running[key]
                if event is None:
                    del running[key]
                    process.close()
                if key not in recorded:
                    event = event or process.failed_record()
                    if event["event"] == "record":
                        recorded.add(key)
                    on_event(process.trial, event)
        finally:
            stop(running.values())

    def _start(
        self, trial: Trial, results: Path, logs: Path, events: queue.Queue[Any]
    ) -> TrialProcess:
        log, shared = logs / log_name(trial), self.workers > 1
        process = TrialProcess(trial, results, log, self.threads, shared, self.command)
        threading.Thread(target=_read, args=(process, events), daemon=True).start()
        return process


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
