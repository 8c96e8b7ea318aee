"""A trial in its own process: killed at any moment it ends with the bits of one left alone."""

import errno
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studies import data
from studies.data import describe
from studies.data.scramble import Scramble
from studies.errors import TrialError
from studies.inspection.scrambling import as_trained
from studies.records.checkpoints import checkpoint_folder
from studies.records.layout import outcomes_path
from studies.records.outcomes import load_outcomes
from studies.study.entries import ModelEntry
from studies.study.recipe import Evaluation, Recipe
from studies.study.trial import Trial
from studies.training import trial as trial_module
from studies.training.checkpoint import load
from studies.training.trial import reason, run_trial

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """A small folder of images: two classes, told apart by where they are bright."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for split, count in (("train", 40), ("val", 12), ("test", 20)):
        for label in range(2):
            folder = root / split / f"class{label}"
            folder.mkdir(parents=True)
            for index in range(count):
                image = rng.integers(0, 160, (16, 16, 3)).astype(np.uint8)
                image[:, 8 * label : 8 * label + 8] += 60
                Image.fromarray(image).save(folder / f"{index}.png")
    return root


@pytest.fixture(scope="session")
def make_trial(images, backend):
    def make(**recipe):
        name = f"folder:{images}"
        info = describe(name, 16)
        overrides = {
            "num_layers": 2,
            "hidden_size": 8,
            "mlp_dim": 16,
            "num_heads": 2,
            "dropout_rate": 0.2,
            "attention_dropout_rate": 0.1,
        }
        return Trial(
            study="test",
            dataset=name,
            data_fingerprint=info.fingerprint,
            image_shape=info.image_shape,
            num_classes=info.num_classes,
            image_size=16,
            size=70,
            seed=1,
            backend=backend,
            model=ModelEntry(name="vit", base="ViT-Ti/8", overrides=overrides),
            recipe=Recipe(
                **{
                    "steps": 24,
                    "batch_size": 8,
                    "validations": 8,
                    "learning_rate": 3e-3,
                    "augmentation": "crop_flip",
                    "randaugment_layers": 1,
                    "random_erasing": 0.2,
                    "mixup": 0.2,
                    "cutmix": 1.0,
                    "label_smoothing": 0.1,
                    "stochastic_depth_rate": 0.3,
                    "scramble": 2,
                    **recipe,
                }
            ),
            evaluation=Evaluation(shots=(1, 5, 25)),
        )

    return make


@pytest.fixture(scope="session")
def alone(make_trial, tmp_path_factory):
    """A trial that is left alone: itself, its results folder and its record."""
    trial, results = make_trial(), tmp_path_factory.mktemp("alone")
    record = run_trial(trial, results)
    assert record["status"] == "done"
    return trial, results, record


# Does something when a checkpoint is whole, but not in its place yet: waits to be killed, or dies.
AT_RENAMING = """
import os, signal, sys, time
rename = os.replace
def replace(source, target):
    if str(target).endswith("state-{index:06d}.ckpt"):
        {action}
    rename(source, target)
