"""Several devices on PyTorch: a process each, which compute a part of every batch and average gradients.

The trial's own process is the first. It starts the others (`studies.training.replica`), and before each
`fit` tells them what is to be done, one line on their standard input, and gives them all variables. They
keep nothing, so that they may be ended at any moment; they end with it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import keras
import numpy as np
import torch
from torch import distributed

from studies.errors import TrialError
from studies.machine.devices import visible_gpus
from studies.machine.temporary import TemporaryFolder
from studies.study.trial import Training
from studies.training.devices import Devices, too_few
from studies.training.feed import BatchSource
from studies.training.seeds import reseed

_LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"
_PATIENCE_SECONDS = 5.0  # in which a process that has taken others with it is known to be gone
_STEP = 2**31 + 1  # no epoch has this number


class TorchDevices(Devices):
    """A process a device; gloo carries what they exchange between processors, NCCL between GPUs.

    Args:
        training: says how many.
        rank: which of them this process is.
        meeting: the folder where they find each other; the first process makes it.

    Reference:
        https://pytorch.org/docs/stable/distributed.html
    """

    def __init__(self, training: Training, rank: int = 0, meeting: Path | None = None) -> None:
        super().__init__(training.devices)
        self._rank = rank
        self._meeting = meeting
        self._folder: TemporaryFolder | None = None
        self._others: list[subprocess.Popen[bytes]] = []
        self._training = training

    def __enter__(self) -> Self:
        if torch.cuda.is_available() and self._rank == 0:
            found = torch.cuda.device_count()
            if found < self.count:
                raise TrialError(too_few(self.count, found))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        lost = self._lost() if isinstance(error, (RuntimeError, OSError)) else None
        for process in self._others:
            process.kill()
            process.wait()
        if distributed.is_initialized():
            distributed.destroy_process_group()
        if self._folder is not None:
            self._folder.close()
        if lost:
            raise TrialError(lost) from error

    def prepare(self, model: keras.Model, training: Training) -> None:
        self._training = training
        apply, step = model.optimizer.apply, model.train_step

        def apply_mean(grads: Any, trainable_variables: Any = None) -> None:
            self._add_up([grad for grad in grads if grad is not None], 1 / self.count)
            apply(grads, trainable_variables)

        def step_of_all(data: Any) -> Any:
            # Metrics are sums over images; here they become those of the whole batch.
            sums = [variable.value for variable in model.metrics_variables]
            with torch.no_grad():
                before = [each.clone() for each in sums]
                for each in sums:
                    each.zero_()
            step(data)
            with torch.no_grad():
                self._add_up(sums)
                for each, earlier in zip(sums, before, strict=True):
                    each += earlier
            return model.get_metrics_result()

        model.optimizer.apply = apply_mean
        model.train_step = step_of_all

    def part(self, batches: BatchSource) -> BatchSource:
        return _Part(batches, self._rank, self.count)

    def callbacks(self, seed: int, epoch: int, start: int, end: int) -> list[Any]:
        if self._rank == 0:
            self._tell({"seed": seed, "epoch": epoch, "start": start, "end": end})
        return [_Together(seed, start, self._rank)]

    def meet(self) -> None:
        """Wait until the processes of all devices are there."""
        assert self._meeting is not None
        (self._meeting / str(self._rank)).touch()
        for library in ("GLOO", "NCCL"):  # all of them are on this machine
            os.environ.setdefault(f"{library}_SOCKET_IFNAME", _LOOPBACK)
        distributed.init_process_group(
            "nccl" if torch.cuda.is_available() else "gloo",
            init_method=(self._meeting / "meeting").as_uri(),
            rank=self._rank,
            world_size=self.count,
        )

    def _tell(self, order: dict[str, Any]) -> None:
        """Let the other processes do what this one does next."""
        if not self._others:
            self._folder = TemporaryFolder("devices")
            self._meeting = self._folder.path
            self._others = [self._start(rank) for rank in range(1, self.count)]
            self._wait_for_others()
            self.meet()
        line = json.dumps({**order, "training": _description(self._training)})
        for process in self._others:
            assert process.stdin is not None
            process.stdin.write(line.encode() + b"\n")
            process.stdin.flush()

    def _start(self, rank: int) -> subprocess.Popen[bytes]:
        gpus = visible_gpus()
        own = {"CUDA_VISIBLE_DEVICES": gpus[rank]} if torch.cuda.is_available() else {}
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "studies.training.replica"),
                *(str(rank), str(self._meeting)),
                json.dumps(_description(self._training)),
            ],
            stdin=subprocess.PIPE,
            stdout=2,  # the first one's says other things
            env={**os.environ, **own},
        )

    def _wait_for_others(self) -> None:
        """Until all are about to meet; who waits in the meeting itself would not see one that died."""
        assert self._meeting is not None
        while not all((self._meeting / str(rank)).exists() for rank in range(1, self.count)):
            if any(process.poll() is not None for process in self._others):
                raise TrialError(self._lost() or "")
            time.sleep(0.05)

    def _lost(self) -> str | None:
        """The sentence on a process that ended by itself, if one did."""
        for index, process in enumerate(self._others, start=1):
            try:
                code = process.wait(_PATIENCE_SECONDS / self.count)
            except subprocess.TimeoutExpired:
                continue
            how = f"ended with exit code {code}; the trial's log says why"
            if code < 0:
                memory = " (often because the machine ran out of memory)"
                how = f"was killed by {signal.Signals(-code).name}{memory if code == -9 else ''}"
            return f"The process of device {index + 1} of {self.count} {how}."
        return None

    def _add_up(self, tensors: list[torch.Tensor], factor: float = 1.0) -> None:
        """Replace tensors by their sums over all devices, times a factor."""
        if not tensors:
            return
        with torch.no_grad():
            flat = torch.cat([tensor.reshape(-1).float() for tensor in tensors])
            distributed.all_reduce(flat)
            flat *= factor
            parts = flat.split([tensor.numel() for tensor in tensors])
            for tensor, part in zip(tensors, parts, strict=True):
                tensor.copy_(part.reshape(tensor.shape))


def _description(training: Training) -> dict[str, Any]:
    """What another process needs to make the same model; of a trial, the training alone."""
    return training.model_dump(mode="json", include=set(Training.model_fields))


class _Part:
    """The rows of each batch that one device computes.

    Args:
        batches: whole ones.
        rank: which device.
        count: how many there are; each has as many rows.
    """

    def __init__(self, batches: BatchSource, rank: int, count: int) -> None:
        self._batches, self._rank, self._count = batches, rank, count

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        images, labels = self._batches.batch(step)
        size = len(images) // self._count
        own = slice(self._rank * size, (self._rank + 1) * size)
        return images[own], labels[own]


class _Together(keras.callbacks.Callback):
    """Begins with the first process's variables; each step has random numbers of its own.

    What goes on between two steps would have to be kept for every process otherwise.
    """

    def __init__(self, seed: int, start: int, rank: int) -> None:
        super().__init__()
        self._seed, self._start, self._rank = seed, start, rank

    def on_train_begin(self, logs: dict | None = None) -> None:
        for variable in _state(self.model):
            distributed.broadcast(variable.value.data, src=0)

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        reseed(self.model, self._seed, _STEP, self._start + batch, self._rank)


def _state(model: keras.Model) -> Iterator[Any]:
    """What decides the next steps, but for random numbers."""
    for variable in [*model.variables, *model.optimizer.variables]:
        if not variable.path.endswith("seed_generator_state"):
            yield variable
