"""Trials as jobs of Slurm, one array a run, submitted through submitit.

A job that is to make room, or whose time is up, ends its trial after the step under way, with a
checkpoint, and is queued again: by submitit (its own signal, before the time is up), by Slurm (where a
partition's preemption requeues), or by the driver (a machine that died).

Reference: https://github.com/facebookincubator/submitit, https://slurm.schedmd.com/sbatch.html
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import importlib
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from studies.errors import UsageError
from studies.executors import OnEvent
from studies.executors.remote import MOST, End, Order, Work, run_on
from studies.executors.resources import Resources
from studies.machine.processes import ROOT
from studies.records.place import Place
from studies.study.trial import Trial

POLL_SECONDS = 5.0  # between two questions to Slurm, which does not like many
CANCEL_SECONDS = 90.0  # Slurm's own KillWait is 30
MINUTES = 60  # of a job, where SBATCH_TIMELIMIT does not say: short ones find their gap sooner
# submitit's signal may come while Python starts, and would end it there, as failed: until submitit listens
# it is not heard, and the job goes on to the end of its time.
PYTHON = f'sh -c \'trap "" USR2; exec "$0" "$@"\' {shlex.quote(sys.executable)}'
_ADVICE = "start the run where Slurm is set up and sinfo answers, or choose --executor local or ray"
_LAST_BYTES = 4096  # of a log, which are looked at
FAILED = End("its Slurm job failed")
AGAIN = ("PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "TIMEOUT", "DEADLINE", "REVOKED")


class Queue(Protocol):
    """Where jobs are queued, by their ids."""

    def clear(self) -> None:
        """Cancel what an earlier driver left behind."""
        ...

    def submit(self, jobs: Sequence[Job]) -> list[str]: ...

    def states(self, ids: Collection[str]) -> Mapping[str, str] | None:
        """In Slurm's words; without those it has forgotten, and None where it does not answer."""
        ...

    def cancel(self, ids: Collection[str]) -> None: ...

    def said(self, id_: str) -> str:
        """Why a job failed, as far as it said so itself."""
        ...


class SlurmExecutor:
    """Run trials as Slurm's jobs.

    Args:
        resources: what every trial gets.
        workers: trials at a time; by default as many as Slurm lets run.
        command: what runs one trial, by default `python -m studies.training.trial`.
        queue: by default Slurm's.

    Raises:
        UsageError: submitit is not installed, there is no Slurm here, or no machine has what a trial
            needs.
    """

    def __init__(
        self,
        resources: Resources,
        workers: int | None = None,
        command: Sequence[str] | None = None,
        queue: Queue | None = None,
    ) -> None:
        room = places(resources) if queue is None else MOST
        self.resources = resources
        self.threads = resources.threads
        self.workers = workers or room
        self.command = command
        self._limit = workers
        self._queue = queue

    def run(self, trials: Sequence[Trial], place: Place, logs: Path, on_event: OnEvent) -> None:
        """Run all trials; see `studies.executors.Executor.run`."""
        gpus, command = self.resources.gpus, self.command

        def order(trial: Trial, log: str, events: str) -> Order:
            text = trial.model_dump_json()
            return Order(text, place.location, log, events, self.threads, gpus, command)

        queue = self._queue or slurm_queue(self.resources, self._limit, place, logs)
        queue.clear()
        run_on(_Jobs(queue, self._limit), order, trials, place, logs, on_event)


