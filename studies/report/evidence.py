"""All that a report shows, measured and decided once; text, tables and figures add nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from studies.analysis.by_size import BALANCED, TOP1, mean_estimates
from studies.analysis.compute import Compute, Trained, study_compute
from studies.analysis.confusion import confusion_matrix
from studies.analysis.effects import Effect, find_effects
from studies.analysis.estimate import Estimate
from studies.analysis.findings import Findings, find, leading, main_backend
from studies.analysis.foremost import best_first
from studies.analysis.intervals import accuracy, overlap
from studies.analysis.outcomes import FIELDS, Outcomes
from studies.analysis.suspects import suspect_labels
from studies.analysis.undertrained import Training, judge_courses
from studies.analysis.verdict import baseline
from studies.data.names import image_names
from studies.records.axis import COMPUTE
from studies.records.frames import Results, pool
from studies.report.answer import Answer, answer
from studies.report.evaluations import evaluation_means
from studies.report.measured import measured
from studies.report.outlook import Setting

if TYPE_CHECKING:
    import pandas as pd

Key = tuple[str, int]  # model and size


@dataclass(frozen=True, eq=False)
class ClassReport:
    """How one model does on each class, at its largest size.

    Attributes:
        model, size: which.
        counts: (K, K) test images by label and predicted class, summed over seeds.
        images: (K,) test images of each class, in the mean over seeds.
        recalls: share of each class that is recognised; None for a class without test images.
    """

    model: str
    size: int
    counts: np.ndarray
    images: np.ndarray
    recalls: tuple[Estimate | None, ...]

    @property
    def shares(self) -> np.ndarray:
        """(K, K) shares of each label's images; NaN for a class without test images."""
        total = self.counts.sum(axis=1, keepdims=True).astype(float)
        return np.divide(
            self.counts, total, out=np.full(self.counts.shape, np.nan), where=total > 0
        )


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a report shows.

    Attributes:
        findings: of the number that leads, on the main backend.
        answer: what they say.
        accuracies: top-1 and, where outcomes were kept, balanced accuracy, by model and size.
        calibration: expected calibration error by model and size.
        classes: of the best model of each family.
        class_names: one a label.
        baselines: what always naming the commonest class reaches, by metric; without outcomes, what
            guessing reaches; NaN if that is unknown too.
        suspects: images whose label is probably wrong, the most suspect first: image (its name, or
            its number), label, suggested, trials, contradicted, margin.
        evaluations: means of further evaluations, as `evaluation_means` gives them.
    """

    findings: Findings
    answer: Answer
    accuracies: dict[str, dict[Key, Estimate]]
    calibration: dict[Key, float]
    classes: tuple[ClassReport, ...]
    class_names: tuple[str, ...]
    baselines: dict[str, float]
    suspects: pd.DataFrame
    evaluations: pd.DataFrame


def gather(results: Results) -> Evidence:
    """Analyses a results folder; of outcomes, no more than two models' are read at a time."""
    frame, source = results.frame, results.source
    backend = main_backend(frame)
    mine = frame[frame["backend"] == backend]
    training = _training(results, backend)
    findings = find(
        frame,
        list(results.arms),
        results.pairs,
        results.study.name,
        results.num_classes,
        backend=backend,
        source=source,
        images=results.num_test_images,
        training=training,
    )
    if results.study.rounds:  # which arms the choice is between is what such a study finds out
        findings = best_first(findings, results.families)
    accuracies = {}
    for metric in (TOP1, BALANCED):
        found = mean_estimates(mine, metric, findings.level, source, results.num_test_images)
        if found:
            accuracies[metric] = {(model, size): e for (model, _, size), e in found.items()}
    errors = {}
    kept = results.outcomes if source else None
    for model, size in findings.estimates if kept else ():
        error = kept.calibration_error(model, backend, size) if kept else None
        if error is not None:
            errors[model, size] = error
    effects = _effects(results, findings, mine)
    compute = _compute(results, findings, mine)
    setting = _setting(results, backend, training)
    reply = answer(findings, setting, effects, compute, measured(results, findings))
    best = _best_models(reply, results.families)
    said = {m: kept.read(m, backend, reply.outlooks[m].size) for m in best} if kept else {}
    said = {model: outcomes for model, outcomes in said.items() if outcomes}
    classes = results.num_classes or 0
    labels = [o.label for outcomes in said.values() for o in outcomes]
    baselines = {findings.metric: findings.baseline}
    if labels:
        both = (TOP1, BALANCED)
        baselines = {m: baseline(np.concatenate(labels), m == BALANCED) for m in both}
    return Evidence(
        findings=findings,
        answer=reply,
        accuracies=accuracies,
        calibration=errors,
        classes=tuple(
            _class_report(model, reply.outlooks[model].size, outcomes, classes, results)
            for model, outcomes in said.items()
        ),
        class_names=_class_names(results),
        baselines=baselines,
        suspects=_suspects([o for outcomes in said.values() for o in outcomes], results),
        evaluations=evaluation_means(results, backend, findings.level),
    )


