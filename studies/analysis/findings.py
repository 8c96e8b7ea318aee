"""All that a study's records say about one metric: means, verdicts, laws, crossings."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from studies.analysis.by_size import (
    BALANCED,
    TOP1,
    Source,
    difference_estimates,
    differences_table,
    mean_estimates,
    means_table,
    rows_of,
)
from studies.analysis.confusion import balanced_accuracy
from studies.analysis.crossing import Crossing, crossing
from studies.analysis.estimate import Estimate
from studies.analysis.scaling_law import ScalingLaw, fit_scaling_law
from studies.analysis.undertrained import Training
from studies.analysis.verdict import (
    LEARNED_NOTHING,
    UNDERTRAINED,
    Verdict,
    baseline,
    decide,
    is_uneven,
    learned_nothing,
)

if TYPE_CHECKING:
    import pandas as pd

_EQUAL = 1e-6  # accuracies that differ by less are one number, rounded in two ways


@dataclass(frozen=True)
class Pair:
    """Two models compared.

    Attributes:
        a, b: names; where there is a choice, a is the ViT and b the ResNet.
        differences: a - b by size, as `differences_by_size` gives them.
        laws: where the fitted laws cross; None when one of them has no law.
        verdicts: by size, ascending.
    """

    a: str
    b: str
    differences: pd.DataFrame
    laws: Crossing | None
    verdicts: Mapping[int, Verdict] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict | None:
        """The verdict at the largest size of both; None when they share no size."""
        return self.verdicts[max(self.verdicts)] if self.verdicts else None


@dataclass(frozen=True)
class Findings:
    """What the records say about one metric on one backend.

    Attributes:
        metric, backend, level: what was analysed, and the confidence of all intervals.
        means: as `means_by_size` gives them, this backend only.
        laws: fitted law by model.
        without_law: why a model has none, by model.
        pairs: comparisons, the main one first.
        estimates: the means with all that is known about them, by model and size.
        baseline: what a model reaches that learned nothing; NaN if unknown.
        uneven: whether the test classes are, or may be, so uneven that balanced accuracy leads.
        barred: why nothing is said about a model at a size, by model and size.
    """

    metric: str
    backend: str
    level: float
    means: pd.DataFrame
    laws: dict[str, ScalingLaw] = field(default_factory=dict)
    without_law: dict[str, str] = field(default_factory=dict)
    pairs: list[Pair] = field(default_factory=list)
    estimates: dict[tuple[str, int], Estimate] = field(default_factory=dict)
    baseline: float = float("nan")
    uneven: bool = False
    barred: dict[tuple[str, int], tuple[str, ...]] = field(default_factory=dict)


def find(
    frame: pd.DataFrame,
    models: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    seed_text: str,
    num_classes: int | None = None,
    metric: str | None = None,
    backend: str | None = None,
    level: float = 0.9,
    source: Source | None = None,
    images: int | None = None,
    training: Mapping[tuple[str, int], Training] | None = None,
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
        metric: name of a column, or "test_balanced"; None takes the one that `leading` does.
        backend: None takes the one with most results.
        level: confidence of all intervals.
        source: outcomes of single test images; without them intervals are over seeds alone.
        images: number of test images, where there are no outcomes.
        training: how far training had come, by model and size, from `judge_training`.
    """
    backend = main_backend(frame) if backend is None else backend
    mine = frame[frame["backend"] == backend] if len(frame) else frame
    labels = _test_labels(mine, source)
    uneven = _uneven(mine, labels)
    if metric is None:
        metric = BALANCED if uneven else TOP1
    if metric == BALANCED:
        mine = _with_balanced(mine, source)
    known = mean_estimates(mine, metric, level, source, images)
    chance = 1.0 / num_classes if num_classes and num_classes > 1 else float("nan")
    estimates = {(model, size): e for (model, _, size), e in known.items()}
    found = Findings(
        metric,
        backend,
        level,
        means_table(known),
        estimates=estimates,
        baseline=chance if labels is None else baseline(labels, metric == BALANCED),
        uneven=uneven,
    )
    found.barred.update(_barred(found, training or {}))
    columns = {}
    of_models = rows_of(mine, metric)
    for model in models:
        rows = of_models([model])
        rows = rows[rows[metric].notna()] if metric in rows else rows[:0]
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
        chance_error = 1.0 if np.isnan(chance) else 1.0 - chance
        sizes = sorted(set(columns[model][0]))
        common = [estimates[model, size].common_error for size in sizes]
        try:
            found.laws[model] = fit_scaling_law(
                *columns[model],
                rng=rng,
                chance_error=chance_error,
                common_error=common,
                beside=estimates[model, sizes[-1]].error_interval,
            )
        except ValueError as error:
            found.without_law[model] = str(error)
    for a, b in pairs:
        if a not in columns or b not in columns:
            continue
        differences = difference_estimates(of_models([a, b]), a, b, metric, level, source, images)
        laws = None
        if a in found.laws and b in found.laws:
            shared = differences[max(differences)].common_error if differences else None
            laws = crossing(found.laws[a], found.laws[b], level, shared)
        verdicts = {
            size: decide(
                a, b, size, each, {name: found.barred.get((name, size), ()) for name in (a, b)}
            )
            for size, each in differences.items()
        }
        found.pairs.append(Pair(a, b, differences_table(differences), laws, verdicts))
    return found


