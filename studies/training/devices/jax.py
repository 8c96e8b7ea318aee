"""Several devices on JAX: `keras.distribution`, over data alone or over the model, too.

All is one computation, whose parts XLA puts on the devices: even drop-out is that of one device.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import TracebackType
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
        chosen, distribution = found[: self.count], keras.distribution
        if self._split == 1:
            over: keras.distribution.Distribution = distribution.DataParallel(devices=chosen)
        else:
            shape = (self.count // self._split, self._split)
            mesh = distribution.DeviceMesh(shape, ["batch", "model"], chosen)
            over = distribution.ModelParallel(
                layout_map=keras_vit.layout_map(mesh), batch_dim_name="batch"
            )
        # Not for the making of models alone: `fit` asks for it again, and so would `predict`.
        keras.distribution.set_distribution(over)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        keras.distribution.set_distribution(None)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        over = keras.distribution.distribution()
        keras.distribution.set_distribution(None)
        try:
            yield
        finally:
            keras.distribution.set_distribution(over)
