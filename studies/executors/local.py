"""Trials as processes of this machine, each started fresh, some at a time.

A trial's process lives no longer than the driver: it holds the reading end of a pipe whose other
end only the driver has, and asks the kernel for a signal at its parent's death besides.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from studies.errors import UsageError
from studies.executors import Event, OnEvent, failed_record, log_name
from studies.executors.environment import environment, threads_and_cores
from studies.machine.threads import bind, cores
from studies.study.trial import Trial

TRIAL_COMMAND: Sequence[str] = (sys.executable, "-m", "studies.training.trial")
GRACE_SECONDS = 5.0  # between closing a trial's life line and killing it


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
        self.command = command or TRIAL_COMMAND
        self.threads = threads or max(1, available // workers)
        if self.threads > available:
            raise UsageError(
                f"--threads {threads} is more than there are cores for it here; "
                f"choose at most {available}"
            )

    def run(self, trials: Sequence[Trial], results: Path, logs: Path, on_event: OnEvent) -> None:
        """Run all trials, `workers` at a time; see `studies.executors.Executor.run`."""
        logs.mkdir(parents=True, exist_ok=True)
        waiting = list(trials)
        running: dict[int, _Process] = {}  # by slot
        events: queue.Queue[tuple[int, Event | None]] = queue.Queue()
        try:
            while waiting or running:
                for slot in range(self.workers):
                    if slot not in running:
                        trial = _next(waiting, running.values())
                        if trial is not None:
                            running[slot] = self._start(trial, slot, results, logs, events)
                slot, event = _get(events)
                process = running[slot]
                if event is None:
                    del running[slot]
                    process.close()
                    if not process.recorded:
                        reason = process.why_it_died()
                        record = failed_record(process.trial, reason)
                        on_event(process.trial, {"event": "record", "record": record})
                elif not process.recorded:
                    process.recorded = event.get("event") == "record"
                    on_event(process.trial, event)
        finally:
            _stop(running.values())

    def _start(
        self, trial: Trial, slot: int, results: Path, logs: Path, events: queue.Queue[Any]
    ) -> _Process:
        threads, bound = threads_and_cores(trial, results, self.threads)
        with _affinity(slot * self.threads, bound):
            process = _Process(
                trial,
                self.command,
                results,
                logs / log_name(trial),
                environment(trial, threads, shared=self.workers > 1),
            )
        threading.Thread(target=process.read, args=(slot, events), daemon=True).start()
        return process


class _Process:
    """A trial's process, its log and what it said."""

    def __init__(
        self,
        trial: Trial,
        command: Sequence[str],
        results: Path,
        log: Path,
        variables: dict[str, str],
    ) -> None:
        self.trial = trial
        self.log = log
        self.recorded = False
        specification = log.with_suffix(".json")
        specification.write_text(trial.model_dump_json(indent=1), encoding="utf-8")
        with open(log, "ab") as stderr:
            try:
                self.popen = subprocess.Popen(
                    [*command, str(specification), "--results", str(results)],
                    stdin=subprocess.PIPE,  # the life line: never written to, closed by our death
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    env=variables,
                    start_new_session=True,  # Ctrl-C is the driver's business
                )
            except OSError as error:  # of memory or processes, not of the disk
                raise UsageError(
                    f"cannot start a trial's process ({error.strerror or error}): choose fewer "
                    f"--workers, or end other programs; finished trials are kept"
                ) from error

    def read(self, slot: int, events: queue.Queue[Any]) -> None:
        """Hand events on, then None once the process has ended (runs in its own thread)."""
        stdout: IO[bytes] = self.popen.stdout  # type: ignore[assignment]
        for line in stdout:
            event = _parse(line)
            if event is None:
                # On a full disk the words are lost, but the trial's end must still be heard.
                with contextlib.suppress(OSError), open(self.log, "ab") as log:
                    log.write(line)
            else:
                events.put((slot, event))
        self.popen.wait()
        events.put((slot, None))

    def close(self) -> None:
        """Let go of the pipes."""
        for pipe in (self.popen.stdin, self.popen.stdout):
            if pipe is not None:
                pipe.close()

    def why_it_died(self) -> str:
        """One sentence about a process that ended without a record."""
        code = self.popen.returncode
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
            memory = " (often because the machine ran out of memory)" if name == "SIGKILL" else ""
            return f"the trial's process was killed by {name}{memory}; its log is {self.log}"
        lines = self.log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
        return (
            f"the trial's process ended with exit code {code}: {lines[-1]}; its log is {self.log}"
        )


def _next(waiting: list[Trial], running: Any) -> Trial | None:
    busy = {process.trial.pretrain_id for process in running}
    for index, trial in enumerate(waiting):
        if trial.pretrain_id not in busy:
            return waiting.pop(index)
    return None


def _get(events: queue.Queue[Any]) -> tuple[int, Event | None]:
    while True:
        # A bare get() may hold back Ctrl-C on some systems; half a second is no loss.
        with contextlib.suppress(queue.Empty):
            item: tuple[int, Event | None] = events.get(timeout=0.5)
            return item


def _parse(line: bytes) -> Event | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None


@contextlib.contextmanager
def _affinity(first: int, count: int) -> Any:
    """Bind the process started inside to some cores; JAX counts those and nothing else.

    The slots' cores differ, and several drivers on a machine start at different ones.
    """
    available = cores()
    start = os.getpid() + first
    bind({available[(start + index) % len(available)] for index in range(count)})
    try:
        yield
    finally:
        bind(available)


def _stop(processes: Any) -> None:
    """End processes: by their life line, then by force; returns when all are gone."""
    processes = list(processes)
    for process in processes:
        with contextlib.suppress(OSError):
            process.popen.stdin.close()
    deadline = time.monotonic() + GRACE_SECONDS
    for process in processes:
        try:
            process.popen.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.popen.kill()
            process.popen.wait()
