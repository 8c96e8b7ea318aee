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

from studies.analysis.findings import leading
from studies.analysis.trend import FEWEST_SIZES
from studies.records.frames import read_results

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
    """Test errors of the studies in a folder of results, of curves with sizes enough for a law.

    They are those that a report's laws are fitted to: of balanced accuracy where classes are uneven.
    """
    found = []
    for file in sorted(folder.glob("*/trials.jsonl")):
        results = read_results(file.parent)
        for _, done in results.frame.groupby("backend"):
            metric, table = leading(done, results.source)
            for model, rows in table.sort_values(["size", "seed"]).groupby("model"):
                sizes = rows["size"].to_numpy(float)
                if results.num_classes is None or len(np.unique(sizes)) < FEWEST_SIZES:
                    continue
                errors, seeds = 1.0 - rows[metric].to_numpy(float), rows["seed"].to_numpy(int)
                later, task = np.zeros(len(rows), bool), results.study.data_title
                found.append(
                    KnownCurve(
                        "studies",
                        task,
                        str(model),
                        results.num_classes,
                        sizes,
                        errors,
                        seeds,
                        later,
                    )
                )
    return found


def _groups(name: str, *keys: str) -> Iterator[tuple[tuple[str, ...], list[dict[str, str]]]]:
    with (CURVES / name).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    for key, group in groupby(rows, key=lambda row: tuple(row[k] for k in keys)):
        yield key, list(group)


def _column(rows: list[dict[str, str]], name: str) -> np.ndarray:
    return np.array([float(row[name]) for row in rows])
