"""The training loop: compiled `fit`, one validation point at a time, resumable with the same bits.

One Keras "epoch" is the stretch between two validation points, and one call of `fit`: stretches may
differ in length by a step, which a single `fit` cannot do. After each of them the model is validated,
and everything that decides the rest of the run goes into a checkpoint. What Keras would carry over
silently (the state of random generators) is instead set anew for each epoch from (seed, epoch).
SIGTERM ends the stretch after the step under way, and a checkpoint holds what it was in the middle of.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from studies.errors import TrialError
from studies.machine.devices import device
from studies.machine.stopping import termination_held_back
from studies.study.recipe import Recipe
from studies.training.checkpoint import Checkpoint, CheckpointFolder, digest
from studies.training.devices import ONE_DEVICE, Devices
from studies.training.feed import BatchSource, feed
from studies.training.interruption import Kept, Steps, TakeUp, keep, leave
from studies.training.recipe import validation_points
from studies.training.schedule import state_of
from studies.training.seeds import Reseed
from studies.training.tasks import Task

Weights = list[np.ndarray]


class Diverged(TrialError):
    """The loss is not finite any more."""


@dataclass
class Progress:
    """How far a training run has come; all of it is in every checkpoint."""

    epoch: int = 0  # validation points passed
    steps: int = 0  # taken; between two points where the training was asked to end
    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    seconds: float = 0.0  # training and validation, over all the processes that took part
    timed_images: int = 0  # images and seconds of `fit`, without each process's first epoch,
    timed_seconds: float = 0.0  # which compiles
    timed_waited: float = 0.0  # seconds of them in which `fit` waited for batches
    first_images: int = 0
    first_seconds: float = 0.0
    first_waited: float = 0.0
    processes: int = 0
    devices: list[str] = field(default_factory=list)  # that it was trained on, in turn

    @property
    def images_per_second(self) -> float:
        """Training speed; compiling counts only where a process never got past its first epoch."""
        if self.timed_images:
            return self.timed_images / self.timed_seconds
        return self.first_images / self.first_seconds if self.first_seconds else 0.0

    @property
    def waiting(self) -> float:
        """Share of the seconds of `fit` in which it waited for batches (see `feed`)."""
        if self.timed_seconds:
            return self.timed_waited / self.timed_seconds
        return self.first_waited / self.first_seconds if self.first_seconds else 0.0

    @property
    def best(self) -> dict[str, Any]:
        """The history's entry with the weights that were kept."""
        return self.history[self.best_epoch - 1]


def train(
    task: Task,
    recipe: Recipe,
    batches: BatchSource,
    folder: CheckpointFolder,
    seed: int,
    devices: Devices = ONE_DEVICE,
    started: Callable[[int], None] = lambda step: None,
    report: Callable[[dict[str, Any], float], None] = lambda entry, images_per_second: None,
) -> Progress:
    """Train a task's model, from its last checkpoint on, and leave the best weights in it.

    Killed at any moment and called again (same model, recipe, data and number of threads), it ends
    with the same weights and history, bit for bit, as one left alone. SIGTERM costs no step: it has
    its effect after the one under way, when a checkpoint is written.

    Args:
        task: its model is freshly made; returns holding the weights with the best validation accuracy
            (ties: the lower validation loss, then the earlier).
        recipe: steps, batch size and validation points.
        batches: `batch(step)` gives float images (B, H, W, C) and integer labels (B,), or the
            probabilities (B, C) that a recipe with mixup or CutMix learns.
        folder: where checkpoints lie.
        seed: decides dropout, stochastic depth and the corruption of patches.
        devices: that the model was made and prepared for.
        started: called once with the step that training goes on from (0 at first).
        report: called after each validation point with the history's entry and the images per second
            of training so far.

    Raises:
        Diverged: the loss became NaN or infinite.
    """
    model = task.model
    final = folder.final()
    if final is not None:
        assign(model.weights, final.arrays["best"], folder)
        started(recipe.steps)
        return Progress(**final.meta["progress"])
    points = validation_points(recipe.steps, recipe.validations)
    with termination_held_back(lambda: leave(model)) as stop:
        progress, best, kept = _resume(model, folder, points)
        progress.processes += 1
        here = device(keras.backend.backend(), devices.count)
        progress.devices = list(dict.fromkeys([*progress.devices, here]))
        first_epoch = progress.epoch + 1
        started(progress.steps)
        for epoch in range(first_epoch, len(points) + 1):
            if stop():
                break
            began = time.perf_counter()
            start, end = progress.steps, points[epoch - 1]
            part = devices.part(batches)
            data, waited = feed(part, start, end)
            steps = Steps(stop)
            begin = TakeUp(kept, part.batch(start), devices) if kept else Reseed(seed)
            others = devices.callbacks(seed, epoch, start, end)
            logs = model.fit(
                data,
                initial_epoch=epoch - 1,
                epochs=epoch,
                shuffle=False,
                verbose=0,
                callbacks=[begin, *others, steps],
            ).history
            progress.steps, kept = start + steps.taken, None
            images, seconds = steps.taken * recipe.batch_size, time.perf_counter() - began
            _time_epoch(progress, images, seconds, waited(), compiled=epoch > first_epoch)
            if progress.steps < end:
                progress.seconds += time.perf_counter() - began
                _save(model, best, progress, folder, keep(model, devices))
                break
            entry = {
                "epoch": epoch,
                "step": end,
                "loss": float(logs["loss"][-1]),
                "top1": float(logs[task.accuracy][-1]),
                **task.validate(),
            }
            _refuse_nan(entry, start, recipe)
            progress.epoch = epoch
            progress.history.append(entry)
            if best is None or rank(entry) > rank(progress.best):
                progress.best_epoch = epoch
                best = copies(model.weights)
            progress.seconds += time.perf_counter() - began
            _save(model, best, progress, folder)
            report(entry, progress.images_per_second)
    assert best is not None  # there is at least one validation point
    meta = {"progress": vars(progress), "last_sha256": digest(copies(model.weights))}
    folder.save_final(meta, {"best": best})
    assign(model.weights, best, folder)
    return progress


