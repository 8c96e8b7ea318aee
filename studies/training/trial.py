"""One trial, from its description to its record: the only module of the studies that trains.

As a process of its own (`python -m studies.training.trial SPEC.json --results DIR`) it writes events to
stdout, one JSON object a line; what people and backends write goes to stderr:

    {"event": "start", "trial_id": ..., "step": 0, "steps": 10000}
    {"event": "progress", "trial_id": ..., "step": 500, "steps": 10000, "val_top1": 0.71, ...}
    {"event": "record", "record": {...}}

KERAS_BACKEND, CUDA_VISIBLE_DEVICES, OMP_NUM_THREADS and the cores are the starter's to set.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock

from studies.analysis.outcomes import Outcomes
from studies.data.dataset import Replicate
from studies.errors import TrialError, UsageError
from studies.machine.devices import device, make_deterministic
from studies.machine.processes import die_with_parent, reserve_stdout
from studies.machine.threads import settle_threads
from studies.records.outcomes import outcomes_of, outcomes_path, save_outcomes
from studies.records.store import new_record
from studies.study.trial import Trial

Emit = Callable[[dict[str, Any]], None]


def run_trial(trial: Trial, results: Path, emit: Emit = lambda event: None) -> dict[str, Any]:
    """Train one model as the trial says, evaluate it, and give the record.

    Killed and called again it goes on from its last checkpoint. Whatever goes wrong inside becomes
    a record with status "failed" and one sentence as `reason`. A second process with the same
    weights to train waits until the first is done.

    Args:
        trial: what to train, on what, how.
        results: folder of the results; checkpoints lie in `.checkpoints/<pretrain_id>/` below it.
        emit: called with each event.

    The test images' outcomes go to `<study>/outcomes/<trial_id>.npz` below `results`.

    Returns:
        The record, a JSON object (also emitted as the last event).
    """
    began = time.perf_counter()
    folder = checkpoint_folder(results, trial)
    record = new_record(trial)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / "lock"):
            threads = settle_threads(folder / "threads.json")
            record.update(threads._asdict())
            make_deterministic(trial.backend)
            outcomes = outcomes_path(Path(results) / trial.study, trial.trial_id)
            record.update(_train_and_evaluate(trial, folder, outcomes, emit), status="done")
    except Exception as error:
        traceback.print_exc()
        # How far it came is in the log; a failed record never looks like a measured one.
        record.update(
            status="failed", reason=reason(error, trial), seconds=time.perf_counter() - began
        )
    emit({"event": "record", "record": record})
    return record


def checkpoint_folder(results: Path, trial: Trial) -> Path:
    """Where a trial's checkpoints lie; trials that differ in their evaluation alone share it."""
    return Path(results) / ".checkpoints" / trial.pretrain_id


def reason(error: Exception, trial: Trial) -> str:
    """One sentence on why a trial failed."""
    if isinstance(error, (TrialError, UsageError)):
        return str(error)
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, MemoryError) or _says_out_of_memory(text):
        return (
            f"The trial ran out of memory: choose a smaller batch_size ({trial.recipe.batch_size}) "
            "or model, or run fewer trials at once."
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            "The disk of the results folder is full: make room there, then run again with "
            "--retry-failed, which continues from the last checkpoint."
        )
    lines = text.strip().splitlines()
    return lines[0] if lines else type(error).__name__


