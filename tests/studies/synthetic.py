"""Records of a study that was never run: known curves, known noise, for analysis and reports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from studies.records.store import ResultsStore
from studies.study.file import to_toml
from studies.study.study import Study

SIZES = (500, 1000, 2000, 5000, 10000, 20000, 50000)
COUNTS = {"train": 54000, "validation": 6000, "test": 10000}


def vit_error(x: np.ndarray | float) -> np.ndarray:
    return 4.5 * np.asarray(x, dtype=float) ** -0.36  # crosses resnet_error at 7,651


def resnet_error(x: np.ndarray | float) -> np.ndarray:
    return 2.2 * np.asarray(x, dtype=float) ** -0.28


def slow_vit_error(x: np.ndarray | float) -> np.ndarray:
    return 3.4 * np.asarray(x, dtype=float) ** -0.31  # crosses resnet_error far beyond the data


CURVES: dict[str, Callable[[Any], np.ndarray]] = {
    "vit-s": vit_error,
    "bit-s": resnet_error,
    "vit-m": slow_vit_error,
}


def make_study(
    models: Sequence[str] = ("vit-s", "bit-s", "vit-m"),
    sizes: Sequence[int] = SIZES,
    seeds: int = 3,
    backends: Sequence[str] = ("tensorflow",),
    name: str = "data-scale",
) -> Study:
    entries = {
        "vit-s": {"base": "ViT-Ti/4", "overrides": {"hidden_size": 64, "num_layers": 4}},
        "bit-s": {"base": "BiT-R50x1", "overrides": {"stem": "small", "width_factor": 0.125}},
        "vit-m": {"base": "ViT-Ti/4", "overrides": {"hidden_size": 64, "num_layers": 6}},
    }
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
            "models": {model: entries[model] for model in models},
            "data": {
                "name": "fashion_mnist",
                "fingerprint": "0123",
                "image_shape": [28, 28, 1],
                "num_classes": 10,
                "counts": COUNTS,
            },
        }
    )


def make_records(study: Study, noise: float = 0.03, rng_seed: int = 0) -> list[dict[str, Any]]:
    """One finished record for every trial of the study; the noise is that of log error."""
    flops = {"vit-s": 21_800_000, "bit-s": 20_900_000, "vit-m": 32_400_000}
    params = {"vit-s": 140_000, "bit-s": 210_000, "vit-m": 207_000}
    rng = np.random.default_rng(rng_seed)
    records = []
    assert study.data is not None
    for trial in study.trials(study.data):
        model = trial.model.name
        error = float(np.minimum(CURVES[model](trial.size) * np.exp(rng.normal(0, noise)), 0.9))
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
                "schema": 1,
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
                "flops": flops[model],
                "params": params[model],
                "seconds": 120.0,
                "images_per_second": 11000.0,
            }
        )
    return records


def write_folder(folder: Path, study: Study, records: list[dict[str, Any]]) -> Path:
    """A results folder as `run` leaves it before the report."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.toml").write_text(to_toml(study), encoding="utf-8")
    store = ResultsStore(folder / "trials.jsonl")
    for record in records:
        store.append(record)
    return folder
