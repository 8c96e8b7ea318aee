"""The training loop: compiled `fit`, one validation point at a time, resumable with the same bits.

One Keras "epoch" is the stretch between two validation points, and one call of `fit`: stretches may
differ in length by a step, which a single `fit` cannot do. After each of them the model is validated,
and everything that decides the rest of the run goes into a checkpoint. What Keras would carry over
silently (the state of random generators) is instead set anew for each epoch from (seed, epoch).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import keras
import numpy as np

from studies.errors import TrialError
from studies.evaluation.accuracy import cross_entropy, top1
from studies.study.recipe import Recipe
from studies.training.checkpoint import Checkpoint, CheckpointFolder, digest
from studies.training.feed import BatchSource, feed
from studies.training.inference import predict
from studies.training.recipe import validation_points

Weights = list[np.ndarray]


class LabelledImages(Protocol):
    """uint8 images (N, H, W, C) and their labels (N,), e.g. `studies.data.Split`."""

    @property
    def images(self) -> np.ndarray: ...
    @property
    def labels(self) -> np.ndarray: ...


@dataclass
class Progress:
    """How far a training run has come; all of it is in every checkpoint."""

    epoch: int = 0  # validation points passed
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


class Reseed(keras.callbacks.Callback):
    """Starts every epoch's random numbers (dropout, stochastic depth) from (seed, epoch) alone."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        if keras.backend.backend() == "torch":
            # There dropout draws from the global generator; elsewhere from the layers' own states,
            # and TensorFlow would forget its compiled kernels at the setting of its global seed.
            keras.utils.set_random_seed(_draw(self.seed, epoch, 0, size=1)[0])
        states = [v for v in self.model.variables if v.path.endswith("seed_generator_state")]
        for index, state in enumerate(states, start=1):
            state.assign(np.asarray(_draw(self.seed, epoch, index, size=2), state.dtype))


def train(
    model: keras.Model,
    outputs: keras.Model,
    recipe: Recipe,
    batches: BatchSource,
    validation: LabelledImages,
    folder: CheckpointFolder,
    seed: int,
    started: Callable[[int], None] = lambda step: None,
    report: Callable[[dict[str, Any], float], None] = lambda entry, images_per_second: None,
) -> Progress:
    """Train a compiled model, from its last checkpoint on, and leave the best weights in it.

    Killed at any moment and called again (same model, recipe, data and number of threads), it ends
    with the same weights and history, bit for bit, as one left alone.

    Args:
        model: freshly created and compiled by `compile_model`; returns holding the weights with the
            best validation accuracy (ties: the lower validation loss, then the earlier).
        outputs: `outputs_model(model)`, for validation.
        recipe: steps, batch size and validation points.
        batches: `batch(step)` gives float images (B, H, W, C) and integer labels (B,), or the
            probabilities (B, C) that a recipe with mixup or CutMix learns.
        validation: images and labels of the validation split.
        folder: where checkpoints lie.
        seed: decides dropout and stochastic depth.
        started: called once with the step that training goes on from (0 at first).
        report: called after each validation point with the history's entry and the images per second
            of training so far.

    Raises:
        TrialError: the loss became NaN or infinite.
    """
    final = folder.final()
    if final is not None:
        _assign(model.weights, final.arrays["best"], folder)
        started(recipe.steps)
        return Progress(**final.meta["progress"])
    progress, best = _resume(model, folder)
    progress.processes += 1
    points = validation_points(recipe.steps, recipe.validations)
    first_epoch = progress.epoch + 1
    started(points[progress.epoch - 1] if progress.epoch else 0)
    for epoch in range(first_epoch, len(points) + 1):
        began = time.perf_counter()
        start, stop = (points[epoch - 2] if epoch > 1 else 0), points[epoch - 1]
        data, waited = feed(batches, start, stop)
        logs = model.fit(
            data,
            initial_epoch=epoch - 1,
            epochs=epoch,
            shuffle=False,
            verbose=0,
            callbacks=[Reseed(seed)],
        ).history
        images, seconds = (stop - start) * recipe.batch_size, time.perf_counter() - began
        _time_epoch(progress, images, seconds, waited(), compiled=epoch > first_epoch)
        entry = {
            "epoch": epoch,
            "step": stop,
            "loss": float(logs["loss"][-1]),
            "top1": float(logs["top1"][-1]),
            **_validate(outputs, validation),
        }
        _refuse_nan(entry, start, recipe)
        progress.epoch = epoch
        progress.history.append(entry)
        if best is None or _rank(entry) > _rank(progress.best):
            progress.best_epoch = epoch
            best = _copy(model.weights)
        progress.seconds += time.perf_counter() - began
        arrays = {
            "model": _copy(model.variables),
            "optimizer": _copy(model.optimizer.variables),
            "best": best,
        }
        folder.save_state(epoch, {"progress": vars(progress)}, arrays)
        report(entry, progress.images_per_second)
    assert best is not None  # there is at least one validation point
    meta = {"progress": vars(progress), "last_sha256": digest(_copy(model.weights))}
    folder.save_final(meta, {"best": best})
    _assign(model.weights, best, folder)
    return progress


def _resume(model: keras.Model, folder: CheckpointFolder) -> tuple[Progress, Weights | None]:
    state: Checkpoint | None = folder.newest_state()
    if state is None:
        return Progress(), None
    _assign(model.variables, state.arrays["model"], folder)
    _assign(model.optimizer.variables, state.arrays["optimizer"], folder)
    return Progress(**state.meta["progress"]), state.arrays["best"]


def _assign(variables: list[Any], values: Weights, folder: CheckpointFolder) -> None:
    shapes = [tuple(v.shape) for v in variables]
    if shapes != [value.shape for value in values]:
        raise TrialError(
            f"The checkpoint in {folder.folder} does not fit the model: it was written by another "
            "version of the code; remove that folder to train anew."
        )
    for variable, value in zip(variables, values):
        variable.assign(value)


def _copy(variables: list[Any]) -> Weights:
    # On torch convert_to_numpy gives a view of the weight, which training would go on changing.
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def _validate(outputs: keras.Model, validation: LabelledImages) -> dict[str, float]:
    _, logits = predict(outputs, validation.images)
    return {
        "val_loss": cross_entropy(logits, validation.labels),
        "val_top1": top1(logits, validation.labels),
    }


def _refuse_nan(entry: dict[str, Any], start: int, recipe: Recipe) -> None:
    precision = "" if recipe.dtype == "float32" else f", use dtype float32 (not {recipe.dtype})"
    for name in ("loss", "val_loss"):
        if not math.isfinite(entry[name]):
            raise TrialError(
                f"The {name.replace('val_', 'validation ')} became {entry[name]} between steps "
                f"{start + 1} and {entry['step']} of {recipe.steps}: lower the learning rate "
                f"({recipe.learning_rate:g}){precision} or lengthen the warmup."
            )


def _rank(entry: dict[str, Any]) -> tuple[float, float]:
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


def _draw(seed: int, epoch: int, index: int, size: int) -> list[int]:
    # 31 bits: torch keeps the states of generators in signed integers.
    words = np.random.SeedSequence([seed, epoch, index]).generate_state(size)
    return [int(word) & 0x7FFFFFFF for word in words]