def main(arguments: list[str] | None = None) -> int:
    """Run the trial of a JSON file as this process: 0 it is done, 1 it failed, 2 wrong use."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # the log is for people
    die_with_parent()
    parser = argparse.ArgumentParser(
        prog="python -m studies.training.trial", description=main.__doc__
    )
    parser.add_argument("spec", type=Path, help="JSON file of the trial")
    parser.add_argument("--results", type=Path, required=True, help="folder of the results")
    options = parser.parse_args(arguments)
    emit = reserve_stdout()
    try:
        trial = Trial.model_validate_json(options.spec.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        what = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0]
        print(f"error: {options.spec} is not the description of a trial: {what}", file=sys.stderr)
        return 2
    os.environ.setdefault("KERAS_BACKEND", trial.backend)
    record = run_trial(trial, options.results, emit)
    return 0 if record["status"] == "done" else 1


def _train_and_evaluate(trial: Trial, folder: Path, outcomes: Path, emit: Emit) -> dict[str, Any]:
    import keras

    before = keras.config.dtype_policy()
    try:
        return _run(trial, folder, outcomes, emit)
    finally:
        keras.config.set_dtype_policy(before)


def _run(trial: Trial, folder: Path, outcomes: Path, emit: Emit) -> dict[str, Any]:
    import keras

    import keras_vit
    from studies.data import Batches, load
    from studies.data.scramble import scrambled
    from studies.training.checkpoint import CheckpointFolder, digest
    from studies.training.inference import outputs_model
    from studies.training.loop import train
    from studies.training.recipe import compile_model, rates

    if keras.backend.backend() != trial.backend:
        raise TrialError(
            f"The trial is for the backend {trial.backend}, but Keras runs on "
            f"{keras.backend.backend()}: set KERAS_BACKEND={trial.backend} before it starts."
        )
    whole = load(trial.dataset, trial.image_size, trial.reading)
    if whole.info.fingerprint != trial.data_fingerprint:
        raise TrialError(
            f"The data set {trial.dataset} has changed since the study was made (fingerprint "
            f"{whole.info.fingerprint}, not {trial.data_fingerprint}): use another --results folder."
        )
    recipe = trial.recipe
    data = scrambled(whole.replicate(trial.seed), recipe.scramble, trial.seed)
    # Keras scales the loss of float16 models by the policy that they were made under.
    keras.config.set_dtype_policy(recipe.dtype)
    model = keras_vit.create_model(
        trial.model.base,
        input_shape=trial.image_shape,
        classes=trial.num_classes,
        seed=trial.seed,
        **{**rates(recipe, trial.model.base), **trial.model.overrides},
    )
    compile_model(model, recipe)
    identity = {"trial_id": trial.trial_id, "steps": recipe.steps}

    def started(step: int) -> None:
        emit({"event": "start", **identity, "pretrain_id": trial.pretrain_id, "step": step})

    def report(entry: dict[str, Any], speed: float) -> None:
        emit({"event": "progress", **identity, **entry, "images_per_second": speed})

    outputs = outputs_model(model)
    progress = train(
        model,
        outputs,
        recipe,
        Batches(
            data.train,
            data.subset(trial.size),
            recipe.batch_size,
            trial.seed,
            recipe,
            trial.num_classes,
        ),
        data.validation,
        CheckpointFolder(folder),
        trial.seed,
        started,
        report,
    )
    began = time.perf_counter()
    metrics, said = _evaluate(outputs, trial, data)
    save_outcomes(outcomes, said)  # before the record, which counts on it
    _save_model(model, folder / "best.keras")
    metrics["val_top1"] = progress.best["val_top1"]
    metrics["val_loss"] = progress.best["val_loss"]
    return {
        "metrics": metrics,
        "images": data.counts,
        "best_step": progress.best["step"],
        "history": progress.history,
        "flops": int(keras_vit.flops(model)),
        "params": int(model.count_params()),
        "seconds": progress.seconds + time.perf_counter() - began,
        "images_per_second": progress.images_per_second,
        "waiting": progress.waiting,
        "processes": progress.processes,
        "weights_sha256": digest([keras.ops.convert_to_numpy(w) for w in model.weights]),
        "device": device(trial.backend),
    }


def _evaluate(outputs: Any, trial: Trial, data: Replicate) -> tuple[dict[str, float], Outcomes]:
    from studies.evaluation import Inputs, get_evaluation
    from studies.training.inference import predict

    support, _ = predict(outputs, data.validation.images)
    query, logits = predict(outputs, data.test.images)
    inputs = Inputs(
        num_classes=trial.num_classes,
        labels=data.test.labels,
        logits=logits,
        features=query,
        support_labels=data.validation.labels,
        support_features=support,
    )
    metrics = get_evaluation("standard").evaluate(inputs, trial.evaluation)
    test = data.test
    return metrics, outcomes_of(trial.seed, logits, test.labels, test.ids, test.groups)


def _save_model(model: Any, path: Path) -> None:
    """The best model as an ordinary Keras file, for `inspect` and for users; renamed into place.

    It is saved bare: the recipe's schedule and loss are classes of the studies, which another
    process cannot load, and the optimizer's state is that of the last step.
    """
    bare = type(model).from_config(model.get_config())
    bare.set_weights(model.get_weights())
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")  # Keras insists on the ending
    bare.save(temporary)
    os.replace(temporary, path)


def _says_out_of_memory(text: str) -> bool:
    text = text.lower()
    signs = ("resource_exhausted", "resourceexhausted", "out of memory", "can't allocate memory")
    return any(sign in text for sign in signs)


def _leave_out(backend: str | None) -> None:
    """Let no import find what Keras would load only because it is installed: half of a trial's start."""
    others = {"tensorflow", "jax", "torch"} - {backend} if backend else set()
    for name in ("IPython", "matplotlib", "pandas", "sklearn", *others):
        sys.modules[name] = None  # type: ignore[assignment]


if __name__ == "__main__":
    _leave_out(os.environ.get("KERAS_BACKEND"))
    sys.exit(main())
