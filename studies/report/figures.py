"""The figures of a report: which there are, and what each shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from studies.analysis.by_size import means_by_size
from studies.plots.differences import Comparison, differences
from studies.plots.effects import Panel, Row, forest
from studies.plots.facets import backend_curves, fewshot_curves, training_curves
from studies.plots.heat_maps import confusion_matrices
from studies.plots.laws import error_laws
from studies.plots.learning_curves import Line, learning_curves
from studies.plots.metrics import labels_of
from studies.plots.style import legend_of_figure, new_axes, new_panels
from studies.records.axis import IMAGES
from studies.records.frames import Results
from studies.report.axes import on_axis, places_in_order, x_axis
from studies.report.compute import FAMILIES
from studies.report.evaluations import draw_evaluations
from studies.report.evidence import Evidence
from studies.report.numbers import METRICS
from studies.report.words import baseline_name

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from studies.analysis.effects import Effect

CAPTIONS = {
    "accuracy": "Test accuracy of all models, with intervals",
    "compute": "Test error against training compute, and the fitted laws",
    "effects": "What the factors change, with intervals",
    "differences": "Differences of the models by size",
    "laws": "Test error and the fitted laws",
    "confusion": "Which class is taken for which, by the best model of each family",
    "evaluations": "Further evaluations over what the study varies",
    "fewshot": "Few-shot linear accuracy of the representation",
    "training": "Validation accuracy during training, at the smallest and the largest size",
    "backends": "The same trials on several backends",
}
_MOST_PAIRS, _MOST_BACKEND_TRIALS, _MOST_ARMS = 6, 4, 8
_MOST_CURVES = 20  # with more of them the arms of the first pairs are drawn alone
_MOST_SEEDS = 10  # whose single trainings are drawn
_MOST_PANELS, _MOST_ROWS = 4, 40  # of effects


def draw(results: Results, evidence: Evidence) -> Iterator[tuple[str, Figure]]:
    """Draws what the records allow, one figure after the other: its name, of `CAPTIONS`, and itself."""
    if not len(results.frame) or not evidence.findings.estimates:
        return
    frame = results.frame[results.frame["backend"] == evidence.findings.backend]
    drawn: dict[str, Callable[[], Figure | None]] = {
        "accuracy": lambda: _accuracy(results, evidence, frame),
        "compute": lambda: _compute(results, evidence),
        "effects": lambda: _effects(evidence),
        "differences": lambda: _differences(evidence, frame),
        "laws": lambda: _laws(results, evidence, frame),
        "confusion": lambda: _confusion(evidence),
        "evaluations": lambda: draw_evaluations(
            results, evidence.evaluations, evidence.findings.level
        ),
        "fewshot": lambda: _fewshot(results, evidence, frame),
        "training": lambda: _training(results, evidence),
        "backends": lambda: _backends(results),
    }
    for name, make in drawn.items():
        figure = make()
        if figure is not None:
            yield name, figure


def _accuracy(results: Results, evidence: Evidence, frame: pd.DataFrame) -> Figure:
    """The number that leads; where classes are uneven, beside it the other one."""
    if results.axis.name != IMAGES:
        return _over_axis(results, evidence, frame)
    findings, answer = evidence.findings, evidence.answer
    shown = [findings.metric]
    if findings.uneven:
        shown += [metric for metric in evidence.accuracies if metric != findings.metric]
    arms = _arms(results, _MOST_CURVES)
    frame = frame[frame["model"].isin(arms)]
    sizes = {size for _, size in findings.estimates}
    models = len({model for model, _ in findings.estimates if model in arms})
    height = 5.0 if len(sizes) > 1 else 2.0 + 0.55 * models
    if len(shown) > 1:
        axes = new_panels(len(shown), width=6.2, height=height + 0.4)
    else:
        axes = [new_axes(8.0, height)]
    found = answer.duels[0].overtaking or answer.duels[0].forecast if answer.duels else None
    names = (answer.duels[0].a, answer.duels[0].b) if answer.duels else None
    for metric, ax in zip(shown, axes, strict=True):
        leads = metric == findings.metric
        estimates = evidence.accuracies.get(metric, findings.estimates)
        learning_curves(
            _means({key: e for key, e in estimates.items() if key[0] in arms}),
            _singles(frame, metric),
            arms,
            laws={m: law for m, law in answer.laws.items() if m in arms} if leads else None,
            crossing=found if leads else None,
            names=names,
            baseline=_baseline(evidence, metric),
            marks={k: ", ".join(why) for k, why in findings.barred.items() if k[0] in arms},
            level=findings.level,
            y_label=METRICS[metric],
            caption=_caption(results, evidence) + _left_out(arms, results),
            title=_title(results),
            ax=ax,
        )
    return _figure(axes[0])


def _arms(results: Results, most: int) -> list[str]:
    """All arms or, where nobody could tell so many apart, some of those that are compared first."""
    if len(results.arms) <= most:
        return list(results.arms)
    compared = [name for pair in results.pairs for name in pair]
    return list(dict.fromkeys([*compared, *results.arms]))[:_MOST_ARMS]


def _left_out(shown: Sequence[object], results: Results) -> str:
    """What a caption says of arms that are not drawn."""
    every = len(results.arms)
    return f"; {len(shown)} of {every} arms" if len(shown) < every else ""


def accuracy_on(
    ax: Axes, results: Results, evidence: Evidence, models: Sequence[str], legend: bool = True
) -> None:
    """Draws the learning curves of some models onto given Axes, without laws, under a short title.

    Args:
        ax: drawn onto.
        results: read results; their horizontal axis is the number of training images.
        evidence: of these results.
        models: in the order that decides their looks.
        legend: whether the Axes get one.
    """
    findings = evidence.findings
    means = _means(findings.estimates)
    seeds = _singles(results.frame[results.frame["backend"] == findings.backend], findings.metric)
    barred = findings.barred.items()
    learning_curves(
        means[means["model"].isin(models)],
        seeds[seeds["model"].isin(models)],
        models,
        baseline=_baseline(evidence, findings.metric),
        marks={key: ", ".join(reasons) for key, reasons in barred if key[0] in models},
        level=findings.level,
        y_label=METRICS[findings.metric],
        title=f"{results.study.data_title}\n{_caption(results, evidence)}",
        legend=legend,
        ax=ax,
    )


def _over_axis(results: Results, evidence: Evidence, frame: pd.DataFrame) -> Figure:
    """A panel for each number of training images, over what the study varies instead."""
    findings = evidence.findings
    means = on_axis(_means(findings.estimates), results)
    seeds = on_axis(_singles(frame, findings.metric), results)
    curves = list(dict.fromkeys(place.curve for place in places_in_order(results)))
    sizes = sorted(set(means["panel"]))
    barred = findings.barred.items()
    columns = 3 if len(sizes) == 3 else 2
    width = 8.0 if len(sizes) == 1 else 11.0 / columns
    axes = new_panels(len(sizes), columns, width, height=4.4)
    for size, ax in zip(sizes, axes, strict=True):
        places = {results.places[key]: ", ".join(why) for key, why in barred}
        learning_curves(
            means[means["panel"] == size],
            seeds[seeds["panel"] == size],
            curves,
            marks={(p.curve, p.x): why for p, why in places.items() if p.panel == size},
            level=findings.level,
            y_label=METRICS[findings.metric],
            title=f"{size:,} training images",
            axis=x_axis(results),
            legend=False,
            ax=ax,
        )
    figure = _figure(axes[0])
    legend_of_figure(figure, list(labels_of(axes).values()), _caption(results, evidence))
    figure.suptitle(_title(results))
    return figure


def _baseline(evidence: Evidence, metric: str) -> Line | None:
    """What always naming the commonest class reaches."""
    found = evidence.baselines.get(metric, float("nan"))
    if math.isnan(found):
        return None
    return Line(found, f"{baseline_name(evidence.answer)} ({100 * found:.1f} %)")


def _differences(evidence: Evidence, frame: pd.DataFrame) -> Figure | None:
    if evidence.answer.about_effects:
        return None  # these are the effects
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


def _effects(evidence: Evidence) -> Figure | None:
    """What changes do alone, or, where two models are compared, to one more than to the other."""
    answer = evidence.answer
    alone = [e for e in answer.effects if e.less is None]
    contrasts = [e for e in answer.effects if e.less is not None]
    effects = alone if answer.about_effects else contrasts or alone  # as the headline has it
    if not effects:
        return None
    models = {e.change.model for e in effects}
    level = f"{100 * answer.level:g} %"
    caption = f"change and {level} interval, filled where it is told apart from none"
    sizes = sorted({e.size for e in effects})
    panels = []
    for size in sizes if len(sizes) <= _MOST_PANELS else [sizes[0], sizes[-1]]:
        rows = [_row(e, models) for e in effects if e.size == size]
        if len(rows) > _MOST_ROWS:
            first = sorted(rows, key=lambda row: (not row.told, -abs(row.mean)))[:_MOST_ROWS]
            least = (not first[-1].told, -abs(first[-1].mean))
            rows = [row for row in rows if (not row.told, -abs(row.mean)) <= least]
        panels.append(Panel(f"{size:,} training images", rows))
    every = max(sum(e.size == size for e in effects) for size in sizes)
    if every > _MOST_ROWS:
        caption += f"; {_MOST_ROWS} of {every}, those told apart first, then the largest"
    of = METRICS[answer.metric]
    label = f"change of {of}" if effects[0].less is None else "difference of changes"
    return _figure(forest(panels, label, caption)[0])


def _row(effect: Effect, models: set[str]) -> Row:
    change, less = effect.change, effect.less
    base = change.base.removeprefix(change.model).strip()
    against = f"{change.factor} against {base}" if base else change.factor
    if less is not None:
        group = f"{change.model} less {less.model}: {against}"
    else:
        group = against if len(models) == 1 else f"{change.model}: {against}"
    estimate = effect.estimate
    told = effect.sign != 0
    return Row(group, change.level, estimate.mean, estimate.low, estimate.high, told)


def _compute(results: Results, evidence: Evidence) -> Figure | None:
    """Each family's best for its compute, and the laws fitted to them."""
    import pandas as pd

    found = evidence.answer.compute
    if found is None or not found.front:
        return None
    rows = [
        (FAMILIES[family], each.compute, seed, 1.0 - error)
        for family, front in found.fronts.items()
        for each in front
        for seed, error in each.errors.items()
    ]
    seeds = pd.DataFrame(rows, columns=["model", "size", "seed", "value"])
    laws = {FAMILIES[family]: law for family, law in found.laws.items()}
    label = METRICS[evidence.findings.metric].replace("accuracy", "error")
    names = [name for name in FAMILIES.values() if name in set(seeds["model"])]
    title = f"{_title(results)}: each family's best for its compute"
    return _figure(error_laws(seeds, laws, names, found.level, label, title, axis=x_axis(results)))


