"""Records of a study that was never run: known curves, known noise, for analysis and reports."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from studies.analysis.confusion import balanced_accuracy
from studies.analysis.outcomes import Outcomes
from studies.records.layout import outcomes_path
from studies.records.outcomes import save_outcomes
from studies.records.store import ResultsStore, new_record
from studies.study.file import to_toml
from studies.study.study import Study
from studies.study.trial import Trial

SIZES = (500, 1000, 2000, 5000, 10000, 20000, 50000)
COUNTS = {"train": 54000, "validation": 6000, "test": 2000}
OFFICIAL = {"train": 60000, "test": 2000}
CLASSES = 10


def vit_error(x: np.ndarray | float) -> np.ndarray:
    return 4.5 * np.asarray(x, dtype=float) ** -0.36  # crosses resnet_error at 7,651


def resnet_error(x: np.ndarray | float) -> np.ndarray:
    return 2.2 * np.asarray(x, dtype=float) ** -0.28


def slow_vit_error(x: np.ndarray | float) -> np.ndarray:
    return 3.4 * np.asarray(x, dtype=float) ** -0.31  # crosses resnet_error far beyond the data


Curves = Mapping[str, Callable[[Any], np.ndarray]]
CURVES: Curves = {"vit-s": vit_error, "bit-s": resnet_error, "vit-m": slow_vit_error}


def make_study(
    models: Sequence[str] = ("vit-s", "bit-s", "vit-m"),
    sizes: Sequence[int] = SIZES,
    seeds: int = 3,
    backends: Sequence[str] = ("tensorflow",),
    name: str = "data-scale",
    classes: Sequence[str] = tuple(f"class {i}" for i in range(CLASSES)),
    test: int = COUNTS["test"],
) -> Study:
    """A study of models of the names vit-* and bit-*."""
    vit = {"base": "ViT-Ti/4", "overrides": {"hidden_size": 64, "num_layers": 4}}
    bit = {"base": "BiT-R50x1", "overrides": {"stem": "small", "width_factor": 0.125}}
    return Study.model_validate(
        {
            "question": "At how many training images does a ViT catch up with a ResNet?",
            "command": "python -m studies run data-scale",
            "name": name,
            "dataset": "fashion_mnist",
            "sizes": list(sizes),
            "seeds": seeds,
            "backends": list(backends),
            "recipe": {"steps": 10000},
            "models": {m: bit if m.startswith("bit") else vit for m in models},
            "data": {
                "name": "fashion_mnist",
                "fingerprint": "0123",
                "image_shape": [28, 28, 1],
                "num_classes": len(classes),
                "counts": COUNTS | {"test": test},
                "official": OFFICIAL | {"test": test},
                "class_names": list(classes),
            },
        }
    )


def make_records(
    study: Study,
    noise: float = 0.03,
    rng_seed: int = 0,
    curves: Curves = CURVES,
    schema: int = 2,
) -> list[dict[str, Any]]:
    """One finished record for every trial of the study; the noise is that of log error."""
    flops = {"vit-s": 21_800_000, "bit-s": 20_900_000, "vit-m": 32_400_000}
    params = {"vit-s": 140_000, "bit-s": 210_000, "vit-m": 207_000}
    rng = np.random.default_rng(rng_seed)
    records = []
    assert study.data is not None
    test = study.data.counts["test"]
    for trial in study.trials(study.data):
        model = trial.model.name
        error = float(np.minimum(curves[model](trial.size) * np.exp(rng.normal(0, noise)), 0.9))
        error = round(error * test) / test  # of so many images
        steps = np.arange(500, 10001, 500)
        rise = 1 - np.exp(-steps / 1500)
        history = [
            {
                "epoch": i + 1,
                "step": int(step),
                "loss": 1.0,
                "top1": 0.5,
                "val_top1": float((1 - error) * up + rng.normal(0, 0.003)),
                "val_loss": 1.0,
            }
            for i, (step, up) in enumerate(zip(steps, rise, strict=True))
        ]
        records.append(
            {
                "schema": schema,
                "trial_id": trial.trial_id,
                "pretrain_id": trial.pretrain_id,
                "study": study.name,
                "dataset": study.dataset,
                "image_shape": list(trial.image_shape),
                "num_classes": trial.num_classes,
                "model": model,
                "base": trial.model.base,
                "size": trial.size,
                "seed": trial.seed,
                "backend": trial.backend,
                "steps": trial.recipe.steps,
                "batch_size": trial.recipe.batch_size,
                "versions": {"python": "3.11.2", "keras": "3.15.1", trial.backend: "1.0"},
                "commit": "abcdef0",
                "threads": 1,
                "cores": 1,
                "device": "cpu",
                "status": "done",
                "metrics": {
                    "test_top1": 1 - error,
                    "test_loss": 2 * error,
                    "val_top1": 1 - error + 0.001,
                    **{
                        f"fewshot_{shots}": (1 - error) * (0.55 + 0.12 * i)
                        for i, shots in enumerate((1, 5, 10, 25))
                    },
                },
                "history": history,
                "best_step": 9000,
                "flops": flops.get(model, 20_000_000),
                "params": params.get(model, 150_000),
                "seconds": 120.0,
                "images_per_second": 11000.0,
            }
        )
    return records


def make_kind(content: Mapping[str, Any], test: int = 400) -> Study:
    """A study of some kind, with factors or a pre-training: a vit-s and a bit-s, unless it says others.

    Args:
        content: of its file.
        test: number of test images.
    """
    study = make_study(["vit-s", "bit-s"], [500, 5000], 2, test=test).model_dump(mode="json")
    data = study["data"]
    others = {"shapes at 28": data | {"name": "shapes", "fingerprint": "4567"}}
    return Study.model_validate({**study, "other_data": others, **content})


def kind_records(
    study: Study,
    error: Callable[[Trial], float],
    metrics: Callable[[Trial], dict[str, float]] = lambda trial: {},
    noise: float = 0.02,
) -> list[dict[str, Any]]:
    """One finished record for every trial of a study of any kind.

    Args:
        study: from `make_kind`.
        error: of a trial, before noise.
        metrics: of a trial with a further evaluation.
        noise: standard deviation of log error.
    """
    rng = np.random.default_rng(0)
    assert study.data is not None
    test = study.data.counts["test"]
    records = []
    for trial in study.trials(study.data):
        wrong = round(min(error(trial) * float(np.exp(rng.normal(0, noise))), 0.9) * test) / test
        own = {"test_top1": 1 - wrong, "val_top1": 1 - wrong, "fewshot_1": (1 - wrong) / 2}
        start = trial.start
        before = start and {"size": start.size, "steps": start.recipe.steps, "dataset": "shapes"}
        records.append(
            {
                **new_record(trial),
                "schema": 2,
                "status": "done",
                "evaluation": trial.extra.name if trial.extra else "standard",
                "base_model": trial.base_model,
                "levels": trial.levels,
                "pretraining": before,
                "metrics": metrics(trial) if trial.extra else own,
                "history": [],
                "flops": 10_000_000,
                "params": 100_000,
                "seconds": 60.0,
                "images_per_second": 5000.0,
            }
        )
    return records


def make_outcomes(
    study: Study,
    record: Mapping[str, Any],
    shares: Sequence[float] | None = None,
    mislabelled: int = 0,
    blind: bool = False,
) -> Outcomes:
    """Outcomes on one test set, the same for all trials, that give the record's accuracy.

    Args:
        study: whose test set it is.
        record: a finished trial's.
        shares: of the classes in the test set; equal by default.
        mislabelled: so many images, the first ones, are given by all to the class after their label.
        blind: the model names the commonest class always.
    """
    assert study.data is not None
    number, classes = study.data.counts["test"], study.data.num_classes
    rng = np.random.default_rng(7)  # the test set and how hard each image is
    shares = np.full(classes, 1 / classes) if shares is None else np.array(shares)
    label = np.sort(np.searchsorted(np.cumsum(shares), (np.arange(number) + 0.5) / number))
    label = rng.permutation(np.minimum(label, classes - 1))
    hard = rng.normal(size=number)
    own = np.random.default_rng(int(record["trial_id"], 16))
    hard = hard + own.normal(0, 0.7, size=number)
    right = np.zeros(number, bool)
    hard[:mislabelled] = np.inf
    right[np.argsort(hard)[: round(record["metrics"]["test_top1"] * number)]] = True
    step = 1 + own.geometric(0.5, size=number) % max(classes - 1, 1)
    predicted = np.where(right, label, (label + step) % classes)
    predicted[:mislabelled] = (label[:mislabelled] + 1) % classes
    if blind:
        predicted[:] = np.argmax(shares)
    confidence = np.clip(own.normal(np.where(right, 0.9, 0.55), 0.05), 1 / classes, 1.0)
    confidence[:mislabelled] = 0.99
    return Outcomes(
        seed=record["seed"],
        image=60000 + np.arange(number),
        group=60000 + np.arange(number),
        label=label,
        predicted=predicted,
        confidence=confidence,
        label_probability=np.where(predicted == label, confidence, (1 - confidence) / 2),
    )


def write_folder(
    folder: Path,
    study: Study,
    records: list[dict[str, Any]],
    outcomes: bool = True,
    **options: Any,
) -> Path:
    """A results folder as `run` leaves it before the report.

    Args:
        folder: to be written.
        study, records: its content.
        outcomes: whether to write those of the finished records of schema 2.
        options: of `make_outcomes`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.toml").write_text(to_toml(study), encoding="utf-8")
    store = ResultsStore(folder / "trials.jsonl")
    for record in records:
        standard = record.get("evaluation", "standard") == "standard"
        if outcomes and standard and record["status"] == "done" and record["schema"] > 1:
            said = make_outcomes(study, record, **options)
            record["metrics"]["test_top1"] = float(said.correct.mean())
            record["metrics"]["test_balanced"] = balanced_accuracy(said)
            save_outcomes(outcomes_path(folder, record["trial_id"]), said)
        store.append(record)
    return folder
