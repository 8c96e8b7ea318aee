"""Trials on other machines, whatever engine brings them there.

The machines and the driver share the place of the results, a folder or a URL, and nothing else. The machine
that gets an `Order` starts the trial's process, has what it leaves in storage, and writes down there what it
says, one event a line, where the driver reads it. The engine moves orders and says when one has ended,
nothing else:

    driver --order--> engine --order--> machine: trial's process
       ^                                              |
       +----- LOGS/events/<trial>.<n>/<machine> <-----+
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from studies.errors import UsageError
from studies.executors import Event, OnEvent, failed_record, log_name
from studies.executors.process import TrialProcess, parse, stop
from studies.executors.waiting import Waiting
from studies.records.place import Place, opened, unwritable
from studies.records.prepared import share
from studies.study.trial import Trial

MOST = 1000  # orders at a time: engines are slow with more, and Slurm's arrays end there
STORE_SECONDS = 20.0  # what is stored when a trial was ended may take that long
ATTEMPTS = (
    4  # at a trial whose machine is lost; one that is asked to stop saves, and goes on as often
)
EVENTS = "events"  # their folder, among the logs
LOOK_SECONDS = 1.0  # between two questions to storage, which are paid for
PATIENCE_SECONDS = 90.0  # what a file may take from one machine to another: NFS asks once a minute
STOPPED: Event = {"event": "stopped"}  # the last event of a process that is to go on elsewhere


@dataclass(frozen=True)
class Order:
    """A trial for a machine.

    Args:
        trial: its description, as JSON.
        results: the folder of all studies, under the same path on all machines, or its URL.
        log, events: a file and a folder that are written, relative to it.
        threads: computing threads where the trial starts for the first time.
        gpus: how many the engine gives it, 0 to hide all, or a part of one that others use too.
        command: what runs one trial, by default `python -m studies.training.trial`.
    """

    trial: str
    results: Path | str
    log: str
    events: str
    threads: int
    gpus: float = 0
    command: Sequence[str] | None = None

    def start(self) -> Work:
        """Start the trial's process, on this machine."""
        return Work(self)


