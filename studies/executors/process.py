"""The process of a trial, started fresh on whatever machine it is to run, with its log.

It lives no longer than its starter: it holds the reading end of a pipe whose other end only the
starter has, and asks the kernel for a signal at its parent's death besides.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from studies.errors import UsageError
from studies.executors import Event, failed_record
from studies.executors.environment import environment, threads_and_cores
from studies.machine.claims import claim_cores, claim_gpus
from studies.machine.threads import Threads, cores, note_threads, noted_threads
from studies.records.checkpoints import (
    ENDED,
    STORED,
    THREADS,
    checkpoint_folder,
    checkpoint_name,
    untrained,
)
from studies.records.layout import outcomes_path
from studies.records.place import Place, unwritable
from studies.records.prepared import restore
from studies.study.trial import Trial

TRIAL_COMMAND: Sequence[str] = (sys.executable, "-m", "studies.training.trial")
GRACE_SECONDS = 10.0  # in which a trial may end the step under way and write a checkpoint


class TrialProcess:
    """A trial's process; its events come from `events`, what else it prints goes to its log.

    It finds what an earlier one has left in storage, and what it leaves there itself is `save`'s.

    Args:
        trial: what it runs.
        place: of all studies' results.
        log: file in it to append to; the trial's description is put beside it.
        threads: computing threads of a device where the trial starts for the first time.
        shared: whether others compute on the same accelerator.
        command: what runs one trial, by default `python -m studies.training.trial`.
        variables: further environment variables.
        gpus: how many it has for itself, as long as there are such; None: it sees what there is.

    Raises:
        UsageError: the machine has no memory, or no number, left for another process; or what the trial
            needs cannot be read.
    """

    def __init__(
        self,
        trial: Trial,
        place: Place,
        log: Path,
        threads: int,
        shared: bool = False,
        command: Sequence[str] | None = None,
        variables: dict[str, str] | None = None,
        gpus: int | None = None,
    ) -> None:
        self.trial = trial
        self.log = log
        self._place, results = place, place.path
        name = log.relative_to(results).as_posix()
        place.fetch(*(checkpoint_name(part) for part in trial.chain), name)
        restore(place, trial)
        log.parent.mkdir(parents=True, exist_ok=True)
        elsewhere = place.bucket("") is not None
        if elsewhere:
            self._agree_on_threads(threads)
        threads, count = threads_and_cores(trial, results, threads)
        specification = log.with_suffix(".json")
        specification.write_text(trial.model_dump_json(indent=1), encoding="utf-8")
        self._claim, self._gpus = claim_cores(count), claim_gpus(gpus or 0)
        seen = {} if gpus is None else {"CUDA_VISIBLE_DEVICES": ",".join(self._gpus.chosen)}
        with open(log, "ab") as stderr, self._claim.bound(), _deaf():
            try:
                self.popen = subprocess.Popen(
                    [
                        *(command or TRIAL_COMMAND),
                        *(str(specification), "--results", str(results)),
                        *(["--elsewhere"] if elsewhere else []),
                    ],
                    stdin=subprocess.PIPE,  # the life line: never written to, closed by our death
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    env={
                        **environment(trial, threads, count, shared),
                        **seen,
                        **(variables or {}),
                    },
                    start_new_session=True,  # Ctrl-C is the starter's business
                )
            except OSError as error:  # of memory or processes, not of the disk
                raise UsageError(
                    f"cannot start a trial's process ({error.strerror or error}): choose fewer "
                    f"--workers, or end other programs; finished trials are kept"
                ) from error

    def events(self) -> Iterator[Event]:
        """What the process says, until it has ended."""
        stdout: IO[bytes] = self.popen.stdout  # type: ignore[assignment]
        for line in stdout:
            event = parse(line)
            if event is not None:
                yield self._told(event)
                continue
            # On a full disk the words are lost, but the trial's end must still be heard.
            with contextlib.suppress(OSError), open(self.log, "ab") as log:
                log.write(line)
        self.popen.wait()

    def save(self) -> None:
        """Have in storage what it has written by now.

        Raises:
            OSError: that is impossible.
        """
        place, trial = self._place, self.trial
        outcomes = outcomes_path(place.path / trial.study, trial.trial_id)
        folders = (checkpoint_folder(place.path, part) for part in trial.chain)
        place.store(*folders, outcomes, self.log)

    def answered(self, event: Event) -> bool:
        """Whether it waits for an answer to an event, that all is saved; then it has got it.

        Args:
            event: the latest, after which `save` was called.
        """
        if event["event"] != ENDED:
            return False
        for part in self.trial.chain:
            if part.training_id == event.get("training_id"):
                (checkpoint_folder(self._place.path, part) / STORED).touch()
        return True

    def _agree_on_threads(self, threads: int) -> None:
        """Note how many it is to have, for other machines, or take the note that one has left."""
        place, trial = self._place, self.trial
        threads, count = threads_and_cores(trial, place.path, threads)
        notes = []
        for part in untrained(place.path, trial) or [trial]:
            notes.append(checkpoint_folder(place.path, part) / THREADS)
            if noted_threads(notes[-1]) is None:
                note_threads(notes[-1], Threads(threads, min(count, len(cores()))))
        try:
            place.store(*notes)
        except OSError as error:
            raise unwritable(place.location, str(error.strerror or error)) from error

    def close(self) -> None:
        """Let go of its pipes, cores and GPUs."""
        for pipe in (self.popen.stdin, self.popen.stdout):
            if pipe is not None:
                pipe.close()
        self._claim.release()
        self._gpus.release()

    @property
    def was_stopped(self) -> bool:
        """Whether it has ended because it was asked to; then it goes on from its checkpoint."""
        return self.popen.returncode == -signal.SIGTERM

    def failed_record(self) -> Event:
        """The last event of a process that ended without a record."""
        record = failed_record(self.trial, self._why_it_died())
        return self._told({"event": "record", "record": record})

    def _told(self, event: Event) -> Event:
        """An event, in which paths are those of storage, and not of a copy of it."""
        record = event.get("record")
        if not isinstance(record, dict) or "reason" not in record:
            return event
        here, there = str(self._place.path), str(self._place.location)
        return {**event, "record": {**record, "reason": record["reason"].replace(here, there)}}

    def _why_it_died(self) -> str:
        code = self.popen.returncode
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
            memory = " (often because the machine ran out of memory)" if name == "SIGKILL" else ""
            return f"the trial's process was killed by {name}{memory}; its log is {self.log}"
        lines = self.log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
        return (
            f"the trial's process ended with exit code {code}: {lines[-1]}; its log is {self.log}"
        )


def stop(processes: Iterable[TrialProcess]) -> None:
    """End processes: by asking them, which lets them save where they are, then by force."""
    processes = list(processes)
    for process in processes:
        process.popen.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    for process in processes:
        try:
            process.popen.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.popen.kill()
            process.popen.wait()


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Let the process that is started inside not hear what a scheduler sends to all of a job.

    SIGUSR1 and SIGUSR2 are for who started it, and would end it without a checkpoint.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGUSR2})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def parse(line: bytes) -> Event | None:
    """The event that a line holds, or None."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None