def _laws(results: Results, evidence: Evidence, frame: pd.DataFrame) -> Figure | None:
    findings, models = evidence.findings, _arms(results, _MOST_CURVES)
    laws = {model: law for model, law in evidence.answer.laws.items() if model in models}
    if not laws:
        return None
    label = METRICS[findings.metric].replace("accuracy", "error")
    seeds = _singles(frame[frame["model"].isin(models)], findings.metric)
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

    if not results.shots or len(results.arms) > _MOST_ARMS:
        return None
    means, seeds = [], []
    for shots in results.shots:
        metric = f"fewshot_{shots}"
        means.append(means_by_size(frame, metric, evidence.findings.level).assign(shots=shots))
        seeds.append(_singles(frame, metric).assign(shots=shots))
    caption = f"mean and {100 * evidence.findings.level:g} % interval over seeds alone"
    models = list(results.arms)
    return fewshot_curves(pd.concat(means), pd.concat(seeds).dropna(), models, caption)


def _training(results: Results, evidence: Evidence) -> Figure | None:
    backend = evidence.findings.backend
    records = [r for r in results.done if r["backend"] == backend and r.get("history")]
    sizes = sorted({r["size"] for r in records})
    if not sizes:
        return None
    ends = list(dict.fromkeys([sizes[0], sizes[-1]]))
    arms = _arms(results, _MOST_ARMS)
    every = sorted({r["seed"] for r in records})
    seeds = every[:_MOST_SEEDS]
    caption = f"{len(seeds)} of {len(every)} seeds" if len(seeds) < len(every) else ""
    records = [r for r in records if r["model"] in arms and r["seed"] in seeds]
    return training_curves(records, ends, arms, caption) if records else None


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
    what = "over seeds alone, " if alone else "of the test images alone, " if counts == [1] else ""
    return f"mean and {100 * evidence.findings.level:g} % interval, {what}{seeds} seed{plural}"


def _title(results: Results) -> str:
    study = results.study
    return f"{study.name}: {study.data_title}, {results.shape_text}"


def _figure(ax: Axes) -> Figure:
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure
