"""Real learning curves: to learn the priors of forecasts from, and to judge forecasts by.

Three sources: published curves of large vision models (smoothed by their authors up to a size, raw beyond
it), those of classical learners on data sets made from images, and the studies committed here. The heads of
the files in `curves/` name their origin and licence.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from studies.analysis.scaling_law import FEWEST_SIZES
from studies.records.store import ResultsStore

CURVES = Path(__file__).with_name("curves")

# Classes of the few-shot tasks: Caltech-UCSD Birds, CIFAR-100, Caltech-101, ImageNet.
_CLASSES = {"bird_10": 200, "c_10": 100, "cal_10": 101, "inet_10": 1000}


@dataclass(frozen=True)
class KnownCurve:
    """One model's errors by number of training images.

    Attributes:
        source: "few-shot", "learners" or "studies".
        task: what it was measured on; curves of one task resemble each other.
        model: whose it is.
        classes: number of classes.
        sizes, errors: one entry a result.
        seeds: one a result; None where the entries are means, or smoothed.
        later: which results follow the smoothed part; all False where nothing is smoothed.
        scatter: standard deviation of a single result's error around these means, or None.
    """

    source: str
    task: str
    model: str
    classes: int
    sizes: np.ndarray
    errors: np.ndarray
    seeds: np.ndarray | None
    later: np.ndarray
    scatter: np.ndarray | None = None

    @property
    def chance_error(self) -> float:
        return 1.0 - 1.0 / self.classes

    def __str__(self) -> str:
        return f"{self.task} {self.model}"


def few_shot() -> list[KnownCurve]:
    """Few-shot errors of models pre-trained on JFT, against the examples seen."""
    return [
        KnownCurve(
            "few-shot", task, model, _CLASSES[task],
            _column(rows, "examples"), _column(rows, "error"), None, _column(rows, "training") == 0,
        )
        for (task, model), rows in _groups("few_shot.csv", "task", "model")
    ]  # fmt: skip


def learners() -> list[KnownCurve]:
    """Mean test errors of classical learners on data sets made from images."""
    return [
        KnownCurve(
            "learners", task, model, int(rows[0]["classes"]),
            _column(rows, "examples"), _column(rows, "error"), None, np.zeros(len(rows), bool),
            _column(rows, "sd"),
        )
        for (task, model), rows in _groups("lcdb.csv", "data", "learner")
    ]  # fmt: skip


def studies(folder: Path) -> list[KnownCurve]:
    """Balanced test errors of the studies in a folder of results, where sizes are enough for a law."""
    found = []
    for file in sorted(folder.glob("*/trials.jsonl")):
        records = [r for r in ResultsStore(file).records() if r["status"] == "done"]
        records.sort(key=lambda r: (r["model"], r["backend"], r["size"], r["seed"]))
        for (model, _), group in groupby(records, key=lambda r: (r["model"], r["backend"])):
            mine = list(group)
            sizes = np.array([r["size"] for r in mine], dtype=float)
            if len(np.unique(sizes)) < FEWEST_SIZES:
                continue
            # Of uneven classes top-1 does not start from the error of guessing; older records are of even ones.
            right = [r["metrics"].get("test_balanced", r["metrics"]["test_top1"]) for r in mine]
            errors = 1.0 - np.array(right)
            seeds = np.array([r["seed"] for r in mine])
            task, classes = mine[0]["dataset"], int(mine[0]["num_classes"])
            later = np.zeros(len(mine), bool)
            found.append(KnownCurve("studies", task, model, classes, sizes, errors, seeds, later))
    return found


def _groups(name: str, *keys: str) -> Iterator[tuple[tuple[str, ...], list[dict[str, str]]]]:
    with (CURVES / name).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    for key, group in groupby(rows, key=lambda row: tuple(row[k] for k in keys)):
        yield key, list(group)


def _column(rows: list[dict[str, str]], name: str) -> np.ndarray:
    return np.array([float(row[name]) for row in rows])
