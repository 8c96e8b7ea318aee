"""Leaving a call of `fit` after any step, and taking it up again there with the same bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from studies.training.devices import Devices

Kept = dict[str, list[np.ndarray]]


class Steps(keras.callbacks.Callback):
    """Counts the steps of a `fit`, which may be left before its end.

    Args:
        stop: whether it is to be left.
    """

    def __init__(self, stop: Callable[[], bool]) -> None:
        super().__init__()
        self.stop = stop
        self.taken = 0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        if self.stop():  # Keras forgets it when it begins
            leave(self.model)

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        self.taken = batch + 1


def leave(model: keras.Model) -> None:
    """End a model's `fit` after the step under way."""
    model.stop_training = True


def keep(model: keras.Model, devices: Devices) -> Kept:
    """What goes on within a `fit` and is no variable of the model or its optimizer."""
    metrics = [np.array(keras.ops.convert_to_numpy(v)) for v in _metrics(model, devices)]
    return {"metrics": metrics, "random": _torch_states()}


def _metrics(model: keras.Model, devices: Devices) -> list[Any]:
    return [copy for v in model.metrics_variables for copy in devices.copies(v)]


class TakeUp(keras.callbacks.Callback):
    """Lets a `fit` go on where another was left.

    Args:
        kept: from `keep`; the model and its optimizer have their variables back already.
        batch: any batch, images and labels.
        devices: that it is trained on.
    """

    def __init__(self, kept: Kept, batch: tuple[np.ndarray, np.ndarray], devices: Devices) -> None:
        super().__init__()
        self.kept = kept
        self.batch = batch
        self.devices = devices

    def on_train_begin(self, logs: dict | None = None) -> None:
        # TensorFlow would make the metrics' variables at the first step. Keras has no public way.
        with self.devices.scope():
            self.model._symbolic_build(data_batch=self.batch)

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        if batch:
            return
        # Not before: torch's loader takes a number from the global generator when it begins.
        variables = _metrics(self.model, self.devices)
        for variable, value in zip(variables, self.kept["metrics"], strict=True):
            variable.assign(value)
        _set_torch_states(self.kept["random"])


def _torch_states() -> list[Any]:
    """States of torch's global generators, of the processor and each GPU; none on other backends."""
    if keras.backend.backend() != "torch":
        return []
    import torch

    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return [state.numpy() for state in (torch.get_rng_state(), *gpus)]


def _set_torch_states(states: list[Any]) -> None:
    if not states:
        return
    import torch

    first, *gpus = (torch.from_numpy(state) for state in states)
    torch.set_rng_state(first)
    if gpus and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(gpus)
