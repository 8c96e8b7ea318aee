"""Trains on one device and on several, as a process of its own: devices are made as a backend loads.

    python -m tests.studies.training.on_devices equal|resumed|lasts FOLDER PROCESSES SPLIT

`equal` prints the losses by (model, devices, devices of a copy); `resumed` what became of a trial on two
devices that was left alone, and of one that SIGTERM ended between two validation points and that went on,
with what each device dropped in the first two steps; `lasts` the record of one that takes hours. The
devices are in PROCESSES processes; where these are several, all copies have SPLIT devices.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from studies.data import Batches, describe
from studies.machine.devices import make_devices
from studies.machine.processes import leave_out_others
from studies.study.entries import ModelEntry
from studies.study.recipe import Evaluation, Recipe
from studies.study.trial import Extra, Trial
from studies.training.trial import run_trial
from tests.studies.descriptions import TINY, image_folder

BACKEND = os.environ["KERAS_BACKEND"]
PROCESSES, SPLIT = map(int, sys.argv[3:5]) if sys.argv[1] != "replica" else (1, 1)
MASKS = "MASKS_OF_DEVICES"  # the variable that names a folder
MODELS = {
    "vit": ModelEntry(name="vit", base="ViT-Ti/4", overrides=TINY),
    "bit": ModelEntry(
        name="bit",
        base="BiT-R50x1",
        overrides={
            "stem": "small",
            "block_counts": [1],
            "width_factor": 0.125,
            "bottleneck": False,
            "groups": 4,
        },
    ),
}
# The optimizer that is quickest to compile, with clipping that has an effect.
RECIPE = {
    "optimizer": "sgd",
    "weight_decay": 0.0,
    "learning_rate": 0.1,
    "clip_norm": 0.1,
    "label_smoothing": 0.1,
    "warmup_fraction": 0.0,
    "schedule": "linear",
}
# Devices, those of a copy, and models: what is compiled takes most of the time.
CASES = [(1, 1, ("vit", "bit")), (4, 1, ("vit", "bit"))]
if BACKEND == "jax":
    CASES.append((4, 2, ("vit",)))
if PROCESSES > 1:  # and share devices in one way
    CASES = [(4, SPLIT, ("vit",))]


def trial(dataset: str, name: str, devices: int = 1, split: int = 1, **recipe) -> Trial:
    info = describe(dataset, 8)
    return Trial(
        study="test",
        dataset=dataset,
        data_fingerprint=info.fingerprint,
        image_shape=info.image_shape,
        num_classes=info.num_classes,
        image_size=8,
        size=12,
        seed=1,
        backend=BACKEND,
        model=MODELS[name],
        recipe=Recipe(**{"steps": 6, "batch_size": 8, "validations": 2, **recipe}),
        evaluation=Evaluation(shots=(1,), fewshot_seeds=1),
        devices=devices,
        model_parallel=split,
        device_processes=PROCESSES if devices > 1 else 1,
    )


def equal(folder: Path) -> dict[str, list[float]]:
    """Losses and accuracies at the validation points; without drop-out."""
    from studies.training.chain import batches_of, task_of
    from studies.training.checkpoint import CheckpointFolder
    from studies.training.devices import devices_of
    from studies.training.images import images_of
    from studies.training.loop import train

    if BACKEND == "jax":  # compile fast: each program runs a few steps
        import jax

        jax.config.update("jax_disable_most_optimizations", True)
    dataset = image_folder(folder / "images")
    found = {}
    for devices, split, names in CASES:
        with devices_of(trial(dataset, "vit", devices, split)) as those:
            for name in names:
                each = trial(dataset, name, devices, split, **RECIPE)
                images = images_of(each)
                task = task_of(each, images, None, those)
                task.validate = lambda: {"val_loss": 0.0, "val_top1": 0.0}
                place = CheckpointFolder(folder / f"{name}-{devices}-{split}")
                batches = batches_of(each, images)
                progress = train(task, each.recipe, batches, place, each.seed, those)
                told = [value for e in progress.history for value in (e["loss"], e["top1"])]
                found[f"{name} {devices} {split}"] = told
    return found


class Ended(BaseException):
    """What SIGTERM does here."""


def resumed(folder: Path) -> dict[str, dict]:
    from studies.training.checkpoint import CheckpointFolder

    each = trial(
        image_folder(folder / "images"),
        "vit",
        devices=2,
        dropout_rate=0.3,
        stochastic_depth_rate=0.3,
        mixup=0.2,
        steps=12,
    )
    if PROCESSES == 1:
        watch_masks()
    os.environ[MASKS] = str(folder / "masks of whole")
    whole = run_trial(each, folder / "whole")
    os.environ[MASKS] = str(folder / "masks of parts")
    read, parts = Batches.batch, folder / "parts"

    def end(signum, frame):
        raise Ended

    def batch(self, step):
        if step == 8:
            os.kill(os.getpid(), signal.SIGTERM)
        return read(self, step)

    signal.signal(signal.SIGTERM, end)
    Batches.batch = batch
    with contextlib.suppress(Ended):
        run_trial(each, parts)
    Batches.batch = read

    def checkpoints(results: Path) -> CheckpointFolder:
        return CheckpointFolder(results / ".checkpoints" / each.training_id)

    left = checkpoints(parts).newest_state().meta["progress"]["steps"]
    records = {"whole": whole, "parts": run_trial(each, parts)}
    if BACKEND == "jax" and PROCESSES == 1:  # of seven images, which two devices cannot share
        extra = Extra(name="attention", kind="attention")
        further = Trial.model_validate({**each.model_dump(), "extra": extra})
        records["attention"] = run_trial(further, parts)
    ends = [checkpoints(folder / name).final().meta["last_sha256"] for name in ("whole", "parts")]
    names = ("whole", "parts") if PROCESSES == 1 else ()
    masks = {name: first_masks(folder / f"masks of {name}") for name in names}
    return {**records, "left": left, "ends": ends, "masks": masks}


def watch_masks() -> None:
    """Have each device note what the first drop-out layer lets through, in the folder that `MASKS` names."""
    import keras

    call = keras.layers.Dropout.call

    def watched(layer, inputs, training=False):
        found = call(layer, inputs, training=training)
        if training and layer.name == "embedding_dropout":
            _note(found != 0)
        return found

    keras.layers.Dropout.call = watched
    if BACKEND == "torch":  # whose other devices are processes, which need the same
        from studies.training.devices import others

        def start(command, **options):
            python, option, _, *arguments = command
            own = (python, option, "tests.studies.training.on_devices", "replica", *arguments)
            return subprocess.Popen(own, **options)

        names = ("PIPE", "TimeoutExpired")
        rest = {name: getattr(subprocess, name) for name in names}
        others.subprocess = SimpleNamespace(Popen=start, **rest)


def _note(mask) -> None:
    if BACKEND == "torch":
        from torch import distributed

        _save(mask.numpy(), distributed.get_rank())
    elif BACKEND == "tensorflow":
        import tensorflow as tf

        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        tf.numpy_function(_save, [mask, replica], [])
    else:  # one computation, of whose batch each device has a half
        import jax

        jax.debug.callback(lambda mask: list(map(_save, np.split(mask, 2), (0, 1))), mask)


def _save(mask: np.ndarray, device: int) -> None:
    folder = Path(os.environ[MASKS], str(device))
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{len(list(folder.iterdir())):03}.npy", mask)


def first_masks(folder: Path) -> list[list[np.ndarray]]:
    """Of both devices, in the first two steps."""
    return [
        [np.load(folder / device / f"{step:03}.npy") for step in (0, 1)] for device in ("0", "1")
    ]


def lasts(folder: Path) -> dict:
    dataset = image_folder(folder / "images")
    each = trial(dataset, "vit", devices=2, steps=10**6, validations=10**6 // 5)
    return run_trial(each, folder / "results")


def four_devices() -> None:
    """Has a backend see the processor as four devices."""
    make_devices(BACKEND, 4)
    if BACKEND == "tensorflow":
        import tensorflow as tf

        (cpu,) = tf.config.list_physical_devices("CPU")
        parts = [tf.config.LogicalDeviceConfiguration()] * 4
        tf.config.set_logical_device_configuration(cpu, parts)


if __name__ == "__main__":
    leave_out_others(BACKEND)  # as in a trial's own process
    if sys.argv[1] == "replica":
        from studies.training import replica

        del sys.argv[1]
        watch_masks()
        replica.main()
        sys.exit()
    if PROCESSES == 1:
        four_devices()
    elif sys.argv[1] == "equal":  # the trials of the others see to it themselves
        make_devices(BACKEND, 4 // PROCESSES)
    work = {"equal": equal, "resumed": resumed, "lasts": lasts}[sys.argv[1]]
    told = work(Path(sys.argv[2]))
    print(json.dumps(told, default=np.ndarray.tolist))
