"""One trial, from its description to its record: a chain of trainings and one evaluation.

As a process of its own (`python -m studies.training.trial SPEC.json --results DIR`) it writes events to
stdout, one JSON object a line; what people and backends write goes to stderr:

    {"event": "start", "trial_id": ..., "step": 0, "steps": 10000}
    {"event": "progress", "trial_id": ..., "step": 500, "steps": 10000, "val_top1": 0.71, ...}
    {"event": "record", "record": {...}}

KERAS_BACKEND, CUDA_VISIBLE_DEVICES, OMP_NUM_THREADS and the cores are the starter's to set.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock

from studies.errors import TrialError, UsageError
from studies.machine.devices import device, make_deterministic, make_devices, peak_memory
from studies.machine.kernels import choose_kernels
from studies.machine.processes import die_with_parent, leave_out_others, reserve_stdout
from studies.machine.threads import Threads, settle_threads
from studies.records.checkpoints import MODEL, STORED, THREADS, checkpoint_folder, untrained
from studies.records.layout import outcomes_path
from studies.records.store import new_record
from studies.study.trial import Training, Trial
from studies.training.events import Emit, Events

if TYPE_CHECKING:
    from studies.training.chain import Trained

ANSWER_SECONDS = 0.05  # between two looks for the starter's answer


def run_trial(
    trial: Trial, results: Path, emit: Emit = lambda event: None, elsewhere: bool = False
) -> dict[str, Any]:
    """Train the models of a trial's chain that are not trained yet, evaluate the last, give the record.

    Killed and called again it goes on from its last checkpoint. Whatever goes wrong inside becomes
    a record with status "failed" and one sentence as `reason`. A second process with the same
    weights to train waits until the first is done.

    Args:
        trial: what to train, on what, how.
        results: folder of the results; checkpoints lie in `.checkpoints/<training_id>/` below it.
        emit: called with each event.
        elsewhere: whether storage is elsewhere, where another machine may have put the end of the same
            training before: who starts this one says what counts, before anything is made of it.

    The test images' outcomes go to `<study>/outcomes/<trial_id>.npz` below `results`.

    Returns:
        The record, a JSON object (also emitted as the last event).
    """
    began = time.perf_counter()
    record = new_record(trial)
    try:
        events = Events(trial, untrained(results, trial), emit)
        for training in untrained(results, trial):
            if training.training_id != trial.training_id:
                with _alone(results, training):
                    _finish(training, results, events, elsewhere)
        with _alone(results, trial) as threads:
            record.update(threads._asdict())
            record.update(_finish_and_evaluate(trial, results, events, elsewhere), status="done")
    except Exception as error:
        traceback.print_exc()
        # How far it came is in the log; a failed record never looks like a measured one.
        record.update(
            status="failed", reason=reason(error, trial), seconds=time.perf_counter() - began
        )
    emit({"event": "record", "record": record})
    return record


@contextmanager
def _alone(results: Path, training: Training) -> Iterator[Threads]:
    """Hold a training's folder, with its threads settled: the first such call is before a backend."""
    folder = checkpoint_folder(results, training)
    folder.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder / "lock"):
        threads = settle_threads(folder / THREADS)
        choose_kernels(training.backend, training.model.base, training.model.overrides)
        make_deterministic(training.backend)
        make_devices(training.backend, training.devices // training.device_processes)
        yield threads


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
            "The disk of the results folder is full or, where results lie under a URL, that of $TMPDIR "
            "on the trial's machine: make room there, then run the failed trials again, which continues "
            "from the last checkpoint."
        )
    if isinstance(error, OSError) and error.strerror and error.filename:
        return (
            f"{error.filename} cannot be read or written ({error.strerror}): mend that, then run the "
            "failed trials again, which continues from the last checkpoint."
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
    parser.add_argument(
        "--elsewhere", action="store_true", help="it is a copy of storage elsewhere"
    )
    options = parser.parse_args(arguments)
    emit = reserve_stdout()
    try:
        trial = Trial.model_validate_json(options.spec.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        what = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0]
        print(f"error: {options.spec} is not the description of a trial: {what}", file=sys.stderr)
        return 2
    os.environ.setdefault("KERAS_BACKEND", trial.backend)
    record = run_trial(trial, options.results, emit, options.elsewhere)
    return 0 if record["status"] == "done" else 1


def _finish(training: Training, results: Path, events: Events, elsewhere: bool) -> None:
    from studies.training.chain import finish
    from studies.training.devices import devices_of
    from studies.training.images import images_of

    with _policy_restored():
        _check_backend(training)
        with devices_of(training) as devices:
            finish(training, results, images_of(training), devices, events)
            if elsewhere:
                _wait_until_stored(training, results, events)


def _wait_until_stored(training: Training, results: Path, events: Events) -> None:
    """Go on when the training's end here is the one in storage, be it this process's or another's."""
    stored = checkpoint_folder(results, training) / STORED
    stored.unlink(missing_ok=True)
    events.ended(training)
    while not stored.exists():  # who starts this process answers, or ends it
        time.sleep(ANSWER_SECONDS)


def _is_what_counts(trained: Trained, trial: Trial, results: Path, events: Events) -> bool:
    """Whether the weights at hand are those of the end that is in storage."""
    from studies.training.checkpoint import CheckpointFolder, digest
    from studies.training.start import weights_of

    if trial.objective == "none":
        return True
    _wait_until_stored(trial, results, events)
    final = CheckpointFolder(checkpoint_folder(results, trial)).final()
    return final is not None and digest(final.arrays["best"]) == digest(
        weights_of(trained.task.model)
    )


def _finish_and_evaluate(
    trial: Trial, results: Path, events: Events, elsewhere: bool
) -> dict[str, Any]:
    import keras_vit
    from studies.training.chain import finish
    from studies.training.checkpoint import digest
    from studies.training.devices import devices_of
    from studies.training.evaluate import evaluate
    from studies.training.images import images_of
    from studies.training.start import save_model, weights_of

    with _policy_restored(), contextlib.ExitStack() as stack:
        _check_backend(trial)
        devices = stack.enter_context(devices_of(trial))
        images = images_of(trial)
        trained = finish(trial, results, images, devices, events)
        while elsewhere and not _is_what_counts(trained, trial, results, events):
            trained = finish(trial, results, images, devices, events)
        stack.enter_context(devices.alone())
        events.trained()
        began = time.perf_counter()
        outcomes = outcomes_path(Path(results) / trial.study, trial.trial_id)
        metrics = evaluate(trained, trial, images, outcomes)
        model = trained.task.trained
        card = {"scramble": trial.recipe.scramble, "seed": trial.seed}
        save_model(model, checkpoint_folder(results, trial) / MODEL, card)
        measured = {
            "metrics": metrics,
            "images": images.counts,
            "flops": int(keras_vit.flops(model)),
            "params": int(model.count_params()),
            "weights_sha256": digest(weights_of(model)),
            "device": device(trial.backend, trial.devices),
            "learning_rate": None if trial.objective == "none" else trained.learning_rate,
            "rates": trained.rates,
        }
        took = time.perf_counter() - began
        if trial.extra is not None:  # what was trained is in the record of the standard evaluation
            return {**measured, "seconds": took}
        progress = trained.progress
        return {
            **measured,
            "best_step": progress.best["step"],
            "history": progress.history,
            "seconds": trained.seconds + took,
            "images_per_second": progress.images_per_second,
            "waiting": progress.waiting,
            "processes": progress.processes,
            "peak_memory": peak_memory(),
            "devices": progress.devices,
        }


def _check_backend(training: Training) -> None:
    import keras

    if keras.backend.backend() != training.backend:
        raise TrialError(
            f"The trial is for the backend {training.backend}, but Keras runs on "
            f"{keras.backend.backend()}: set KERAS_BACKEND={training.backend} before it starts."
        )


@contextmanager
def _policy_restored() -> Iterator[None]:
    import keras

    before = keras.config.dtype_policy()
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _says_out_of_memory(text: str) -> bool:
    text = text.lower()
    signs = ("resource_exhausted", "resourceexhausted", "out of memory", "can't allocate memory")
    return any(sign in text for sign in signs)


if __name__ == "__main__":
    leave_out_others(os.environ.get("KERAS_BACKEND"))
    sys.exit(main())