def _save(
    model: keras.Model,
    best: Weights | None,
    progress: Progress,
    folder: CheckpointFolder,
    kept: Kept | None = None,
) -> None:
    arrays = {
        "model": copies(model.variables),
        "optimizer": copies(state_of(model.optimizer)),
        "best": best or [],
    }
    # In the middle of an epoch it takes the place of the state at the epoch's begin.
    folder.save_state(progress.epoch, {"progress": vars(progress)}, {**arrays, **(kept or {})})


def _resume(
    model: keras.Model, folder: CheckpointFolder, points: list[int]
) -> tuple[Progress, Weights | None, Kept | None]:
    state: Checkpoint | None = folder.newest_state()
    if state is None:
        return Progress(), None, None
    assign(model.variables, state.arrays["model"], folder)
    assign(state_of(model.optimizer), state.arrays["optimizer"], folder)
    progress = Progress(**state.meta["progress"])
    passed = points[progress.epoch - 1] if progress.epoch else 0
    progress.steps = max(progress.steps, passed)  # older checkpoints do not tell
    kept = (
        {name: state.arrays[name] for name in ("metrics", "random")}
        if progress.steps > passed
        else None
    )
    return progress, state.arrays["best"] or None, kept


def assign(variables: list[Any], values: Weights, folder: CheckpointFolder) -> None:
    """Give variables the values of a checkpoint; raise TrialError where they are others' values."""
    shapes = [tuple(v.shape) for v in variables]
    if shapes != [value.shape for value in values]:
        raise TrialError(
            f"The checkpoint in {folder.folder} does not fit the model: it was written by another "
            "version of the code; remove that folder to train anew."
        )
    for variable, value in zip(variables, values):
        variable.assign(value)


def copies(variables: list[Any]) -> Weights:
    """The values of variables, which training does not go on changing."""
    # On torch convert_to_numpy gives a view of the weight, which training would go on changing.
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def _refuse_nan(entry: dict[str, Any], start: int, recipe: Recipe) -> None:
    precision = "" if recipe.dtype == "float32" else f", use dtype float32 (not {recipe.dtype})"
    for name in ("loss", "val_loss"):
        if not math.isfinite(entry[name]):
            raise Diverged(
                f"The {name.replace('val_', 'validation ')} became {entry[name]} between steps "
                f"{start + 1} and {entry['step']} of {recipe.steps}: lower the learning rate "
                f"({recipe.learning_rate:g}){precision} or lengthen the warmup."
            )


def rank(entry: Mapping[str, Any]) -> tuple[float, float]:
    """By what the best of several weights is chosen: the accuracy on validation, then the loss there."""
    return entry["val_top1"], -entry["val_loss"]


def _time_epoch(
    progress: Progress, images: int, seconds: float, waited: float, compiled: bool
) -> None:
    if compiled:
        progress.timed_images += images
        progress.timed_seconds += seconds
        progress.timed_waited += waited
    else:
        progress.first_images += images
        progress.first_seconds += seconds
        progress.first_waited += waited
