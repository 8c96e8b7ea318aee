"""All that a study's records say about one metric: means, laws, pairs of models, crossings."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from studies.analysis.crossing import Crossing, crossing, measured_crossing
from studies.analysis.intervals import differences_by_size, means_by_size
from studies.analysis.scaling_law import ScalingLaw, fit_scaling_law

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Pair:
    """Two models compared.

    Attributes:
        a, b: names; where there is a choice, a is the ViT and b the ResNet.
        differences: a - b by size, from `differences_by_size`.
        measured: where the measured means cross; None when the models share no size.
        laws: where the fitted laws cross; None when one of them has no law.
    """

    a: str
    b: str
    differences: pd.DataFrame
    measured: Crossing | None
    laws: Crossing | None


@dataclass(frozen=True)
class Findings:
    """What the records say about one metric on one backend.

    Attributes:
        metric, backend, level: what was analysed, and the confidence of all intervals.
        means: from `means_by_size`, this backend only.
        laws: fitted law by model.
        without_law: why a model has none, by model.
        pairs: comparisons, the main one first.
    """

    metric: str
    backend: str
    level: float
    means: pd.DataFrame
    laws: dict[str, ScalingLaw] = field(default_factory=dict)
    without_law: dict[str, str] = field(default_factory=dict)
    pairs: list[Pair] = field(default_factory=list)


def find(
    frame: pd.DataFrame,
    models: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    seed_text: str,
    num_classes: int | None = None,
    metric: str = "test_top1",
    backend: str | None = None,
    level: float = 0.9,
) -> Findings:
    """Analyses the finished trials of a study.

    Args:
        frame: one row a finished trial, with columns model, size, seed, backend and the metric (an
            accuracy in [0, 1]).
        models: names, in the order of the study.
        pairs: which to compare.
        seed_text: randomness is derived from this text (the study's name), so that equal records
            give equal intervals.
        num_classes: for the error of guessing; None if unknown.
        metric: name of a column.
        backend: None takes the one with most results.
        level: confidence of all intervals.
    """
    backend = main_backend(frame, metric) if backend is None else backend
    mine = frame[frame["backend"] == backend] if len(frame) else frame
    means = means_by_size(mine, metric, level)
    found = Findings(metric, backend, level, means)
    chance = 1.0 - 1.0 / num_classes if num_classes and num_classes > 1 else 1.0
    columns = {}
    for model in models:
        rows = mine[(mine["model"] == model) & mine[metric].notna()] if metric in mine else mine[:0]
        rows = rows.sort_values(["size", "seed"]) if len(rows) else rows
        if not len(rows):
            found.without_law[model] = "no finished trial"
            continue
        columns[model] = (
            rows["size"].to_list(),
            (1.0 - rows[metric]).to_list(),
            rows["seed"].to_list(),
        )
        # Named by model: a model added to the study must not change the others' intervals.
        rng = np.random.default_rng(_number(f"{seed_text}/{metric}/{backend}/{model}"))
        try:
            found.laws[model] = fit_scaling_law(*columns[model], rng=rng, chance_error=chance)
        except ValueError as error:
            found.without_law[model] = str(error)
    for a, b in pairs:
        if a not in columns or b not in columns:
            continue
        measured = None
        if set(columns[a][0]) & set(columns[b][0]):
            measured = measured_crossing(*columns[a], *columns[b], level=level)
        laws = None
        if a in found.laws and b in found.laws:
            laws = crossing(found.laws[a], found.laws[b], level)
        table = differences_by_size(mine, a, b, metric, level)
        found.pairs.append(Pair(a, b, table, measured, laws))
    return found


def main_backend(frame: pd.DataFrame, metric: str = "test_top1") -> str:
    """The backend with most results; of equals, the first in the records."""
    if not len(frame) or metric not in frame:
        return ""
    known = frame[frame[metric].notna()]
    counts = known["backend"].value_counts(sort=False)
    return "" if counts.empty else str(counts.idxmax())


def compared_pairs(
    families: dict[str, str], flops: dict[str, float | None]
) -> list[tuple[str, str]]:
    """Which models to compare: every ViT with every ResNet, matched FLOPs first.

    Args:
        families: "vit", "resnet" or another word, by model, in the study's order.
        flops: forward FLOPs of an image, by model; None if unknown.

    Returns:
        Pairs (a, b). Without both families, every two models.
    """
    names = list(families)
    vits = [name for name in names if families[name] != "resnet"]
    resnets = [name for name in names if families[name] == "resnet"]
    pairs = [(a, b) for a in vits for b in resnets]
    if not pairs:
        pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    return sorted(pairs, key=lambda pair: _mismatch(flops.get(pair[0]), flops.get(pair[1])))


def _mismatch(a: float | None, b: float | None) -> float:
    if not a or not b:
        return float("inf")
    # Only "matched" or not counts: among matched pairs the study's own order stays.
    off = abs(float(np.log(a / b)))
    return 0.0 if off <= np.log(1.1) else off


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
