"""The measuring process of `python -m studies bench`, one a backend.

Requests come as a JSON list on stdin, the report goes to stdout as one line of JSON.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from studies.data import Batches, Split
from studies.machine.devices import device
from studies.machine.processes import reserve_stdout
from studies.machine.versions import commit, versions
from studies.study.recipe import Recipe

Turn = Callable[[int], None]  # does so many steps, and returns when they are done
IMAGES = 2048


def measure(contenders: dict[str, Turn], batch_size: int, rounds: int, seconds: float) -> dict:
    """Images per second of every contender and round.

    Args:
        contenders: what takes turns; each is run once before anything is timed (it compiles).
        batch_size: images a step.
        rounds: number of turns of each.
        seconds: wanted length of the first contender's turn; all do the same number of steps.
    """
    for turn in contenders.values():
        turn(1)
    first = next(iter(contenders.values()))
    steps, took = 1, _seconds(first, 1)
    while took < 0.3 * seconds:  # short measurements say little about long ones
        steps *= 2
        took = _seconds(first, steps)
    steps = max(1, round(steps * seconds / took))
    speeds: dict[str, list[float]] = {name: [] for name in contenders}
    for index in range(rounds):
        # Each order in turn, so that nobody always runs on the warmer processor.
        order = list(contenders) if index % 2 == 0 else list(reversed(contenders))
        for name in order:
            speeds[name].append(steps * batch_size / _seconds(contenders[name], steps))
    return speeds


def bare_step(model: Any, images: np.ndarray, labels: np.ndarray) -> Turn:
    """The compiled training step of a compiled model, over and over on the same batch on the device.

    No input pipeline, no callbacks, no synchronisation before the end. The model itself is used up.
    """
    import keras

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


def compare_steps(request: dict[str, Any]) -> dict[str, Any]:
    """Our model's training step and, where keras-hub is installed, its ViT's of the same size."""
    import keras_vit

    shape, batch_size = tuple(request["input_shape"]), request["batch_size"]
    images, labels = _some_batch(shape, batch_size, classes=1000)
    ours = keras_vit.create_model(
        request["model"], input_shape=shape, seed=0, **request["overrides"]
    )
    models = {"keras_hub": _keras_hub_model(request), "keras_vit": ours}
    contenders = {}
    for name, model in models.items():
        if model is not None:
            _compile(model)
            contenders[name] = bare_step(model, images, labels)
    rounds = measure(contenders, batch_size, request["rounds"], request["seconds"])
    return {"model": request["model"], "rounds": rounds}


def compare_fit(request: dict[str, Any]) -> dict[str, Any]:
    """A trial's bare compiled step, its `fit`, and the reading of its batches."""
    import keras_vit
    from studies.training.feed import feed
    from studies.training.recipe import compile_model
    from studies.training.seeds import Reseed

    recipe = Recipe(**request["recipe"])
    shape = tuple(request["input_shape"])
    rng = np.random.default_rng(0)
    split = Split(
        rng.integers(0, 256, (IMAGES, *shape), np.uint8), rng.integers(0, 10, IMAGES, np.int64)
    )
    batches = Batches(split, np.arange(IMAGES), recipe.batch_size, 0, recipe, 10)

    def model() -> Any:
        made = keras_vit.create_model(
            request["base"], input_shape=shape, classes=10, seed=0, **request["overrides"]
        )
        compile_model(made, recipe)
        return made

    fitted = model()

    def fit(steps: int) -> None:
        data, _ = feed(batches, 0, steps)
        fitted.fit(data, epochs=1, shuffle=False, verbose=0, callbacks=[Reseed(0)])

    def read(steps: int) -> None:
        for step in range(steps):
            batches.batch(step)

    contenders = {"bare step": bare_step(model(), *batches.batch(0)), "fit": fit, "reading": read}
    rounds = measure(contenders, recipe.batch_size, request["rounds"], request["seconds"])
    return {"model": request["model"], "rounds": rounds}


def main() -> None:
    """Answer the requests on stdin."""
    import keras

    emit = reserve_stdout()
    backend = keras.backend.backend()
    requests = json.load(sys.stdin)
    results = []
    for request in requests:
        keras.config.set_dtype_policy(request["dtype"])
        kind = {"step": compare_steps, "fit": compare_fit}[request["kind"]]
        results.append(kind(request))
        print(f"{request['model']}: done", file=sys.stderr)
        keras.backend.clear_session()
    emit(
        {
            "results": results,
            "device": device(backend),
            "versions": versions(backend) | _hub_version(),
            "commit": commit(),
        }
    )


def _keras_hub_model(request: dict[str, Any]) -> Any:
    """keras-hub's ViT of the size of one of our plain ViTs, or None where there is none."""
    from keras_vit.models.variants import get_variant

    variant = get_variant(request["model"])
    if variant.family != "vit" or "+" in request["model"]:
        return None
    try:
        import keras_hub
    except ImportError:
        return None
    config = {**variant.config, **request["overrides"]}
    patch_size = config["patch_size"]
    backbone = keras_hub.models.ViTBackbone(
        image_shape=tuple(request["input_shape"]),
        patch_size=(patch_size, patch_size),
        num_layers=config["num_layers"],
        num_heads=config["num_heads"],
        hidden_dim=config["hidden_size"],
        mlp_dim=config["mlp_dim"],
        layer_norm_epsilon=1e-6,
    )
    return keras_hub.models.ViTImageClassifier(backbone, num_classes=1000, preprocessor=None)


def _compile(model: Any) -> None:
    import keras

    model.compile(
        keras.optimizers.AdamW(1e-4, weight_decay=0.1, global_clipnorm=1.0),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[],
        jit_compile="auto",
    )
    model.optimizer.build(model.trainable_variables)


def _some_batch(shape: tuple[int, ...], batch_size: int, classes: int) -> tuple:
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (batch_size, *shape)).astype(np.float32)
    return images, rng.integers(0, classes, batch_size).astype(np.int32)


def _seconds(turn: Turn, steps: int) -> float:
    began = time.perf_counter()
    turn(steps)
    return time.perf_counter() - began


def _hub_version() -> dict[str, str]:
    from importlib import metadata

    try:
        return {"keras-hub": metadata.version("keras-hub")}
    except metadata.PackageNotFoundError:
        return {}


if __name__ == "__main__":
    main()
