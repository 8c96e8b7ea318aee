"""Results folders of studies that were never run: as many trials as one likes, with records and outcomes.

What lies in them is what runs leave, in the same files, of the real data set `digits`: its images and
their labels are those that a trial of a seed would be tested on. Accuracies follow a curve with noise.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from studies import data
from studies.analysis.confusion import balanced_accuracy
from studies.analysis.outcomes import Outcomes
from studies.records.layout import outcomes_path
from studies.records.outcomes import save_outcomes
from studies.records.store import Record, ResultsStore, described
from studies.study import file as study_file
from studies.study.study import Study
from studies.study.trial import Trial

SIZES = (60, 100, 150, 250, 400, 500, 600, 800, 1000, 1200)
LEVELS = 5  # of each of two factors
VALIDATIONS = 20  # of a trial
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "vit-s": ("ViT-Ti/4", {"hidden_size": 80, "num_layers": 2, "mlp_dim": 320, "num_heads": 4}),
    "vit-m": ("ViT-Ti/4", {"hidden_size": 80, "num_layers": 3, "mlp_dim": 320, "num_heads": 4}),
    "bit-s": ("BiT-R50x1", {"stem": "small", "block_counts": [1, 1], "width_factor": 0.3125}),
    "bit-m": ("BiT-R50x1", {"stem": "small", "block_counts": [1, 2], "width_factor": 0.3125}),
}  # by name: base and overrides
NARROW = {"bottleneck": False, "groups": 4}  # of the ResNets


def made_up_study(seeds: int, levels: int = LEVELS, sizes: tuple[int, ...] = SIZES) -> Study:
    """A study of four models, two factors and some sizes: 1,000 trials a seed by default.

    Args:
        seeds: number of seeds.
        levels: of each factor.
        sizes: numbers of training images.
    """
    rates = {f"rate {n}": {"recipe": {"learning_rate": 0.001 * n}} for n in range(1, levels + 1)}
    decays = {f"decay {n}": {"recipe": {"weight_decay": 0.01 * n}} for n in range(1, levels + 1)}
    models = {
        name: {"base": base, "overrides": overrides | (NARROW if name.startswith("bit") else {})}
        for name, (base, overrides) in MODELS.items()
    }
    raw = {
        "name": "made-up",
        "question": "What do a learning rate and a weight decay change?",
        "dataset": "digits",
        "sizes": list(sizes),
        "seeds": seeds,
        "backends": ["tensorflow"],
        "recipe": {"steps": 200, "batch_size": 64, "validations": VALIDATIONS},
        "evaluation": {"shots": [1, 5]},
        "models": models,
        "factors": {"rate": rates, "decay": decays},
    }
    return study_file.validate(raw, "made-up").resolved(data.describe("digits"))


def make_up(results: Path, study: Study) -> Path:
    """Write the results folder of a study, or what is missing of it: it may be cut short at any time.

    Args:
        results: the folder of all studies.
        study: from `made_up_study`.

    Returns:
        The study's own folder.
    """
    assert study.data is not None
    folder = results / study.name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.toml").write_text(study_file.to_toml(study), encoding="utf-8")
    store = ResultsStore(folder / "trials.jsonl")
    known = {record["trial_id"] for record in store.records(())}
    digits = data.load("digits")
    for seed, trials in groupby(study.each_trial(study.data), lambda trial: trial.seed):
        new = [trial for trial in trials if trial.trial_id not in known]
        if not new:
            continue
        tests = digits.replicate(seed).test
        lines = []
        for trial in new:
            outcomes = _outcomes(trial, tests)
            save_outcomes(outcomes_path(folder, trial.trial_id), outcomes, durable=False)
            lines.append(json.dumps(_record(trial, outcomes)))
        with store.path.open("a", encoding="utf-8") as file:  # all of a seed at once: it is quicker
            file.write("\n".join(lines) + "\n")
    return folder


def made_up_events(trial: Trial) -> Iterator[dict[str, Any]]:
    """What the process of a trial would say: its start, some progress, its record."""
    steps = trial.recipe.steps
    yield {"event": "start", "step": 0, "steps": steps}
    for step in range(steps // VALIDATIONS, steps + 1, steps // VALIDATIONS):
        yield {"event": "progress", "step": step, "steps": steps, "val_top1": 0.5}
    yield {"event": "record", "record": _record(trial, None)}


def _outcomes(trial: Trial, tests: data.Split) -> Outcomes:
    rng = np.random.default_rng([int(trial.trial_id, 16), 1])
    resnet = trial.base_model is not None and trial.base_model.startswith("bit")
    error = (2.2 if resnet else 3.0) * trial.size ** (-0.45 if resnet else -0.5)
    error *= trial.recipe.learning_rate / 0.003 * 0.1 + 0.9
    right = rng.random(len(tests)) >= error * np.exp(rng.normal(0, 0.05))
    classes = trial.num_classes
    predicted = np.where(right, tests.labels, (tests.labels + 1 + rng.geometric(0.5)) % classes)
    confidence = np.clip(rng.normal(np.where(right, 0.9, 0.55), 0.05), 1 / classes, 1.0)
    return Outcomes(
        seed=trial.seed,
        image=np.asarray(tests.ids),
        group=tests.groups,
        label=tests.labels,
        predicted=predicted,
        confidence=confidence,
        label_probability=np.where(predicted == tests.labels, confidence, (1 - confidence) / 2),
    )


def _record(trial: Trial, outcomes: Outcomes | None) -> Record:
    rng = np.random.default_rng([int(trial.trial_id, 16), 2])
    top1 = 0.9 if outcomes is None else float(outcomes.correct.mean())
    balanced = 0.9 if outcomes is None else balanced_accuracy(outcomes)
    every = trial.recipe.steps // VALIDATIONS
    flops = 1_600_000 if trial.model.name.split()[0].endswith("s") else 2_400_000
    return {
        "flops": flops,
        "params": 60_000,
        "compute": 3.0 * flops * trial.recipe.steps * trial.recipe.batch_size,
        "threads": 1,
        "cores": 1,
        "device": "none",
        "seconds": float(rng.uniform(10, 12)),
        "images_per_second": float(rng.uniform(2500, 3000)),
        "waiting": 0.02,
        "processes": 1,
        "best_step": trial.recipe.steps,
        "weights_sha256": trial.training_id * 4,
        "learning_rate": trial.recipe.learning_rate,
        "metrics": {
            "test_top1": top1,
            "test_balanced": balanced,
            "test_loss": 1.5 * (1 - top1),
            "fewshot_1": 0.7 * top1,
            "fewshot_5": 0.9 * top1,
            "val_top1": min(1.0, top1 + float(rng.normal(0, 0.01))),
            "val_loss": 1.5 * (1 - top1),
        },
        "history": [
            {
                "epoch": number,
                "step": number * every,
                "loss": float(rng.uniform(0.01, 2)),
                "top1": float(rng.uniform(0.5, 1)),
                "val_loss": float(rng.uniform(0.6, 2)),
                "val_top1": top1 * (1 - 0.5**number),
            }
            for number in range(1, VALIDATIONS + 1)
        ],
        "rates": {},
        **described(trial),
        "versions": {"python": "3", "keras": "3", "numpy": "2", trial.backend: "1"},
        "commit": "none",
        "images": {"train": 1258, "validation": 180, "test": 359},
        "peak_memory": int(rng.integers(700_000_000, 800_000_000)),
        "devices": ["none"],
        "status": "done",
    }