class Work:
    """A trial's process on the machine that got the order, and the thread that writes its events.

    Raises:
        UsageError: the place of the results cannot be read, or the process cannot start.
    """

    def __init__(self, order: Order) -> None:
        trial = Trial.model_validate_json(order.trial)
        # Libraries take whatever GPU they see, whether the engine meant it for them or not.
        hidden = {} if order.gpus else {"CUDA_VISIBLE_DEVICES": ""}
        with contextlib.ExitStack() as opening:
            self._place = place = opening.enter_context(opened(order.results))
            self._process = TrialProcess(
                trial,
                place,
                place.path / order.log,
                order.threads,
                0 < order.gpus < 1,
                order.command,
                hidden,
            )
            # A name of its own: who was taken for dead and works on after all writes elsewhere.
            self._path = place.path / order.events / secrets.token_hex(8)
            self._closing = opening.pop_all()
        self._ended = threading.Event()
        self._trouble: UsageError | None = None
        threading.Thread(target=self._read, daemon=True).start()

    def finish(self) -> None:
        """Wait for the process; the last event is its record, or that it was stopped, and all is stored.

        A signal's handler may call it while it is at work already: it takes no lock. And it waits a
        little at a time, as between two instructions an engine's interruption is noticed.

        Raises:
            UsageError: events, or what else the trial leaves, could not be written.
        """
        while not self._ended.is_set():
            time.sleep(0.1)
        if self._trouble is not None:
            raise self._trouble

    def ask_to_stop(self) -> None:
        """Let the process end after the step under way; `finish` notices."""
        self._process.popen.terminate()

    def stop(self) -> None:
        """End the process, by force if need be, and let go of what belongs to it."""
        stop([self._process])
        self._ended.wait(STORE_SECONDS)
        self._process.close()

    def _read(self) -> None:
        recorded = False
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            for event in self._process.events():
                if not recorded:
                    recorded = event["event"] == "record"
                    self._write(event)
            if not recorded:
                stopped = self._process.was_stopped
                self._write(STOPPED if stopped else self._process.failed_record())
        except OSError as error:
            self._trouble = unwritable(self._place.location, str(error.strerror or error))
            self._process.popen.kill()
        finally:
            self._closing.close()
            self._ended.set()

    def _write(self, event: Event) -> None:
        """Tell of an event, when all that the trial has written before it is in storage."""
        self._process.save()
        if self._process.answered(event):
            return
        with open(self._path, "ab") as file:
            file.write(json.dumps(event).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._place.store(self._path)


class End(NamedTuple):
    """How an order ended, as far as its engine knows."""

    reason: str = ""  # why there can be no record, if there is none
    again: bool = False  # whether the trial may be run again then


Handle = Any


class Engine(Protocol):
    """What brings orders to machines."""

    def room(self, orders: int) -> int:
        """How many more may be submitted while some are under way."""
        ...

    def submit(self, orders: Sequence[Order], names: Sequence[str]) -> list[Handle]:
        """Take orders and give something that can be hashed for each; names are for people."""
        ...

    def ended(self, handles: Collection[Handle], seconds: float) -> Mapping[Handle, End]:
        """Which have ended; waits so long, or until one has."""
        ...

    def cancel(self, handles: Collection[Handle]) -> None:
        """Give up orders; returns when none of them is at work any more."""
        ...


@dataclass
class _Remote:
    """An order under way."""

    trial: Trial
    events: Path  # a folder with a file of each machine that got the order
    attempt: int
    offsets: dict[Path, int] = field(default_factory=dict)  # how far each file was read
    last: Event | None = None  # its record, or STOPPED
    end: End | None = None
    since: float = field(default_factory=time.monotonic)  # when it ended, once it has

    def new_events(self) -> list[Event]:
        """Whole lines that have come since the latest call, but for the last event of all."""
        new = []
        for path in sorted(self.events.glob("*")):
            for event in self._of(path):
                ends = event["event"] in ("record", "stopped")
                if not ends:
                    new.append(event)
                # What was stopped may go on; a record stays, in whatever order files are read.
                if self.last is None or self.last == STOPPED:
                    self.last = event if ends else None
        return new

    def _of(self, path: Path) -> list[Event]:
        offset = self.offsets.get(path, 0)
        try:
            with open(path, "rb") as file:
                file.seek(offset)
                lines = file.read().splitlines(keepends=True)
        except OSError:  # a moment too early
            return []
        whole = [line for line in lines if line.endswith(b"\n")]
        self.offsets[path] = offset + sum(map(len, whole))
        return [event for event in map(parse, whole) if event is not None]


def run_on(
    engine: Engine,
    make_order: Callable[[Trial, str, str], Order],
    trials: Sequence[Trial],
    place: Place,
    logs: Path,
    on_event: OnEvent,
) -> None:
    """Run trials on an engine; see `studies.executors.Executor.run`.

    Args:
        engine: brings orders to machines.
        make_order: makes a trial's order, given the names of its log and its events in the place.
        trials: the most wanted first.
        place: of all studies' results.
        logs: folder of the logs.
        on_event: called with every trial and event, in this thread.
    """
    logs.mkdir(parents=True, exist_ok=True)

    def name(path: Path) -> str:
        return path.relative_to(place.path).as_posix()

    def forget(events: Path) -> None:
        shutil.rmtree(events, ignore_errors=True)
        place.store(events)

    place.fetch(name(logs / EVENTS))
    forget(logs / EVENTS)
    share(place, trials)
    waiting = Waiting(trials, place)
    attempts: dict[str, int] = {}
    under_way: dict[Handle, _Remote] = {}
    news = True  # what is held back is looked at again only then: that reads the shared folder
    looked = 0.0
    try:
        while waiting or under_way:
            at_work = [remote.trial for remote in under_way.values()]
            taken = waiting.take(at_work, engine.room(len(under_way))) if news else []
            news = False
            if taken:
                remotes = [_remote(trial, logs, attempts) for trial in taken]
                orders = [
                    make_order(r.trial, name(logs / log_name(r.trial)), name(r.events))
                    for r in remotes
                ]
                handles = engine.submit(orders, [trial.label for trial in taken])
                under_way.update(zip(handles, remotes, strict=True))
            open_ones = [handle for handle, remote in under_way.items() if remote.end is None]
            ends = engine.ended(open_ones, seconds=0.2)
            for handle, end in ends.items():
                under_way[handle].end = end
                under_way[handle].since = time.monotonic()
            if ends or time.monotonic() >= looked + LOOK_SECONDS:
                place.fetch(name(logs / EVENTS))
                looked = time.monotonic()
            for handle, remote in list(under_way.items()):
                for event in remote.new_events():
                    news = True
                    on_event(remote.trial, event)
                record = None if remote.last == STOPPED else remote.last
                if record is None and (remote.end is None or _may_yet_come(remote)):
                    continue
                del under_way[handle]
                news = True
                forget(remote.events)
                if record or not _may_go_on(remote):
                    on_event(remote.trial, record or _lost(remote, place))
                else:
                    attempts[remote.trial.trial_id] = (
                        0 if remote.last == STOPPED else remote.attempt
                    )
                    waiting.put_back(remote.trial)
                    on_event(remote.trial, {"event": "again", "reason": _why_again(remote)})
    finally:
        engine.cancel([handle for handle, remote in under_way.items() if remote.end is None])


def _remote(trial: Trial, logs: Path, attempts: dict[str, int]) -> _Remote:
    attempts[trial.trial_id] = attempts.get(trial.trial_id, 0) + 1
    # A name of its own: who works on after all on an order that was given up writes elsewhere.
    stem = log_name(trial).removesuffix(".log")
    events = logs / EVENTS / f"{stem}.{uuid.uuid4().hex[:8]}"
    return _Remote(trial, events, attempts[trial.trial_id])


def _may_yet_come(remote: _Remote) -> bool:
    assert remote.end is not None
    patience = 0.0 if remote.end.reason or remote.last else PATIENCE_SECONDS
    return time.monotonic() < remote.since + patience


def _may_go_on(remote: _Remote) -> bool:
    assert remote.end is not None
    stopped = remote.last == STOPPED and not remote.end.reason
    return stopped or (remote.end.again and remote.attempt < ATTEMPTS)


def _why_again(remote: _Remote) -> str:
    assert remote.end is not None
    return remote.end.reason or "it was asked to make room"


def _lost(remote: _Remote, place: Place) -> Event:
    assert remote.end is not None
    reason = remote.end.reason or (
        f"its machine wrote nothing to {place.address(remote.events.parent)}: the results folder must lie "
        f"where all machines see it under the same path, or under a URL"
    )
    return {"event": "record", "record": failed_record(remote.trial, reason)}