class Job:
    """What runs in a job; submitit pickles it, and calls it where the job has come."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.work: Work | None = None

    def __call__(self) -> None:
        self.work = self.order.start()
        # submitit leaves this signal alone: scancel sends it, and Slurm before it takes a machine.
        signal.signal(signal.SIGTERM, lambda signum, frame: self._ask_to_stop())
        try:
            self.work.finish()
        finally:
            self.work.stop()

    def checkpoint(self) -> Any:
        """End the trial after the step under way; submitit asks for it before it queues the job again."""
        self._ask_to_stop()
        if self.work is not None:
            self.work.finish()
        return _submitit().helpers.DelayedSubmission(Job(self.order))

    def _ask_to_stop(self) -> None:
        if self.work is not None:
            self.work.ask_to_stop()


class _Jobs:
    """Orders as jobs, by their ids."""

    def __init__(self, queue: Queue, limit: int | None) -> None:
        self._queue = queue
        self._limit = limit
        self._asked = 0.0

    def room(self, orders: int) -> int:
        # An array has its limit for itself alone: with a limit there is one array at a time.
        return 0 if orders and self._limit else MOST - orders

    def submit(self, orders: Sequence[Order], names: Sequence[str]) -> list[str]:
        return self._queue.submit([Job(order) for order in orders])

    def ended(self, handles: Collection[str], seconds: float) -> Mapping[str, End]:
        time.sleep(seconds)
        if not handles or time.monotonic() < self._asked + POLL_SECONDS:
            return {}
        self._asked = time.monotonic()
        states = self._queue.states(handles)
        if states is None:
            return {}
        ends = {}
        for handle in handles:
            end = _end(states.get(handle, "COMPLETED"))
            if end == FAILED:
                end = End(f"its Slurm job {handle} failed: {self._queue.said(handle)}")
            if end is not None:
                ends[handle] = end
        return ends

    def cancel(self, handles: Collection[str]) -> None:
        if not handles:
            return
        self._queue.cancel(handles)
        deadline = time.monotonic() + CANCEL_SECONDS
        while time.monotonic() < deadline:
            states = self._queue.states(handles)
            if states is not None and all(_end(state) for state in states.values()):
                return
            time.sleep(1.0)


def _end(state: str) -> End | None:
    """How a job in some state has ended, or None where it has not."""
    if state == "COMPLETED":
        return End()
    if state == "CANCELLED":
        return End("its Slurm job was cancelled; --retry-failed goes on from its last checkpoint")
    if state == "OUT_OF_MEMORY":
        return End("its Slurm job ran out of memory: give more with --memory")
    if state in AGAIN:
        return End(f"its Slurm job ended as {state}", again=True)
    return FAILED if state == "FAILED" else None


def last_words(folder: Path, id_: str) -> str:
    """What a job wrote last, into the log that submitit made of what it said; and where that lies."""
    lines: list[str] = []
    for log in sorted(folder.glob(f"{id_}_*_log.err")):
        with contextlib.suppress(OSError), open(log, "rb") as file:
            file.seek(max(0, log.stat().st_size - _LAST_BYTES))
            lines += filter(str.strip, file.read().decode(errors="replace").splitlines())
    # Slurm's own words come last, and say no more than that it failed.
    lines = [line for line in lines if not line.startswith(("srun:", "slurmstepd"))] or lines
    kind = f"{UsageError.__module__}.{UsageError.__qualname__}: "
    last = f"{lines[-1].strip().removeprefix(kind)}; " if lines else ""
    return f"{last}what it said lies in {folder}"


class SlurmQueue:
    """Slurm itself.

    Args:
        resources: what every job gets.
        limit: jobs of an array at a time.
        folder: for what submitit needs, and what jobs say; on a file system that all machines see.
        name: of all jobs, by which a later driver finds them.
    """

    def __init__(self, resources: Resources, limit: int | None, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._parameters = {
            "job_name": self._name,
            "time": MINUTES,
            "cpus_per_task": resources.cpus,
            "srun_args": [f"--cpus-per-task={resources.cpus}"],  # it does not ask sbatch's
            "array_parallelism": limit or MOST,
            "setup": [f"export PYTHONPATH={shlex.quote(str(ROOT))}:$PYTHONPATH"],
            "additional_parameters": {"requeue": True},
        }
        if resources.memory:
            self._parameters["mem"] = f"{-(-resources.memory // 2**20)}M"
        if resources.gpus:
            self._parameters["gpus_per_node"] = int(resources.all_gpus)

    def clear(self) -> None:
        _slurm("scancel", f"--user={getpass.getuser()}", f"--name={self._name}")
        asked = ("squeue", "--noheader", f"--user={getpass.getuser()}", f"--name={self._name}")
        deadline = time.monotonic() + CANCEL_SECONDS
        while _slurm(*asked).strip() and time.monotonic() < deadline:
            time.sleep(1.0)
        shutil.rmtree(self._folder, ignore_errors=True)

    def submit(self, jobs: Sequence[Job]) -> list[str]:
        submitit = _submitit()
        # How often a job's time may be up: a trial may take many jobs.
        executor = submitit.SlurmExecutor(self._folder, max_num_timeout=10**6, python=PYTHON)
        executor.update_parameters(**self._parameters)
        try:
            return [str(job.job_id) for job in executor.submit_array(jobs)]
        except Exception as error:  # submitit has no kind of its own for all of them
            told = str(error).strip().splitlines() or [type(error).__name__]
            raise UsageError(
                f"Slurm takes no jobs ({told[-1]}): SBATCH_PARTITION, SBATCH_ACCOUNT, SBATCH_TIMELIMIT "
                f"and the like say how they are submitted"
            ) from error

    def states(self, ids: Collection[str]) -> Mapping[str, str] | None:
        arrays = ",".join(sorted({each.partition("_")[0] for each in ids}))
        asked = ("--noheader", "--array", "--states=all", f"--jobs={arrays}", "--format=%i|%T")
        try:
            lines = _slurm("squeue", *asked).splitlines()
        except UsageError as error:
            return {} if "Invalid job id" in str(error) else None
        pairs = (line.strip().partition("|") for line in lines)
        return {id_: state for id_, _, state in pairs if id_ in ids}

    def cancel(self, ids: Collection[str]) -> None:
        with contextlib.suppress(UsageError):  # some may have ended
            _slurm("scancel", *ids)

    def said(self, id_: str) -> str:
        return last_words(self._folder, id_)


def slurm_queue(resources: Resources, limit: int | None, place: Place, logs: Path) -> SlurmQueue:
    """The queue of one results folder.

    What submitit needs are files: where the results are none, they lie in the folder that one is in, which
    Slurm's machines see as well.
    """
    name = f"studies-{hashlib.sha256(place.address(logs).encode()).hexdigest()[:12]}"
    shown = isinstance(place.location, Path)
    folder = logs / "slurm" if shown else Path("logs/slurm").absolute() / name
    return SlurmQueue(resources, limit, folder, name)


def places(resources: Resources) -> int:
    """How many trials the cluster's machines have room for, were they all free.

    Raises:
        UsageError: for none; or submitit is not installed, or there is no Slurm here.
    """
    _submitit()
    if resources.gpus != int(resources.gpus):
        raise UsageError(f"--gpus {resources.gpus:g}: a job of Slurm has whole GPUs")
    machines = list(_machines())
    wanted = (resources.cpus, (resources.memory or 0) / 2**20, resources.all_gpus)
    room = sum(
        count * min(int(has // need) for has, need in zip(each, wanted) if need)
        for count, *each in machines
    )
    if not room:
        told = (f"{cpus} CPUs, {gpus} GPUs, {mb / 953.67:.1f} GB" for _, cpus, mb, gpus in machines)
        raise UsageError(
            f"no machine of this Slurm cluster has {resources} for a trial; there are: "
            f"{'; '.join(sorted(set(told)))}; ask for less with --threads, --gpus or --memory"
        )
    return room


def _machines() -> Iterator[tuple[int, int, int, int]]:
    """How many machines of a kind Slurm has, and their CPUs, MiB and GPUs."""
    for line in _slurm("sinfo", "--noheader", "--exact", "--format=%D|%c|%m|%G").splitlines():
        count, cpus, memory, extras = line.strip().split("|")
        gpus = [
            int(each.partition("(")[0].rpartition(":")[2])
            for each in extras.split(",")
            if each.startswith("gpu:")
        ]
        yield int(count), int(cpus.rstrip("+")), int(memory.rstrip("+")), sum(gpus)


def _slurm(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    except FileNotFoundError:
        raise UsageError(
            f"there is no Slurm on this machine ({command[0]} is missing): {_ADVICE}"
        ) from None
    except subprocess.TimeoutExpired:
        raise UsageError(
            f"Slurm does not answer ({command[0]} took two minutes): {_ADVICE}"
        ) from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise UsageError(f"Slurm does not answer ({lines[-1]}): {_ADVICE}")
    return done.stdout


def _submitit() -> Any:
    try:
        importlib.import_module("submitit.helpers")
        return importlib.import_module("submitit")
    except ImportError:
        raise UsageError(
            "submitit is not installed: pip install 'keras-vit[slurm]', or choose --executor local"
        ) from None
