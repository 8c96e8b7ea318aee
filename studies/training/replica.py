"""A further process of a training: it computes its part of each step, and keeps nothing.

    python -m studies.training.replica RANK FOLDER TRAINING

The first process starts it (`studies.training.devices.others`). TRAINING, as JSON, says on how many devices
they train, FOLDER is where they meet. Each line on standard input is a call of `fit`, or a step of it where
the backend needs to know, or the end; the first process's own end is this one's.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from studies.machine.devices import make_deterministic, make_devices
from studies.machine.processes import leave_out_others, orders
from studies.study.trial import Training


def main() -> None:
    """Follow the first process until it ends."""
    rank, meeting = int(sys.argv[1]), Path(sys.argv[2])
    training = Training.model_validate_json(sys.argv[3])
    # A scheduler tells all processes of a job; what is to be done then is the first one's business.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    told = orders()
    make_deterministic(training.backend)
    make_devices(training.backend, training.devices // training.device_processes)
    from studies.training.devices import Follower, devices_of

    with devices_of(training, Follower(rank, meeting, told)) as devices:
        work = _Work(devices)
        for order in told:
            if "over" in order:
                break
            if "training" in order:
                work.follow(order)


class _Work:
    """The model of the training that is under way."""

    def __init__(self, devices: Any) -> None:
        self._devices = devices
        self._training: Training | None = None

    def follow(self, order: dict[str, Any]) -> None:
        from studies.training.devices import Left
        from studies.training.feed import feed

        training = Training.model_validate(order.pop("training"))
        if training != self._training:
            self._begin(training)
        start, end, epoch = order["start"], order["end"], order["epoch"]
        data, _ = feed(self._devices.part(self._batches), start, end)
        try:
            self._model.fit(
                data,
                initial_epoch=epoch - 1,
                epochs=epoch,
                shuffle=False,
                verbose=0,
                callbacks=self._devices.callbacks(**order),
            )
        except Left:
            self._training = None  # the model is in the middle of something

    def _begin(self, training: Training) -> None:
        from studies.training.chain import batches_of, task_of
        from studies.training.images import images_of

        images = images_of(training)
        self._training = training
        self._batches = batches_of(training, images)
        self._model = task_of(training, images, None, self._devices).model


if __name__ == "__main__":
    leave_out_others(os.environ.get("KERAS_BACKEND"))
    main()
