"""One training of a chain: done once, in the folder of its id, and reused by all that need it.

Where several learning rates are tried, each is a training in a folder of its own inside, until the best
of them on the validation images has become the training's end. They share one compiled step, with the
bits that each would have alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from studies.data import Batches
from studies.data.dataset import Replicate
from studies.records.checkpoints import checkpoint_folder
from studies.study.recipe import Recipe
from studies.study.trial import Training
from studies.training.checkpoint import Checkpoint, CheckpointFolder
from studies.training.devices import Devices
from studies.training.events import Events
from studies.training.loop import Diverged, Progress, assign, copies, rank, train
from studies.training.schedule import state_of
from studies.training.start import first_model
from studies.training.tasks import TASKS, Task

_RATE = "rate-"  # what begins the names of folders of learning rates


@dataclass(frozen=True)
class Trained:
    """A training that has come to its end.

    Attributes:
        task: whose model has the best weights.
        progress: of the learning rate that counted.
        learning_rate: that one.
        rates: validation accuracy by learning rate, where several were tried; None: it diverged.
        seconds: of training and validation, over all learning rates.
    """

    task: Task
    progress: Progress
    learning_rate: float
    rates: dict[str, float | None] = field(default_factory=dict)
    seconds: float = 0.0


def finish(
    training: Training, results: Path, images: Replicate, devices: Devices, events: Events
) -> Trained:
    """Train what is not trained yet, from the last checkpoint on.

    Args:
        training: whose `start` is trained.
        results: the folder of all studies.
        images: of the training.
        devices: that it is trained on.
        events: told of every step.

    Raises:
        TrialError: the loss became NaN or infinite, at every learning rate that was tried.
    """
    return _Training(training, results, images, devices, events).finish()


def batches_of(training: Training, images: Replicate) -> Batches:
    """The batches of a training, whole ones."""
    return Batches(
        images.train,
        images.subset(training.size),
        training.recipe.batch_size,
        training.seed,
        training.recipe,
        training.num_classes,
    )


def task_of(
    training: Training, images: Replicate, before: CheckpointFolder | None, devices: Devices
) -> Task:
    """A training's model with what it optimises, ready for the first step; see `first_model`."""
    with devices.scope():
        model = first_model(training, before)
        kind = TASKS[training.objective]
        task = kind(model, training.recipe, images.validation, training.seed)
    devices.prepare(task.model, training)
    return task


class _Training:
    def __init__(
        self,
        training: Training,
        results: Path,
        images: Replicate,
        devices: Devices,
        events: Events,
    ) -> None:
        self._training, self._images, self._events = training, images, events
        self._devices = devices
        self._folder = CheckpointFolder(checkpoint_folder(results, training))
        start = training.start
        self._before = (
            None if start is None else CheckpointFolder(checkpoint_folder(results, start))
        )

    def finish(self) -> Trained:
        training = self._training
        if training.objective == "none":
            task = self._task(training.recipe, None)
            return Trained(task, Progress(), training.recipe.learning_rate)
        final = self._folder.final()
        if final is not None:
            return self._ended(final)
        rates = training.recipe.learning_rates
        if len(rates) > 1:
            return self._best_of(sorted(rates))
        rate = rates[0] if rates else training.recipe.learning_rate
        task = self._task(self._recipe(rate), self._before)
        return self._train(task, rate, self._folder)

    def _ended(self, final: Checkpoint) -> Trained:
        """What the last checkpoint says; the model is made without the weights that it began with."""
        self._remove_rates()  # a kill may have come between the end and their removal
        recipe = self._training.recipe
        task = self._task(recipe, None)
        assign(task.model.weights, final.arrays["best"], self._folder)
        progress = Progress(**final.meta["progress"])
        alone = {
            "learning_rate": (*recipe.learning_rates, recipe.learning_rate)[0],
            "seconds": progress.seconds,
        }
        return Trained(task, progress, **{**alone, **final.meta.get("grid", {})})

    def _best_of(self, rates: list[float]) -> Trained:
        entries: dict[float, dict[str, Any] | None] = {}
        best, seconds, reason = None, 0.0, ""
        folders = {
            rate: CheckpointFolder(self._folder.folder / f"{_RATE}{rate!r}") for rate in rates
        }
        task = self._task(self._recipe(rates[0]), self._before)
        first = _FirstState(task)
        for rate, folder in folders.items():
            first.bring_back(rate)
            try:
                end = self._train(task, rate, folder)
            except Diverged as error:  # a lower rate may do
                folder.save_final({"diverged": str(error)}, {})
                entries[rate], reason = None, str(error)
                continue
            entries[rate] = end.progress.best
            seconds += end.seconds
            best = end if best_rate(entries) == rate else best
        if best is None:
            raise Diverged(reason)
        told = {repr(rate): entry and entry["val_top1"] for rate, entry in entries.items()}
        grid: dict[str, Any] = {
            "learning_rate": best.learning_rate,
            "rates": told,
            "seconds": seconds,
        }
        final = folders[best.learning_rate].final()
        assert final is not None
        assign(task.model.weights, final.arrays["best"], self._folder)
        self._folder.save_final({**final.meta, "grid": grid}, final.arrays)
        self._remove_rates()
        return replace(best, **grid)

    def _remove_rates(self) -> None:
        for folder in self._folder.folder.glob(f"{_RATE}*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _train(self, task: Task, rate: float, folder: CheckpointFolder) -> Trained:
        training, recipe = self._training, self._recipe(rate)
        started, report = self._events.part(training, rate)
        final = folder.final()
        if final is not None and "diverged" in final.meta:
            raise Diverged(final.meta["diverged"])
        batches = batches_of(training, self._images)
        progress = train(
            task, recipe, batches, folder, training.seed, self._devices, started, report
        )
        return Trained(task, progress, rate, seconds=progress.seconds)

    def _recipe(self, rate: float) -> Recipe:
        return self._training.recipe.model_copy(update={"learning_rate": rate})

    def _task(self, recipe: Recipe, before: CheckpointFolder | None) -> Task:
        training = self._training.model_copy(update={"recipe": recipe})
        return task_of(training, self._images, before, self._devices)


class _FirstState:
    """A task as it was made, to which it comes back for each learning rate: it compiles but once.

    Args:
        task: of a recipe with several learning rates, freshly made.
    """

    def __init__(self, task: Task) -> None:
        self._schedule = task.schedule
        self._variables = [*task.model.variables, *state_of(task.model.optimizer)]
        self._values = copies(self._variables)

    def bring_back(self, rate: float) -> None:
        for variable, value in zip(self._variables, self._values, strict=True):
            variable.assign(value)
        self._schedule.set_peak(rate)


def best_rate(entries: Mapping[float, Mapping[str, Any] | None]) -> float | None:
    """The learning rate with the best validation accuracy; of equals the lower loss, then the lower rate.

    Args:
        entries: the best validation of each learning rate; None where it diverged.
    """
    known = {rate: entry for rate, entry in entries.items() if entry is not None}
    return max(known, key=lambda rate: (*rank(known[rate]), -rate), default=None)
