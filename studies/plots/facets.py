"""Panels with shared axes: few-shot accuracy, and validation accuracy by size and by backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import seaborn.objects as so
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from studies.plots.style import (
    THEME,
    Style,
    keys,
    legend_of_figure,
    new_figure,
    outer_labels,
    percent_axis,
    short,
    size_axis,
    styles,
)

if TYPE_CHECKING:
    import pandas as pd

# The first backend's line lies broad below the others': equal curves are seen as such.
_BACKEND_LOOKS = {"tensorflow": ("-", 4.5, 0.35), "jax": ("--", 2.2, 0.95), "torch": (":", 2.2, 1)}
_WIDTH, _HEIGHT = 4.5, 3.4  # of a panel, in inches


def fewshot_curves(
    means: pd.DataFrame, seeds: pd.DataFrame, models: Sequence[str], caption: str = ""
) -> Figure:
    """Draws few-shot linear accuracy against training images, a panel a number of shots.

    Args:
        means: one row a model, size and number of shots: model, size, shots, mean, low, high, the
            latter three in [0, 1]; NaN where there is no interval.
        seeds: single results: model, size, shots, value.
        models: names in the order that decides their looks.
        caption: says what the bands are.
    """
    import pandas as pd

    shots = sorted(set(means["shots"]))
    looks = styles(models)
    shown = [model for model in models if model in set(means["model"])]
    # In one frame, since layers share their panels; a layer passes over rows without its values.
    both = pd.concat([means, seeds], ignore_index=True)
    sizes = sorted(set(means["size"]))
    # At a single size models stand beside each other: a line along the sizes would have no length.
    several = len(sizes) > 1
    x = "size" if several else "model"
    figure, plot = _plot(both, len(shots), looks, x=x, marker="model")
    band = so.Band(alpha=0.18, edgewidth=0) if several else so.Range(linestyle="-")
    plot = (
        plot.facet("shots", order=shots, wrap=2)
        .add(so.Dots(pointsize=3.5, fillalpha=0.35, stroke=0), y="value", legend=False)
        .add(band, ymin="low", ymax="high", legend=False)
        .add(so.Line(linewidth=1.8, pointsize=6, edgecolor="white"), y="mean", legend=False)
        .scale(
            x="log" if several else so.Nominal(order=shown),
            marker={m: looks[m].marker for m in looks},
        )
        .label(y="few-shot accuracy (%)", title=lambda n: _images(int(float(n))))
    )
    plot.plot()
    margin = (sizes[-1] / sizes[0]) ** 0.05
    for ax in figure.axes:
        percent_axis(ax)
        if several:
            ax.set_xlim(sizes[0] / margin, sizes[-1] * margin)
            size_axis(ax, sizes)
        else:
            ax.set_xlabel(f"{sizes[0]:,} training images")
    outer_labels(figure.axes)
    legend_of_figure(figure, keys(shown, looks), caption)
    return figure


def training_curves(
    records: Sequence[Mapping[str, Any]],
    sizes: Sequence[int],
    models: Sequence[str],
    caption: str = "",
) -> Figure:
    """Draws validation accuracy against the step, one line a seed, a panel a size.

    Args:
        records: finished trials of one backend, with model, size, seed and history (a list of
            dicts with step and val_top1).
        sizes: numbers of training images; shared ranges make the panels comparable.
        models: names in the order that decides their looks.
        caption: says which seeds these are, where there are more.
    """
    frame = _histories([r for r in records if r.get("size") in sizes])
    looks = styles(models)
    figure, plot = _plot(frame, len(sizes), looks, x="step", y="accuracy", group="seed")
    plot = (
        plot.facet("size", order=list(sizes), wrap=2)
        .add(so.Line(linewidth=1.3, alpha=0.75), legend=False)
        .label(y="validation accuracy (%)", title=lambda s: f"{short(float(s))} training images")
    )
    plot.plot()
    _step_axes(figure)
    shown = [model for model in models if model in set(frame["model"])]
    legend_of_figure(figure, keys(shown, looks, markers=False), caption)
    return figure


def backend_curves(
    records: Sequence[Mapping[str, Any]], trials: Sequence[tuple[str, int, int]]
) -> Figure:
    """Draws the same trials' validation accuracy on all backends, one curve on top of the other.

    Args:
        records: finished trials' records with model, size, seed, backend and history.
        trials: model, size and seed of each panel.
    """
    titles = {trial: f"{trial[0]}, {short(trial[1])} images, seed {trial[2]}" for trial in trials}
    chosen = [r for r in records if (r["model"], r["size"], r["seed"]) in titles]
    frame = _histories(chosen)
    frame["trial"] = [
        titles[key] for key in zip(frame["model"], frame["size"], frame["seed"], strict=True)
    ]
    colours = styles(list(_BACKEND_LOOKS))
    figure = new_figure(*_inches(len(trials)))
    plot = (
        so.Plot(frame, x="step", y="accuracy")
        .facet("trial", order=list(titles.values()), wrap=2)
        .layout(engine="constrained")
        .label(x="training step", y="validation accuracy (%)", title=str)
        .theme(THEME)
        .on(figure)
    )
    handles = []
    for backend, (line, width, alpha) in _BACKEND_LOOKS.items():
        mine = frame[frame["backend"] == backend]
        if not len(mine):
            continue
        look: dict[str, Any] = {
            "color": colours[backend].colour,
            "linestyle": line,
            "linewidth": width,
        }
        plot = plot.add(so.Line(alpha=alpha, **look), data=mine)
        handles.append(Line2D([], [], alpha=alpha, label=backend, **look))
    plot.plot()
    _step_axes(figure)
    legend_of_figure(figure, handles)
    return figure


def _plot(
    frame: pd.DataFrame, panels: int, looks: Mapping[str, Style], **variables: str
) -> tuple[Figure, so.Plot]:
    """An empty figure and a plot on it whose colours and lines are the models'."""
    figure = new_figure(*_inches(panels))
    plot = (
        so.Plot(frame, color="model", linestyle="model", **variables)
        .scale(
            color={model: look.colour for model, look in looks.items()},
            linestyle={model: _dashes(look.line) for model, look in looks.items()},
        )
        .layout(engine="constrained")
        .theme(THEME)
        .on(figure)
    )
    return figure, plot


def _dashes(line: Any) -> Any:
    """seaborn takes the lengths of dashes and gaps without an offset."""
    return line if isinstance(line, str) else line[1]


def _inches(panels: int) -> tuple[float, float]:
    rows = -(-panels // 2)
    return _WIDTH * min(2, panels), _HEIGHT * rows + 0.5


def _images(shots: int) -> str:
    return f"{shots} image{'' if shots == 1 else 's'} a class"


def _step_axes(figure: Figure) -> None:
    for ax in figure.axes:
        ax.set_xlabel("training step")
        ax.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
        percent_axis(ax)
    outer_labels(figure.axes)


def _histories(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One row a validation of each trial."""
    import pandas as pd

    rows = [
        (r["model"], r["size"], r["seed"], r["backend"], entry["step"], entry["val_top1"])
        for r in records
        for entry in r.get("history") or []
        if entry.get("step") is not None and entry.get("val_top1") is not None
    ]
    return pd.DataFrame(rows, columns=["model", "size", "seed", "backend", "step", "accuracy"])
