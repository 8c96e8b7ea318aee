"""Accuracy, and error with its fitted law, against the number of training images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from studies.analysis import Crossing, ScalingLaw, means_by_size
from studies.plots.style import Style, legend_below, new_axes, short, size_axis, styles, tidy

if TYPE_CHECKING:
    import pandas as pd

_NAMES = {"test_top1": "test accuracy", "val_top1": "validation accuracy"}


def learning_curves(
    frame: pd.DataFrame,
    metric: str = "test_top1",
    models: Sequence[str] | None = None,
    laws: Mapping[str, ScalingLaw] | None = None,
    crossing: Crossing | None = None,
    names: tuple[str, str] | None = None,
    level: float = 0.9,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draws one line a model: mean over seeds, its interval as a band, seeds as faint points.

    Args:
        frame: one row a finished trial of one backend: model, size, seed, backend and the metric.
        metric: name of a column of accuracies in [0, 1].
        models: names in the order that decides their looks; None takes the frame's.
        laws: fitted laws; drawn dotted beyond the largest measured size.
        crossing: marked with its interval; see `studies.analysis`.
        names: the two models that cross.
        level: confidence of the bands.
        title: stands above the Axes.
        ax: draws here; None makes a new figure.

    Returns:
        The Axes.
    """
    ax = new_axes() if ax is None else ax
    models = list(dict.fromkeys(frame["model"])) if models is None else list(models)
    looks = styles(models)
    means = means_by_size(frame, metric, level)
    sizes = sorted(set(means["size"]))
    if not sizes:
        return _empty(ax, title)
    first, last = sizes[0], sizes[-1]
    end = _end(last, laws, crossing)
    spread = math.log(max(end / first, 1.5))
    ax.set_xlim(first * math.exp(-0.04 * spread), end * math.exp(0.04 * spread))
    for model in models:
        mine = means[means["model"] == model].sort_values("size")
        if not len(mine):
            continue
        _curve(ax, frame, metric, mine, model, looks[model])
        if laws and model in laws and end > last:
            x = np.geomspace(float(mine["size"].max()), end, 60)
            ax.plot(x, 1.0 - laws[model].predict(x), ":", color=looks[model].colour, linewidth=1.8)
    if end > last:
        ax.axvspan(last, ax.get_xlim()[1], color="0.5", alpha=0.07, linewidth=0)
        ax.plot([], [], ":", color="0.4", linewidth=1.8, label="forecast of the fitted law")
    tidy(ax)
    ax.set_ylabel(f"{_title_of(metric)} (%)", fontsize=11)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:g}"))
    size_axis(ax, sizes)
    marked = crossing is not None and _mark(ax, crossing, names)
    if title:
        # The mark's note lies between the Axes and the title.
        ax.set_title(title, fontsize=12, pad=24 if marked else None, parse_math=False)
    legend_below(ax, _caption(means, level))
    return ax


