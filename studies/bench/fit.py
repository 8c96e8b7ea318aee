"""Contenders of a trial's `fit`: the bare compiled step, and the reading of its batches."""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np

import keras_vit
from studies.bench.cases import Case
from studies.bench.worker import Runner
from studies.data import Batches, Split
from studies.study.recipe import Recipe
from studies.training.feed import feed
from studies.training.recipe import compile_model
from studies.training.seeds import Reseed

IMAGES = 2048


def fit(case: Case, overrides: dict[str, Any]) -> Runner:
    """As a trial trains: one call of `fit` for all steps of a turn."""
    model, batches = _model(case), _batches(case)

    def turn(steps: int) -> None:
        data, _ = feed(batches, 0, steps)
        model.fit(data, epochs=1, shuffle=False, verbose=0, callbacks=[Reseed(0)])

    return Runner(turn, model.count_params(), lambda: keras_vit.flops(model))


def reading(case: Case, overrides: dict[str, Any]) -> Runner:
    """The batches alone."""
    batches = _batches(case)

    def turn(steps: int) -> None:
        for step in range(steps):
            batches.batch(step)

    return Runner(turn)


def bare_step(case: Case, overrides: dict[str, Any]) -> Runner:
    """The compiled step alone: no reading, no callbacks, no waiting before the end."""
    model = _model(case)
    return Runner(repeated_step(model, *_batches(case).batch(0)), model.count_params())


def repeated_step(model: Any, images: np.ndarray, labels: np.ndarray) -> Any:
    """A turn of the compiled training step, over and over on the same batch on the device.

    The model itself is used up.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        model.make_train_function()
        iterator = iter(tf.data.Dataset.from_tensors((images, labels)).repeat())

        def turn(steps: int) -> None:
            for _ in range(steps):
                logs = model.train_function(iterator)
            float(logs["loss"])

        return turn
    model.train_on_batch(images, labels)  # builds metrics and the compiled function
    batch = tuple(keras.ops.convert_to_tensor(array) for array in (images, labels))
    if backend == "torch":

        def turn(steps: int) -> None:
            for _ in range(steps):
                logs = model.train_function([batch])
            float(logs["loss"])

        return turn
    import jax

    groups = (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )
    state = tuple([variable.value for variable in group] for group in groups)
    repeated = itertools.repeat(batch)

    def turn(steps: int) -> None:  # type: ignore[no-redef]
        nonlocal state
        for _ in range(steps):
            _, state = model.train_function(state, repeated)
        jax.block_until_ready(state)

    return turn


def _model(case: Case) -> Any:
    keras.config.set_dtype_policy(case.dtype)
    model = keras_vit.create_model(case.base, case.shape, case.classes, seed=0, **case.overrides)
    compile_model(model, Recipe(**case.recipe))
    return model


def _batches(case: Case) -> Batches:
    recipe = Recipe(**case.recipe)
    rng = np.random.default_rng(0)
    split = Split(
        rng.integers(0, 256, (IMAGES, *case.shape), np.uint8),
        rng.integers(0, case.classes, IMAGES, np.int64),
    )
    return Batches(split, np.arange(IMAGES), recipe.batch_size, 0, recipe, case.classes)
