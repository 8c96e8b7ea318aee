"""Several devices on PyTorch: a process each, which compute a part of every batch and average gradients.

The first process tells the others of each `fit`, and gives them all variables (see `others`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import keras
import torch
from torch import distributed

from studies.errors import TrialError
from studies.machine.devices import visible_gpus
from studies.study.trial import Training
from studies.training.devices import Devices, Follower, too_few
from studies.training.devices.others import Others, PartOfBatches, arrive, description
from studies.training.feed import BatchSource
from studies.training.seeds import reseed

_LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"
_STEP = 2**31 + 1  # no epoch has this number


class TorchDevices(Devices):
    """A process a device; gloo carries what they exchange between processors, NCCL between GPUs.

    Args:
        training: says how many.
        follower: what this process is told by the first one; None: it is the first.

    Reference:
        https://pytorch.org/docs/stable/distributed.html
    """

    def __init__(self, training: Training, follower: Follower | None = None) -> None:
        super().__init__(training.devices)
        self._follower = follower
        self._rank = follower.rank if follower else 0
        self._others: Others | None = None
        self._training = training

    def __enter__(self) -> Self:
        if self._follower is not None:
            self._meet(self._follower.meeting)
        elif torch.cuda.is_available():
            found = torch.cuda.device_count()
            if found < self.count:
                raise TrialError(too_few(self.count, found))
        return self

    def leave(self, error: BaseException | None) -> None:
        lost = None
        if self._others is not None:
            if isinstance(error, (RuntimeError, OSError)):
                lost = self._others.lost()
            self._others.end()
        if distributed.is_initialized():
            distributed.destroy_process_group()
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
        return PartOfBatches(batches, self._rank, self.count)

    def callbacks(self, seed: int, epoch: int, start: int, end: int) -> list[Any]:
        if self._rank == 0:
            if self._others is None:
                self._others = Others(self._training, self.count, _own_gpu)
                self._meet(self._others.meeting)
            order = {"seed": seed, "epoch": epoch, "start": start, "end": end}
            self._others.tell({**order, "training": description(self._training)})
        return [_Together(seed, start, self._rank)]

    def _meet(self, meeting: Path) -> None:
        """Wait until the processes of all devices are there."""
        arrive(meeting, self._rank)
        for library in ("GLOO", "NCCL"):  # all of them are on this machine
            os.environ.setdefault(f"{library}_SOCKET_IFNAME", _LOOPBACK)
        distributed.init_process_group(
            "nccl" if torch.cuda.is_available() else "gloo",
            init_method=(meeting / "meeting").as_uri(),
            rank=self._rank,
            world_size=self.count,
        )

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


def _own_gpu(rank: int) -> Mapping[str, str]:
    """The one GPU that a process sees."""
    return {"CUDA_VISIBLE_DEVICES": visible_gpus()[rank]} if torch.cuda.is_available() else {}


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
