"""Several devices on JAX: `keras.distribution`, over data alone or over the model, too.

All is one computation, whose parts XLA puts on the devices: even drop-out is that of one device.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Self

import keras

import keras_vit
from studies.errors import TrialError
from studies.study.trial import Training
from studies.training.devices import Devices, too_few


class JaxDevices(Devices):
    """Data parallel; where a model is split, groups of devices hold a copy of it each.

    Reference:
        https://keras.io/api/distribution
    """

    def __init__(self, training: Training) -> None:
        super().__init__(training.devices)
        self._split = training.model_parallel

    def __enter__(self) -> Self:
        found = keras.distribution.list_devices()
        if len(found) < self.count:
            raise TrialError(too_few(self.count, len(found)))
        # Not for the making of models alone: `fit` asks for it again, and so would `predict`.
        keras.distribution.set_distribution(over(found[: self.count], self._split))
        return self

    def leave(self, error: BaseException | None) -> None:
        keras.distribution.set_distribution(None)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        over = keras.distribution.distribution()
        keras.distribution.set_distribution(None)
        try:
            yield
        finally:
            keras.distribution.set_distribution(over)


def over(devices: Sequence[str], split: int) -> keras.distribution.Distribution:
    """How data and weights lie on devices.

    Args:
        devices: their names; those of a copy of the model, and of a process, stand together.
        split: how many of them hold one copy.
    """
    if split == 1:
        # What `fit` reads is a process's own part already.
        return keras.distribution.DataParallel(devices=list(devices), auto_shard_dataset=False)
    shape = (len(devices) // split, split)
    mesh = keras.distribution.DeviceMesh(shape, ["batch", "model"], list(devices))
    return keras.distribution.ModelParallel(
        layout_map=keras_vit.layout_map(mesh), batch_dim_name="batch", auto_shard_dataset=False
    )