os.replace = replace
from studies.training.trial import main
sys.exit(main())
"""
WAIT = "time.sleep(600)"
DIE = "os.kill(os.getpid(), signal.SIGKILL)"


def start(trial, results, code=None):
    spec = results / "trial.json"
    results.mkdir(exist_ok=True)
    spec.write_text(trial.model_dump_json())
    program = ["-c", code] if code else ["-m", "studies.training.trial"]
    return subprocess.Popen(
        [sys.executable, *program, str(spec), "--results", str(results)],
        cwd=ROOT,
        env={
            **os.environ,
            "KERAS_BACKEND": trial.backend,
            "PYTHONPROFILEIMPORTTIME": "1",  # every module that is loaded, in the log
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=(results / "log").open("a"),
        text=True,
    )


def next_event(process, kind):
    for line in process.stdout:
        event = json.loads(line)  # every line of stdout is an event
        if event["event"] == kind:
            return event
    return None


def finish(process):
    event = next_event(process, "record")
    code = process.wait(300)
    process.stdin.close()
    process.stdout.close()
    return event["record"] if event else None, code


def same_bits(record, other):
    same = ("history", "metrics", "weights_sha256", "best_step", "trial_id", "threads", "params")
    return {name: record[name] == other[name] for name in same}


@pytest.mark.timeout(1800)
def test_a_killed_trial_ends_with_the_same_bits(alone, tmp_path):
    trial, undisturbed, left_alone = alone
    results = tmp_path / "killed"
    moments = random.Random(2)
    # Killed at a random moment after its second checkpoint; however late that is on a busy machine,
    # it waits with its fifth, so that there is something left for the next two to do.
    process = start(trial, results, AT_RENAMING.format(index=5, action=WAIT))
    next_event(process, "progress")
    next_event(process, "progress")
    time.sleep(moments.uniform(0, 0.05))
    process.kill()
    assert finish(process)[1] == -signal.SIGKILL
    folder = checkpoint_folder(results, trial)
    reached = max(int(path.stem[-6:]) for path in folder.glob("state-*.ckpt"))
    assert 2 <= reached < 5
    # Killed while it writes the next but one.
    process = start(trial, results, AT_RENAMING.format(index=reached + 2, action=DIE))
    assert finish(process) == (None, -signal.SIGKILL)
    unfinished = f"state-{reached + 2:06d}"
    assert not (folder / f"{unfinished}.ckpt").exists() and list(
        folder.glob(f".tmp-*{unfinished}*")
    )
    # And the newest whole checkpoint is torn, as by a full disk or a power cut.
    newest = folder / f"state-{reached + 1:06d}.ckpt"
    newest.write_bytes(newest.read_bytes()[:-1000])

    (results / "log").unlink()
    process = start(trial, results)
    assert next_event(process, "start")["step"] == 3 * reached
    record, code = finish(process)
    assert code == 0 and record["processes"] > 1
    assert all(same_bits(record, left_alone).values()), same_bits(record, left_alone)
    # What took a millisecond or more: a module that is only looked for is listed as well.
    log = (results / "log").read_text()
    loaded = re.findall(r"\| +\d{4,} \| +([\w.]+)$", log, re.MULTILINE)
    slow = {"matplotlib", "pandas", "scipy.stats", "sklearn", "jax", "tensorflow", "torch"}
    assert "keras_vit" in loaded and slow & set(loaded) <= {trial.backend}
    last = [
        load(checkpoint_folder(place, trial) / "final.ckpt").meta["last_sha256"]
        for place in (results, undisturbed)
    ]
    assert last[0] == last[1]
    assert {path.name for path in folder.iterdir()} == {
        "best.json",
        "best.keras",
        "final.ckpt",
        "lock",
        "threads.json",
    }

    # The same weights under another evaluation are evaluated, not trained again.
    other = trial.model_copy(update={"evaluation": Evaluation(shots=(2,))})
    assert other.trial_id != trial.trial_id and other.pretrain_id == trial.pretrain_id
    steps = []
    again = run_trial(
        other, results, lambda event: steps.append(event.get("step")) if event else None
    )
    assert steps[0] == 24
    assert set(again["metrics"]) >= {"test_top1", "fewshot_2"}
    assert again["metrics"]["test_top1"] == record["metrics"]["test_top1"]
    check_record(left_alone, trial)
    check_outcomes(results / "test", record, again)


def check_outcomes(folder, *records):
    """Each record's outcomes lie beside it, and its accuracies are theirs."""
    for record in records:
        said = load_outcomes(outcomes_path(folder, record["trial_id"]))
        assert said.seed == 1 and len(said) == record["images"]["test"] == 40
        assert said.correct.mean() == record["metrics"]["test_top1"]
        recalls = [said.correct[said.label == label].mean() for label in range(2)]
        assert np.mean(recalls) == pytest.approx(record["metrics"]["test_balanced"])
        # The mean of minus log probability is the cross-entropy; half precision is good for 0.1 %.
        loss = -np.mean(np.log(said.label_probability))
        assert loss == pytest.approx(record["metrics"]["test_loss"], rel=2e-3)


def check_record(record, trial):
    assert record["trial_id"] == trial.trial_id and record["pretrain_id"] == trial.pretrain_id
    assert (record["study"], record["model"], record["size"], record["seed"]) == (
        "test",
        "vit",
        70,
        1,
    )
    metrics = record["metrics"]
    # Validation has 12 images a class, so 25 shots are left out.
    assert set(metrics) == {
        "test_top1",
        "test_balanced",
        "test_loss",
        "val_top1",
        "val_loss",
        "fewshot_1",
        "fewshot_5",
    }
    assert metrics["test_top1"] * 40 == pytest.approx(round(metrics["test_top1"] * 40))
    # The queries are the 40 test images, in each of three draws.
    assert metrics["fewshot_1"] * 120 == pytest.approx(round(metrics["fewshot_1"] * 120))
    assert [entry["step"] for entry in record["history"]] == [3, 6, 9, 12, 15, 18, 21, 24]
    assert record["flops"] > record["params"] > 0
    assert record["seconds"] > 0 and record["images_per_second"] > 0
    assert 0 < record["waiting"] < 1
    assert record["steps"] == 24 and record["threads"] == 1 and record["cores"] >= 1
    assert {"python", "keras", "numpy", trial.backend} <= set(record["versions"])
    assert record["device"].startswith(("cpu (", "gpu ("))
    assert record["commit"].removesuffix("-dirty").isalnum()
    json.dumps(record, allow_nan=False)


def test_a_trial_ends_when_its_driver_closes_the_pipe(make_trial, tmp_path):
    process = start(make_trial(steps=100_000, validations=1), tmp_path)
    assert next_event(process, "start")
    process.stdin.close()
    assert process.wait(60) == 3
    process.stdout.close()


# What a user does, who has never heard of the studies.
READ_BEST = """
import sys
import keras, numpy as np
import keras_vit
model = keras.saving.load_model(sys.argv[1])
assert not model.compiled and "studies" not in sys.modules
images = keras_vit.preprocess_input(np.load(sys.argv[2]))
np.save(sys.argv[2], keras.ops.convert_to_numpy(model.predict_on_batch(images)).astype("float32"))
"""


def test_the_best_model_is_an_ordinary_keras_file(alone, tmp_path):
    trial, results, record = alone
    test = data.load(trial.dataset, trial.image_size).replicate(trial.seed).test
    path = tmp_path / "images.npy"
    best = checkpoint_folder(results, trial) / "best.keras"
    seen = Scramble(2, trial.seed, trial.image_shape)(test.images)  # as it was trained
    np.testing.assert_array_equal(as_trained(np.asarray(test.images), best), seen)
    np.save(path, seen)
    subprocess.run([sys.executable, "-c", READ_BEST, str(best), str(path)], cwd=ROOT, check=True)
    found = np.load(path).argmax(-1) == test.labels
    assert found.mean() == record["metrics"]["test_top1"]


def test_failures_are_records_with_one_sentence(make_trial, tmp_path, backend, capsys):
    events = []
    nan = make_trial(learning_rate=1e25, warmup_fraction=0.0)
    record = run_trial(nan, tmp_path, events.append)
    assert events[-1] == {"event": "record", "record": record}
    assert record["status"] == "failed" and "lower the learning rate" in record["reason"]
    assert "dtype" not in record["reason"]  # it is float32 already
    assert "metrics" not in record and record["seconds"] > 0
    other = "jax" if backend != "jax" else "torch"
    wrong = make_trial().model_copy(update={"backend": other})
    assert f"KERAS_BACKEND={other}" in run_trial(wrong, tmp_path)["reason"]
    changed = make_trial().model_copy(update={"data_fingerprint": "another"})
    assert "has changed" in run_trial(changed, tmp_path)["reason"]


@pytest.mark.once
@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 12 bytes"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_out_of_memory_says_what_to_do(make_trial, error):
    assert "smaller batch_size (8)" in reason(error, make_trial())


@pytest.mark.once
def test_a_full_disk_says_what_to_do(make_trial):
    text = reason(OSError(errno.ENOSPC, "No space left on device"), make_trial())
    assert (
        "disk of the results folder is full" in text
        and "$TMPDIR" in text
        and "run the failed trials again" in text
    )


@pytest.mark.once
def test_a_disk_that_fails_is_named_with_what_to_do(make_trial):
    text = reason(OSError(errno.EIO, "Input/output error", "runs/state-000002.ckpt"), make_trial())
    assert text == (
        "runs/state-000002.ckpt cannot be read or written (Input/output error): mend that, then run the "
        "failed trials again, which continues from the last checkpoint."
    )


@pytest.mark.once
def test_other_errors_keep_their_first_line(make_trial):
    assert reason(TrialError("Lost."), make_trial()) == "Lost."
    assert reason(ValueError("bad\nmore"), make_trial()) == "ValueError: bad"
    assert reason(ValueError(), make_trial()) == "ValueError:"


@pytest.mark.once
def test_a_second_process_waits_for_the_first(make_trial, tmp_path, monkeypatch):
    import threading

    import filelock

    trial = make_trial()
    entered = threading.Event()
    monkeypatch.setattr(
        trial_module, "_finish_and_evaluate", lambda *arguments: entered.set() or {"metrics": {}}
    )
    folder = checkpoint_folder(tmp_path, trial)
    folder.mkdir(parents=True)
    with filelock.FileLock(folder / "lock"):
        thread = threading.Thread(target=run_trial, args=(trial, tmp_path))
        thread.start()
        assert not entered.wait(0.5)
    assert entered.wait(10)
    thread.join()


@pytest.mark.once
@pytest.mark.parametrize("content", [None, "", "{}", '{"study": "x", "steps": 3}'])
def test_a_bad_description_is_one_sentence(tmp_path, content):
    spec = tmp_path / "trial.json"
    if content is not None:
        spec.write_text(content)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "studies.training.trial",
            str(spec),
            "--results",
            str(tmp_path / "results"),
        ],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith(f"error: {spec} is not the description of a trial: ")
    assert not (tmp_path / "results").exists()