def leading(frame: pd.DataFrame, source: Source | None) -> tuple[str, pd.DataFrame]:
    """The number that leads, balanced accuracy where classes are uneven, else top-1, and the frame with it.

    Where no outcomes are left to show how even the classes are, balanced accuracy leads if it is
    another number than top-1: guessing reaches the same of it, whatever the classes' shares.

    Args:
        frame: one row a finished trial.
        source: outcomes of single test images.
    """
    if _uneven(frame, _test_labels(frame, source)):
        return BALANCED, _with_balanced(frame, source)
    return TOP1, frame


def main_backend(frame: pd.DataFrame, metric: str = TOP1) -> str:
    """The backend with most results; of equals, the first in the records."""
    if not len(frame) or metric not in frame:
        return ""
    known = frame[frame[metric].notna()]
    counts = known["backend"].value_counts(sort=False)
    return "" if counts.empty else str(counts.idxmax())


def compared_pairs(
    families: Mapping[str, str], flops: Mapping[str, float | None]
) -> list[tuple[str, str]]:
    """Which models to compare: every ViT with every ResNet, matched FLOPs first.

    Args:
        families: "vit", "hybrid", "resnet" or another word, by model, in the study's order.
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
    return sorted(pairs, key=lambda pair: mismatch(flops.get(pair[0]), flops.get(pair[1])))


def _barred(
    found: Findings, training: Mapping[tuple[str, int], Training]
) -> dict[tuple[str, int], tuple[str, ...]]:
    """Why nothing is said about a model, by model and size."""
    barred = {}
    for key, estimate in found.estimates.items():
        reasons = []
        if learned_nothing(estimate, found.baseline):
            reasons.append(LEARNED_NOTHING)
        if key in training and training[key].undertrained:
            reasons.append(UNDERTRAINED)
        if reasons:
            barred[key] = tuple(reasons)
    return barred


def _test_labels(frame: pd.DataFrame, source: Source | None) -> np.ndarray | None:
    """Labels of the test images of the first trials that kept outcomes."""
    if source is None:
        return None
    keys = frame[["model", "backend", "size"]].drop_duplicates().itertuples(index=False)
    for model, backend, size in keys:
        outcomes = source.read(str(model), str(backend), int(size))
        if outcomes:
            return np.concatenate([each.label for each in outcomes])
    return None


def _uneven(frame: pd.DataFrame, labels: np.ndarray | None) -> bool:
    """Whether test classes are uneven; without their labels, whether they are not seen to be even."""
    if labels is not None:
        return is_uneven(labels)
    if BALANCED not in frame or TOP1 not in frame:
        return False
    return bool(((frame[BALANCED] - frame[TOP1]).abs() > _EQUAL).any())


def _with_balanced(frame: pd.DataFrame, source: Source | None) -> pd.DataFrame:
    """The frame with each trial's balanced accuracy: from its outcomes, or else its record's own."""
    values = {}
    for key in frame[["model", "backend", "size"]].drop_duplicates().itertuples(index=False):
        model, backend, size = str(key[0]), str(key[1]), int(key[2])
        for each in source.read(model, backend, size) if source else ():
            values[model, backend, size, each.seed] = balanced_accuracy(each)
    columns = (frame[name] for name in ("model", "backend", "size", "seed"))
    keys = zip(*columns, strict=True)
    recorded = frame[BALANCED] if BALANCED in frame else [np.nan] * len(frame)
    found = [values.get(key, own) for key, own in zip(keys, recorded, strict=True)]
    return frame.assign(**{BALANCED: found})


def mismatch(a: float | None, b: float | None) -> float:
    """How far two models' costs are apart, in log units; 0 within 10 %, infinite if one is unknown."""
    if not a or not b:
        return float("inf")
    # Only "matched" or not counts: among matched pairs the study's own order stays.
    off = abs(float(np.log(a / b)))
    return 0.0 if off <= np.log(1.1) else off


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