def _effects(results: Results, findings: Findings, mine: pd.DataFrame) -> list[Effect]:
    """Of the factors' levels, and how they differ between models."""
    if not results.changes or not len(mine):
        return []
    _, frame = leading(mine, results.source)
    return find_effects(
        frame,
        results.changes,
        findings.metric,
        findings.barred,
        findings.level,
        results.source,
        results.num_test_images,
    )


def _compute(results: Results, findings: Findings, mine: pd.DataFrame) -> Compute | None:
    """What compute buys, where that is the study's axis."""
    if results.axis.name != COMPUTE or not len(mine):
        return None
    _, frame = leading(mine, results.source)
    trained = []
    cells = dict(iter(frame.groupby(["model", "size"], sort=False)))
    for (arm, size), estimate in findings.estimates.items():
        rows = cells[arm, size]
        place = results.places[arm, size]
        if not math.isnan(place.x):
            errors = dict(zip(rows["seed"], 1.0 - rows[findings.metric], strict=True))
            family = results.arms[arm].family
            barred = findings.barred.get((arm, size), ())
            trained.append(Trained(arm, size, family, place.x, estimate, errors, barred))
    if not trained:
        return None
    chance = 0.0 if math.isnan(findings.baseline) else findings.baseline
    return study_compute(trained, results.study.name, chance, findings.level)


def _training(results: Results, backend: str) -> dict[Key, Training]:
    if results.axis.name == COMPUTE:
        return {}  # how long is trained is the question
    by_key: dict[Key, list[dict]] = {}
    for record in results.done:
        if record["backend"] == backend:
            by_key.setdefault((record["model"], record["size"]), []).append(record)
    recipe = results.study.recipe
    return {
        (model, size): judge_courses(
            [record["history"].digest if record.get("history") else None for record in records],
            size,
            records[0].get("steps") or recipe.steps,
            records[0].get("batch_size") or recipe.batch_size,
            results.arms[model].arm.from_scratch,
        )
        for (model, size), records in by_key.items()
    }


def _setting(results: Results, backend: str, training: dict[Key, Training]) -> Setting:
    data, source = results.study.data, results.source
    steps = {
        (r["model"], r["size"]): r.get("steps") or results.study.recipe.steps
        for r in results.done
        if r["backend"] == backend
    }
    kept = any(source.read(model, backend, size) for model, size in steps) if source else False
    return Setting(
        done=results.finished,
        planned=results.planned,
        steps=steps,
        training=training,
        pool=data.counts.get("train", 0) if data else 0,
        test=results.num_test_images or 0,
        commonest=kept,
        # Levels that no two arms of one model have change nothing: the study is about its pairs.
        one_at_a_time=results.study.design == "one_at_a_time" and bool(results.changes),
        one_draw=results.one_draw,
        lost=len(results.outcomes.lost) if results.outcomes else 0,
    )


def _best_models(reply: Answer, families: dict[str, str]) -> list[str]:
    """The best model of each family; of those that can be judged, if there are any."""
    best: dict[str, str] = {}
    for model, outlook in reply.outlooks.items():
        family = families.get(model, "other")
        rival = reply.outlooks.get(best.get(family, ""))
        rank = (not outlook.barred, outlook.accuracy.mean)
        if rival is None or rank > (not rival.barred, rival.accuracy.mean):
            best[family] = model
    return list(best.values())


def _class_report(
    model: str, size: int, outcomes: Sequence[Outcomes], classes: int, results: Results
) -> ClassReport:
    counts = confusion_matrix(outcomes, classes)
    share = overlap(size, pool(results.study.data)) if results.study.data else 0.0
    recalls: list[Estimate | None] = []
    for label in range(classes):
        own = [part for each in outcomes if (part := _of_class(each, label)) is not None]
        recalls.append(accuracy(own, overlap=share) if own else None)
    return ClassReport(model, size, counts, counts.sum(axis=1) / len(outcomes), tuple(recalls))


def _of_class(outcomes: Outcomes, label: int) -> Outcomes | None:
    """A seed's outcomes on one class; None where its test set has no image of it."""
    rows = outcomes.label == label
    if not rows.any():
        return None
    return Outcomes(outcomes.seed, **{name: getattr(outcomes, name)[rows] for name in FIELDS})


def _suspects(outcomes: Sequence[Outcomes], results: Results) -> pd.DataFrame:
    table = suspect_labels(outcomes)
    data = results.study.data
    names = _class_names(results)
    images = image_names(data.fingerprint, name=data.name) if data else []
    for column in ("label", "suggested"):
        table[column] = [names[int(number)] for number in table[column]]
    table["image"] = [images[i] if i < len(images) else str(i) for i in table["image"]]
    return table


def _class_names(results: Results) -> tuple[str, ...]:
    data = results.study.data
    if data and data.class_names:
        return data.class_names
    return tuple(str(number) for number in range(results.num_classes or 0))
