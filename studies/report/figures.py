"""The figures of a report: which there are, and what each shows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from studies.analysis.by_size import means_by_size
from studies.plots.differences import Comparison, differences
from studies.plots.facets import backend_curves, fewshot_curves, training_curves
from studies.plots.heat_maps import confusion_matrices
from studies.plots.laws import error_laws
from studies.plots.learning_curves import Line, learning_curves
from studies.plots.style import new_axes, new_panels
from studies.records.frames import Results
from studies.report.evidence import Evidence
from studies.report.words import METRICS, baseline_name

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CAPTIONS = {
    "accuracy": "Test accuracy against the number of training images",
    "differences": "Differences of the models by size",
    "laws": "Test error and the fitted laws",
    "confusion": "Which class is taken for which, by the best model of each family",
    "fewshot": "Few-shot linear accuracy of the representation",
    "training": "Validation accuracy during training, at the smallest and the largest size",
    "backends": "The same trials on several backends",
}
_MOST_PAIRS, _MOST_BACKEND_TRIALS = 6, 4


def draw(results: Results, evidence: Evidence) -> dict[str, Figure]:
    """Draws what the records allow; figures by name, in the order of `CAPTIONS`."""
    if not len(results.frame) or not evidence.findings.estimates:
        return {}
    frame = results.frame[results.frame["backend"] == evidence.findings.backend]
    figures = {
        "accuracy": _accuracy(results, evidence, frame),
        "differences": _differences(evidence, frame),
        "laws": _laws(results, evidence, frame),
        "confusion": _confusion(evidence),
        "fewshot": _fewshot(results, evidence, frame),
        "training": _training(results, evidence),
        "backends": _backends(results),
    }
    return {name: figure for name, figure in figures.items() if figure is not None}


def _accuracy(results: Results, evidence: Evidence, frame: pd.DataFrame) -> Figure:
    """The number that leads; where classes are uneven, beside it the other one."""
    findings, answer = evidence.findings, evidence.answer
    shown = [findings.metric]
    if findings.uneven:
        shown += [metric for metric in evidence.accuracies if metric != findings.metric]
    sizes = {size for _, size in findings.estimates}
    models = len({model for model, _ in findings.estimates})
    height = 5.0 if len(sizes) > 1 else 2.0 + 0.55 * models
    if len(shown) > 1:
        axes = new_panels(len(shown), width=6.2, height=height + 0.4)
    else:
        axes = [new_axes(8.0, height)]
    found = answer.duels[0].overtaking or answer.duels[0].forecast if answer.duels else None
    names = (answer.duels[0].a, answer.duels[0].b) if answer.duels else None
    for metric, ax in zip(shown, axes, strict=True):
        leads = metric == findings.metric
        _curves(
            results, evidence, frame, metric, ax,
            laws=answer.laws if leads else None,
            crossing=found if leads else None,
            names=names,
        )  # fmt: skip
    return _figure(axes[0])


def _curves(  # type: ignore[no-untyped-def]
    results: Results, evidence: Evidence, frame: pd.DataFrame, metric: str, ax: Axes, **options
) -> None:
    findings = evidence.findings
    estimates = evidence.accuracies.get(metric, findings.estimates)
    learning_curves(
        _means(estimates),
        _singles(frame, metric),
        list(results.study.models),
        baseline=_baseline(evidence, metric),
        marks={key: ", ".join(reasons) for key, reasons in findings.barred.items()},
        level=findings.level,
        y_label=METRICS[metric],
        caption=_caption(results, evidence),
        title=_title(results),
        ax=ax,
        **options,
    )


def _baseline(evidence: Evidence, metric: str) -> Line | None:
    """What always naming the commonest class reaches."""
    found = evidence.baselines.get(metric, float("nan"))
    if math.isnan(found):
        return None
    return Line(found, f"{baseline_name(evidence.answer)} ({100 * found:.1f} %)")


def _differences(evidence: Evidence, frame: pd.DataFrame) -> Figure | None:
    metric = evidence.findings.metric
    pairs = []
    for pair, duel in list(zip(evidence.findings.pairs, evidence.answer.duels))[:_MOST_PAIRS]:
        if not len(pair.differences):
            continue
        sides = [
            _singles(frame[frame["model"] == name], metric).set_index(["size", "seed"])["value"]
            for name in (pair.a, pair.b)
        ]
        seeds = (sides[0] - sides[1]).dropna().rename("value").reset_index()
        told = [duel.leaders[size] is not None for size in pair.differences["size"]]
        table = pair.differences.assign(told=told)
        pairs.append(Comparison(pair.a, pair.b, table, seeds[["size", "value"]]))
    if not pairs:
        return None
    level = f"{100 * evidence.findings.level:g} %"
    caption = f"mean and {level} interval, filled where one model is ahead; dots: single seeds"
    return _figure(differences(pairs, METRICS[metric], caption)[0])


def _laws(results: Results, evidence: Evidence, frame: pd.DataFrame) -> Figure | None:
    laws, findings = evidence.answer.laws, evidence.findings
    if not laws:
        return None
    label = METRICS[findings.metric].replace("accuracy", "error")
    seeds, models = _singles(frame, findings.metric), list(results.study.models)
    ax = error_laws(seeds, laws, models, findings.level, label, _title(results))
    return _figure(ax)


def _confusion(evidence: Evidence) -> Figure | None:
    if not evidence.classes:
        return None
    titles = [f"{each.model}, {each.size:,} training images" for each in evidence.classes]
    shares = [each.shares for each in evidence.classes]
    return _figure(confusion_matrices(shares, titles, evidence.class_names)[0])


def _fewshot(results: Results, evidence: Evidence, frame: pd.DataFrame) -> Figure | None:
    import pandas as pd

    if not results.shots:
        return None
    means, seeds = [], []
    for shots in results.shots:
        metric = f"fewshot_{shots}"
        means.append(means_by_size(frame, metric, evidence.findings.level).assign(shots=shots))
        seeds.append(_singles(frame, metric).assign(shots=shots))
    caption = f"mean and {100 * evidence.findings.level:g} % interval over seeds alone"
    models = list(results.study.models)
    return fewshot_curves(pd.concat(means), pd.concat(seeds).dropna(), models, caption)


def _training(results: Results, evidence: Evidence) -> Figure | None:
    backend = evidence.findings.backend
    records = [r for r in results.done if r["backend"] == backend and r.get("history")]
    sizes = sorted({r["size"] for r in records})
    if not sizes:
        return None
    ends = list(dict.fromkeys([sizes[0], sizes[-1]]))
    return training_curves(records, ends, list(results.study.models))


def _backends(results: Results) -> Figure | None:
    shared = results.on_several_backends()[:_MOST_BACKEND_TRIALS]
    return backend_curves(results.done, shared) if shared else None


def _means(estimates: dict) -> pd.DataFrame:  # type: ignore[type-arg]
    import pandas as pd

    rows = [(m, size, e.mean, e.low, e.high) for (m, size), e in estimates.items()]
    return pd.DataFrame(rows, columns=["model", "size", "mean", "low", "high"])


def _singles(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Single results of a metric: model, size, seed, value."""
    values = frame[metric] if metric in frame else float("nan")
    return frame[["model", "size", "seed"]].assign(value=values).dropna()


def _caption(results: Results, evidence: Evidence) -> str:
    estimates = evidence.findings.estimates.values()
    counts = sorted({estimate.seeds for estimate in estimates})
    seeds = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
    plural = "" if counts == [1] else "s"
    if all(math.isnan(estimate.low) for estimate in estimates):
        return f"{seeds} seed{plural}, no interval"
    alone = results.one_draw or any(estimate.variance is None for estimate in estimates)
    what = "over seeds alone, " if alone else ""
    return f"mean and {100 * evidence.findings.level:g} % interval, {what}{seeds} seed{plural}"


def _title(results: Results) -> str:
    study = results.study
    return f"{study.name}: {study.data_title}, {results.shape_text}"


def _figure(ax: Axes) -> Figure:
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure
