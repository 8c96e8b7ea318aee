"""One training on several devices of a machine: each computes its part of every batch.

The batches are those of one device, in the same order; the loss and the gradient are the means over all
parts. Drop-out differs, as each part has its own random numbers, which follow from the seed all the same.

    jax          Keras' own distribution, which can split a model's weights, too; one process, or several
    tensorflow   one process; a mirrored copy of the model a device
    torch        a process a device; they average their gradients

The trial's own process decides, validates, evaluates and writes; others compute alone, and keep nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from studies.study.trial import Training

if TYPE_CHECKING:
    from studies.training.feed import BatchSource


class Devices:
    """What a training asks of its devices; this is one device, where all is as Keras has it.

    Within a `with` block the devices are there; models that were trained on them are used in it, too.

    Args:
        count: how many there are.
    """

    def __init__(self, count: int = 1) -> None:
        self.count = count

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.leave(error)

    def leave(self, error: BaseException | None) -> None:
        """Give the devices up, at the end of the block or after an error in it."""

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Within it models are made and compiled."""
        return contextlib.nullcontext()

    def alone(self) -> contextlib.AbstractContextManager[Any]:
        """Within it a trained model is evaluated, on any number of images, and others are made of it."""
        return contextlib.nullcontext()

    def prepare(self, model: Any, training: Training) -> None:
        """Make a compiled model ready for `fit`.

        Args:
            model: of Keras, made in the scope.
            training: what it is trained for, with the learning rate that holds.
        """

    def part(self, batches: BatchSource) -> BatchSource:
        """What this process reads of the batches."""
        return batches

    def callbacks(self, seed: int, epoch: int, start: int, end: int) -> list[Any]:
        """What one call of `fit` needs besides, after all that sets random numbers.

        Args:
            seed: of the training.
            epoch: its number, counted from 1.
            start, end: its global steps.
        """
        return []

    def copies(self, variable: Any) -> list[Any]:
        """The variables that one stands for; those of metrics and random generators differ."""
        return [variable]


ONE_DEVICE = Devices()


@dataclass(frozen=True)
class Follower:
    """What makes a process one of those that the first one started.

    Attributes:
        rank: its number, counted from the first's 0.
        meeting: the folder where they find each other.
        told: what the first process tells it.
    """

    rank: int
    meeting: Path
    told: Iterator[dict[str, Any]]


class Left(Exception):
    """The first process has left a call of `fit` before its end."""


def devices_of(training: Training, follower: Follower | None = None) -> Devices:
    """The devices of a training, on its backend, which is loaded here at the latest.

    Args:
        training: says how many, in how many processes.
        follower: what this process is told; None: it is the trial's own.

    Raises:
        TrialError: on entering, where there are fewer.
    """
    if training.devices == 1:
        return ONE_DEVICE
    if training.backend == "jax" and training.device_processes > 1:
        from studies.training.devices.jax_processes import JaxProcesses

        return JaxProcesses(training, follower)
    if training.backend == "jax":
        from studies.training.devices.jax import JaxDevices

        return JaxDevices(training)
    if training.backend == "tensorflow":
        from studies.training.devices.tensorflow import MirroredDevices

        return MirroredDevices(training.devices)
    from studies.training.devices.torch import TorchDevices

    return TorchDevices(training, follower)


def too_few(wanted: int, found: int) -> str:
    """The sentence on devices that are not there."""
    return (
        f"The trial is for {wanted} devices, and this process sees {found}: ask for fewer with "
        f"--devices, or run it where there are as many."
    )