def error_laws(
    frame: pd.DataFrame,
    laws: Mapping[str, ScalingLaw],
    metric: str = "test_top1",
    models: Sequence[str] | None = None,
    level: float = 0.9,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draws error against training images, both on log axes, with each law and its interval.

    Args:
        frame: as for `learning_curves`.
        laws: fitted law by model; its line is dotted outside the measured sizes.
        metric: an accuracy; drawn is 1 minus it.
        models: names in the order that decides their looks; None takes the frame's.
        level: confidence of the bands.
        title: stands above the Axes.
        ax: draws here; None makes a new figure.
    """
    ax = new_axes() if ax is None else ax
    models = list(dict.fromkeys(frame["model"])) if models is None else list(models)
    looks = styles(models)
    known = frame[frame[metric].notna()] if metric in frame else frame[:0]
    sizes = sorted(set(known["size"]))
    if not sizes:
        return _empty(ax, title)
    first, last = float(sizes[0]), float(sizes[-1])
    ax.set_xlim(first / 1.15, last * 4.4)
    for model in models:
        look, mine = looks[model], known[known["model"] == model]
        if not len(mine):
            continue
        error = 1.0 - mine[metric]
        # Errors of zero cannot be shown on a log axis; the law's notes tell how they count.
        shown = error > 0
        ax.plot(
            mine["size"][shown], error[shown], look.marker, color=look.colour, markersize=5,
            alpha=0.55, markeredgewidth=0, label=None if model in laws else model,
        )  # fmt: skip
        if model not in laws:
            continue
        law = laws[model]
        inside = np.geomspace(law.curve.sizes[0], law.curve.sizes[-1], 80)
        beyond = np.geomspace(law.curve.sizes[-1], last * 4, 40)
        ax.plot(inside, law.predict(inside), "-", color=look.colour, linewidth=1.8)
        ax.plot(beyond, law.predict(beyond), ":", color=look.colour, linewidth=1.8)
        every = np.concatenate([inside, beyond])
        low, high = law.mean_interval(every, level)
        if np.isfinite(low).all():
            ax.fill_between(every, low, high, color=look.colour, alpha=0.15, linewidth=0)
        ax.plot(
            [], [], look.marker, color=look.colour, linestyle="-", label=f"{model}: {law.summary()}"
        )
    ax.set_yscale("log")
    ax.axvspan(last, ax.get_xlim()[1], color="0.5", alpha=0.07, linewidth=0)
    tidy(ax)
    _percent_log_axis(ax)
    ax.set_ylabel(f"{_title_of(metric).replace('accuracy', 'error')} (%, log scale)", fontsize=11)
    size_axis(ax, sizes)
    if title:
        ax.set_title(title, fontsize=12, parse_math=False)
    legend_below(ax)
    return ax


def fewshot_curves(
    frame: pd.DataFrame,
    shots: Sequence[int],
    axes: Sequence[Axes],
    models: Sequence[str] | None = None,
    level: float = 0.9,
) -> Sequence[Axes]:
    """Draws few-shot linear accuracy against training images, one Axes a number of shots.

    Args:
        frame: as for `learning_curves`, with columns fewshot_1, fewshot_5, ...
        shots: numbers of labelled images a class.
        axes: as many Axes.
        models: names in the order that decides their looks; None takes the frame's.
        level: confidence of the bands.
    """
    for number, (count, ax) in enumerate(zip(shots, axes, strict=True)):
        plural = "image" if count == 1 else "images"
        learning_curves(
            frame, f"fewshot_{count}", models, level=level, title=f"{count} {plural} a class", ax=ax
        )
        ax.set_ylabel("few-shot accuracy (%)", fontsize=10)
        ax.tick_params(labelsize=9)
        legend = ax.get_legend()
        if legend and number + 1 < len(axes):
            legend.remove()
    return axes


def _curve(
    ax: Axes, frame: pd.DataFrame, metric: str, mine: pd.DataFrame, model: str, look: Style
) -> None:
    seeds = frame[(frame["model"] == model) & frame[metric].notna()]
    ax.plot(
        seeds["size"], seeds[metric], look.marker, color=look.colour, alpha=0.3, markersize=3.5,
        markeredgewidth=0,
    )  # fmt: skip
    x, mean = mine["size"].to_numpy(float), mine["mean"].to_numpy()
    low, high = mine["low"].to_numpy(), mine["high"].to_numpy()
    if len(x) > 1:
        ax.fill_between(x, low, high, color=look.colour, alpha=0.18, linewidth=0)
    else:  # where a band has no width
        ax.errorbar(
            x, mean, yerr=[mean - low, high - mean], fmt="none", ecolor=look.colour, capsize=5,
        )  # fmt: skip
    ax.plot(
        x, mean, marker=look.marker, linestyle=look.line, color=look.colour, linewidth=1.8,
        markersize=6.5, markeredgecolor="white", markeredgewidth=0.7, label=model,
    )  # fmt: skip


def _caption(means: pd.DataFrame, level: float) -> str:
    counts = sorted(set(means["n"]))
    if counts == [1]:
        return "one seed, no interval"
    seeds = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
    return f"mean and {100 * level:g} % interval, {seeds} seeds"


def _end(last: float, laws: Mapping[str, ScalingLaw] | None, crossing: Crossing | None) -> float:
    """Up to where x goes: a forecast is shown if it lies within a decade of the data."""
    if not laws:
        return last
    forecast = crossing is not None and crossing.kind == "extrapolated"
    if forecast and crossing and crossing.size and last < crossing.size <= 10 * last:
        return crossing.size * 1.6
    return last * 2.0


def _mark(ax: Axes, crossing: Crossing, names: tuple[str, str] | None) -> bool:
    """Marks a crossing if it lies in the Axes; the words and the interval keep off the data."""
    left, right = ax.get_xlim()
    size = crossing.size
    if size is None or not left < size < right:
        return False
    style = "--" if crossing.kind == "measured" else ":"
    ax.axvline(size, color="0.25", linewidth=1.2, linestyle=style)
    # The interval lies as a bar on the x axis, in the margin below all data.
    bottom = ax.get_xaxis_transform()
    text = f"{short(_round(size))}"
    if crossing.low is not None and crossing.high is not None:
        low, high = max(crossing.low, left), min(crossing.high, right)
        ax.plot(
            [low, high], [0.018, 0.018], color="0.25", linewidth=5, alpha=0.45, transform=bottom,
            solid_capstyle="butt", gid="interval",
        )  # fmt: skip
        for end, is_open, marker in (
            (low, crossing.low < left, "<"), (high, crossing.high > right, ">")
        ):  # fmt: skip
            if is_open:
                ax.plot([end], [0.018], marker, color="0.25", transform=bottom, clip_on=False)
        text += _interval_text(crossing.low, crossing.high)
    what = "curves cross at" if crossing.kind == "measured" else "laws forecast a crossing at"
    if names and crossing.better_below:
        above, below = names if crossing.better_below == "b" else names[::-1]
        what = f"{above} overtakes {below} at"
        if crossing.kind == "extrapolated":
            what = f"forecast: {what}"
    # The note stands above the Axes, on the line, and ends with them where the line is near a side.
    place = math.log(size / left) / math.log(right / left)
    side = "left" if place < 0.35 else "right" if place > 0.65 else "center"
    edge = {"left": -4, "right": 4, "center": 0}[side]
    ax.annotate(
        f"{what} {text}", (size, 1.0), xycoords=bottom, xytext=(edge, 5),
        textcoords="offset points", ha=side, va="bottom", fontsize=10, color="0.15",
        parse_math=False,
    )  # fmt: skip
    return True


def _round(size: float) -> float:
    return float(f"{size:.2g}")


def _interval_text(low: float, high: float) -> str:
    if low == 0:
        return " (interval open)" if math.isinf(high) else f" (or below {short(_round(high))})"
    if math.isinf(high):
        return f" ({short(_round(low))} or more)"
    return f" ({short(_round(low))} to {short(_round(high))})"


def _percent_log_axis(ax: Axes) -> None:
    low, high = ax.get_ylim()
    narrow = high / low < 30
    ax.yaxis.set_major_locator(LogLocator(10, (1, 2, 3, 5, 7) if narrow else (1, 2, 5)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:.3g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())


def _title_of(metric: str) -> str:
    if metric.startswith("fewshot_"):
        return f"{metric.removeprefix('fewshot_')}-shot accuracy"
    return _NAMES.get(metric, metric)


def _empty(ax: Axes, title: str) -> Axes:
    ax.text(0.5, 0.5, "no finished trial yet", ha="center", va="center", transform=ax.transAxes)
    ax.set_axis_off()
    ax.set_title(title)
    return ax
