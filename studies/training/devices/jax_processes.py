"""Devices of several processes on JAX: `keras.distribution` over all of them while `fit` runs.

Between two calls of `fit` each process has its model on its own devices, as if there were no others, so
that the first one can validate, write and take up checkpoints alone. For a `fit` all get the first one's
variables and lay them out over all devices; then each computes the same steps on its part of each batch.
The first process tells the others of each step, so that all leave a `fit` after the same one.
"""

from __future__ import annotations

import atexit
import os
import socket
import sys
from typing import Any, Self

import jax
import keras
import numpy as np
from jax.experimental import multihost_utils

from studies.errors import TrialError
from studies.study.trial import Training
from studies.training.devices import Follower, Left, too_few
from studies.training.devices.jax import JaxDevices, over
from studies.training.devices.others import Others, PartOfBatches, arrive, description
from studies.training.feed import BatchSource

_ADDRESS = "JAX_COORDINATOR_ADDRESS"  # JAX' own name
_SECONDS = 30  # in which all processes have to agree that they end


class JaxProcesses(JaxDevices):
    """As many devices in each of several processes, on one machine.

    Args:
        training: says how many there are of both.
        follower: what this process is told by the first one; None: it is the first.

    Attributes:
        group: the processes.
        own, everywhere: how a model lies on the devices of this process, and on those of all.
        compiled_for_all: whether the model's step is that of all devices.

    Reference:
        https://docs.jax.dev/en/latest/multi_process.html
    """

    def __init__(self, training: Training, follower: Follower | None = None) -> None:
        super().__init__(training)
        self._processes = training.device_processes
        self._rank = follower.rank if follower else 0
        self._follower = follower
        self._training = training

    def __enter__(self) -> Self:
        self.group = _Group.joined(self._training, self._follower)
        own, everywhere = _names(jax.local_devices()), _names(jax.devices())
        if len(everywhere) != self.count:
            raise TrialError(too_few(self.count, len(everywhere)))
        self.own = over(own, self._split)
        self.everywhere = over(everywhere, self._split)
        keras.distribution.set_distribution(self.own)
        return self

    def leave(self, error: BaseException | None) -> None:
        super().leave(error)
        lost = self.group.left(error)
        if lost:
            raise TrialError(lost) from error

    def prepare(self, model: keras.Model, training: Training) -> None:
        self._training = training
        self.compiled_for_all = False

    def part(self, batches: BatchSource) -> BatchSource:
        return PartOfBatches(batches, self._rank, self._processes)

    def callbacks(self, seed: int, epoch: int, start: int, end: int) -> list[Any]:
        order = {"seed": seed, "epoch": epoch, "start": start, "end": end}
        self.group.begin({**order, "training": description(self._training)})
        return [_Together(self)]


class _Group:
    """The processes that train together, seen from one of them.

    It lasts as long as this process, which JAX lets join one group, before its first computation.
    """

    _of_this_process: _Group | None = None

    def __init__(self, training: Training, follower: Follower | None) -> None:
        self._follower = follower
        self._others: Others | None = None
        self._fitting = False
        processes = training.device_processes
        own = training.devices // processes
        if follower is None:
            address = _free_address()
            self._others = Others(training, processes, lambda rank: {_ADDRESS: address})
            rank = 0
        else:
            address, rank = os.environ[_ADDRESS], follower.rank
            arrive(follower.meeting, rank)
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.config.update("jax_enable_preemption_service", False)  # SIGTERM is the training's
        jax.distributed.initialize(
            address,
            processes,
            rank,
            local_device_ids=range(rank * own, (rank + 1) * own),
            coordinator_bind_address=address,
            shutdown_timeout_seconds=_SECONDS,
        )
        atexit.register(self._end)

    @classmethod
    def joined(cls, training: Training, follower: Follower | None) -> _Group:
        if cls._of_this_process is None:
            cls._of_this_process = cls(training, follower)
        return cls._of_this_process

    def begin(self, order: dict[str, Any]) -> None:
        """A call of `fit` begins."""
        self._fitting = True
        if self._others is not None:
            self._others.tell(order)

    def step(self) -> None:
        """All take a step.

        Raises:
            Left: the first process does not.
        """
        if self._others is not None:
            self._others.tell({"step": True})
        elif self._follower is not None and not next(self._follower.told).get("step"):
            raise Left

    def end_of_fit(self) -> None:
        self._fitting = False
        if self._others is not None:
            self._others.tell({"step": False})

    def left(self, error: BaseException | None) -> str | None:
        """After a training: the sentence on a process that was lost, if that was its end."""
        if self._others is None or not self._fitting:
            return None
        lost = self._others.lost() if isinstance(error, (RuntimeError, OSError)) else None
        self._others.end()  # they wait for what will not come
        return lost

    def _end(self) -> None:
        """When this process ends."""
        if self._fitting:  # it failed, and JAX would wait for those that are lost, and then abort
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1)
        if self._others is not None:
            self._others.tell({"over": True})
        jax.distributed.shutdown()
        if self._others is not None:
            self._others.end()


class _Together(keras.callbacks.Callback):
    """Lays a model out over all devices for one call of `fit`, and then over this process's own again."""

    def __init__(self, devices: JaxProcesses) -> None:
        super().__init__()
        self._devices = devices
        self._layouts: list[Any] = []

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        keras.distribution.set_distribution(
            self._devices.everywhere
        )  # what is read from here on is a part

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        try:
            self._devices.group.step()
        except Left:  # which nothing of this call survives
            keras.distribution.set_distribution(self._devices.own)
            raise
        if not self._layouts:  # after all that others set at the beginning
            self._spread()

    def on_train_end(self, logs: dict | None = None) -> None:
        for variable, layout in zip(_state(self.model), self._layouts, strict=True):
            value = _whole(variable.value)
            variable._layout = layout
            variable.assign(value)
        keras.distribution.set_distribution(self._devices.own)
        self._devices.group.end_of_fit()

    def _spread(self) -> None:
        variables = _state(self.model)
        self._layouts = [variable._layout for variable in variables]
        values = [keras.ops.convert_to_numpy(variable) for variable in variables]
        values = multihost_utils.broadcast_one_to_all(values)
        mesh = self._devices.everywhere.device_mesh
        for variable, layout, value in zip(variables, self._layouts, values, strict=True):
            # Keras has no public way to lay out a variable anew.
            variable._layout = keras.distribution.TensorLayout(layout.axes, mesh)
            variable._value = _laid_out(value, variable._layout.backend_layout)
        if not self._devices.compiled_for_all:
            self.model.make_train_function(force=True)  # its results lie as its arguments do
            self._devices.compiled_for_all = True


def _state(model: keras.Model) -> list[Any]:
    """All that a step changes."""
    found = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    return list({id(variable): variable for variable in found}.values())


def _laid_out(value: np.ndarray, sharding: jax.sharding.Sharding) -> jax.Array:
    return jax.make_array_from_callback(value.shape, sharding, lambda index: value[index])


def _whole(value: jax.Array) -> np.ndarray:
    """An array of which this process has all parts."""
    found = np.empty(value.shape, value.dtype)
    for part in value.addressable_shards:
        found[part.index] = part.data
    return found


def _names(devices: list[jax.Device]) -> list[str]:
    """Keras' names of devices, those of a process side by side."""
    ordered = sorted(devices, key=lambda device: (device.process_index, device.id))
    return [f"{device.platform}:{device.id}" for device in ordered]


def _free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"
