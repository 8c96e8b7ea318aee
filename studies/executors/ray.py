"""Trials as tasks of a Ray cluster: one that is there, or one of this machine that ends with the driver.

Ray moves orders and runs them again where a worker or a machine died; the trial itself is a fresh
process below the worker's. How the machines of a cluster prove to each other who they are is Ray's
business (RAY_AUTH_MODE and what belongs to it), and is left as it is found.

Reference: https://docs.ray.io
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import socket
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from studies.errors import UsageError
from studies.executors import OnEvent
from studies.executors.process import GRACE_SECONDS
from studies.executors.remote import ATTEMPTS, MOST, End, Order, run_on
from studies.executors.resources import Resources, amount
from studies.machine.threads import cores
from studies.records.place import Place
from studies.study.trial import Trial

CONNECT_SECONDS = 10.0


class RayExecutor:
    """Run trials on a Ray cluster; `joined` makes one.

    Args:
        address: HOST:PORT of the cluster, for messages; None for one of this machine.
        resources: what every trial gets.
        workers: trials at a time; by default as many as there is room for.
        command: what runs one trial, by default `python -m studies.training.trial`.

    Raises:
        UsageError: no machine of the cluster has what a trial needs.
    """

    def __init__(
        self,
        address: str | None,
        resources: Resources,
        workers: int | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        self.resources = resources
        self.threads = resources.threads
        self.command = command
        machines = [node["Resources"] for node in _ray().nodes() if node["Alive"]]
        self.workers = workers or sum(_places(machine, resources) for machine in machines)
        if not any(_places(machine, resources) for machine in machines):
            where = f"the Ray cluster at {address}" if address else "this machine"
            raise UsageError(
                f"no machine of {where} has {resources} for a trial; there are: "
                f"{'; '.join(sorted({_told(machine) for machine in machines}))}; ask for less with "
                f"--threads, --gpus or --memory, or add such a machine"
            )

    def run(self, trials: Sequence[Trial], place: Place, logs: Path, on_event: OnEvent) -> None:
        """Run all trials; see `studies.executors.Executor.run`."""
        gpus, command = self.resources.gpus, self.command

        def order(trial: Trial, log: str, events: str) -> Order:
            text = trial.model_dump_json()
            return Order(text, place.location, log, events, self.threads, gpus, command)

        run_on(_Tasks(self.resources, self.workers), order, trials, place, logs, on_event)


@contextlib.contextmanager
def joined(
    address: str | None,
    resources: Resources,
    workers: int | None = None,
    command: Sequence[str] | None = None,
) -> Iterator[RayExecutor]:
    """Join a cluster, or start one that is this process's child, and leave it at the end.

    Raises:
        UsageError: Ray is not installed, there is no such cluster, or it has too little for a trial.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray = _ray()
    quiet = {"logging_level": "ERROR", "log_to_driver": False}
    try:
        if address is None:
            # Orders are small, so the store of objects may be as small as Ray allows.
            own = {"num_cpus": len(cores()), "object_store_memory": 80 * 2**20}
            ray.init(address="local", include_dashboard=False, **own, **quiet)
        else:
            _reach(address)
            ray.init(address=address, **quiet)
    except UsageError:
        raise
    except Exception as error:  # of Ray there are many kinds
        what = f"join the Ray cluster at {address}" if address else "start Ray on this machine"
        raise UsageError(f"cannot {what} ({_first_line(error)}): {_advice(error)}") from error
    try:
        yield RayExecutor(address, resources, workers, command)
    finally:
        ray.shutdown()


class _Tasks:
    """Orders as Ray's tasks, by their references."""

    def __init__(self, resources: Resources, workers: int) -> None:
        self._ray = _ray()
        self._workers = workers
        # A worker is used again, but what it starts for each order is a process of its own.
        self._task = self._ray.remote(_carry_out)
        self._options = {
            "num_cpus": resources.cpus,
            "num_gpus": resources.all_gpus,
            "memory": resources.memory,
            "max_retries": ATTEMPTS - 1,
        }

    def room(self, orders: int) -> int:
        return min(self._workers, MOST) - orders

    def submit(self, orders: Sequence[Order], names: Sequence[str]) -> list[Any]:
        pairs = zip(orders, names, strict=True)
        return [self._task.options(name=n, **self._options).remote(order) for order, n in pairs]

    def ended(self, handles: Collection[Any], seconds: float) -> Mapping[Any, End]:
        tasks = list(handles)
        if not tasks:
            time.sleep(seconds)
            return {}
        done, _ = self._ray.wait(tasks, num_returns=len(tasks), timeout=seconds, fetch_local=False)
        return {task: self._end(task) for task in done}

    def cancel(self, handles: Collection[Any]) -> None:
        tasks = list(handles)
        for force, seconds in ((False, 2 * GRACE_SECONDS), (True, GRACE_SECONDS)):
            for task in tasks:
                self._ray.cancel(task, force=force)
            if tasks:
                _, tasks = self._ray.wait(tasks, num_returns=len(tasks), timeout=seconds)

    def _end(self, task: Any) -> End:
        try:
            self._ray.get(task)
        except self._ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None)  # what went wrong in the task itself
            return End(_first_line(cause) if cause else f"Ray lost it ({_first_line(error)})")
        return End()


def _carry_out(order: Order) -> None:
    """What a worker of Ray does."""
    work = order.start()
    try:
        work.finish()
    finally:  # cancelled: by KeyboardInterrupt
        work.stop()


def _ray() -> Any:
    try:
        return importlib.import_module("ray")
    except ImportError:
        raise UsageError(
            "Ray is not installed: pip install 'keras-vit[ray]', or choose --executor local"
        ) from None


def _reach(address: str) -> None:
    """Raise UsageError where nobody listens; Ray itself would try for long, and say much."""
    if address == "auto":
        return
    host, separator, port = address.rpartition(":")
    if not separator or not re.fullmatch("[0-9]{1,5}", port) or "/" in address:
        raise UsageError(f"--address {address} is no Ray cluster's: give HOST:PORT, or auto")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"no Ray cluster answers at {address} ({error}): start one with 'ray start --head', or "
            f"leave --address out for one of this machine"
        ) from error


def _places(machine: Mapping[str, float], resources: Resources) -> int:
    """How many trials a machine has room for at a time."""
    needs = {
        "CPU": resources.cpus,
        "GPU": resources.all_gpus,
        "memory": resources.memory or 0,
    }
    return int(min(machine.get(name, 0.0) // need for name, need in needs.items() if need))


def _told(machine: Mapping[str, float]) -> str:
    parts = [amount(machine.get("CPU", 0), "CPU"), amount(machine.get("GPU", 0), "GPU")]
    return ", ".join([*parts, f"{machine.get('memory', 0) / 1e9:.1f} GB"])


def _advice(error: BaseException | None) -> str:
    while error is not None:
        if "Authentication" in f"{type(error).__name__} {error}":  # which Ray quotes, with a trace
            return "give the cluster's token by RAY_AUTH_MODE=token and RAY_AUTH_TOKEN"
        error = error.__cause__ or error.__context__
    return "'ray status' on a machine of a cluster says whether it runs"


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].strip().rstrip(".") if lines else type(error).__name__
