"""Accuracy against the number of training images, or what else a study varies, measured and forecast."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from studies.plots.end_labels import label_ends
from studies.plots.laws import FORECAST, Law
from studies.plots.style import (
    STEPS,
    TRAINING_IMAGES,
    Style,
    XAxis,
    band,
    legend_below,
    new_axes,
    nothing_yet,
    percent_axis,
    short,
    styles,
    themed,
)

if TYPE_CHECKING:
    import pandas as pd

    from studies.analysis import Crossing

_SQUEEZED = 0.6  # of the curves' range: a baseline further below them is drawn under a break
_FEW_MODELS = 3  # the bands of more are lighter, since they lie on each other


class Line(NamedTuple):
    """A line at one accuracy, such as that of always naming the commonest class."""

    value: float
    label: str


@themed
def learning_curves(
    means: pd.DataFrame,
    seeds: pd.DataFrame,
    models: Sequence[str],
    laws: Mapping[str, Law] | None = None,
    crossing: Crossing | None = None,
    names: tuple[str, str] | None = None,
    baseline: Line | None = None,
    marks: Mapping[tuple[str, Any], str] | None = None,
    level: float = 0.9,
    y_label: str = "test accuracy",
    caption: str = "",
    title: str = "",
    axis: XAxis = TRAINING_IMAGES,
    legend: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draws one line a model: mean over seeds, its interval as a band, seeds as faint points.

    Args:
        means: one row a model and size: model, size, mean, low, high, in [0, 1]; low and high are
            NaN where there is no interval. A size of NaN is nowhere on the axis: a line across.
        seeds: single results: model, size, value.
        models: names in the order that decides their looks.
        laws: fitted laws; beyond the largest measured size drawn dotted, with their band.
        crossing: marked with its interval; see `studies.analysis`.
        names: the two models that cross.
        baseline: drawn across; under a break of the axis where it lies far below all curves.
        marks: what must be known of a model at a size (NaN: of its line across), such as "undertrained";
            the point is hollow, and so are a line's ends.
        level: confidence of the laws' bands.
        y_label: what the accuracy is.
        caption: says what the bands are.
        title: stands above the Axes.
        axis: what sizes are, where they are not training images.
        legend: whether the Axes get one; several that show the same share the figure's.
        ax: draws here; None makes a new figure.

    Returns:
        The Axes.
    """
    ax = new_axes() if ax is None else ax
    looks, marks = styles(models), marks or {}
    across = means[means["size"].isna()]
    means, seeds = means[means["size"].notna()], seeds[seeds["size"].notna()]
    sizes = sorted(set(means["size"]))
    if not sizes and not len(across):
        return nothing_yet(ax, title)
    if len(sizes) == 1 and not len(across) and axis == TRAINING_IMAGES:
        return _one_size(ax, means, seeds, looks, baseline, marks, y_label, caption, title)
    first, last = (sizes[0], sizes[-1]) if sizes else (1.0, 1.0)
    end = _end(last, laws, crossing)
    axis.limit(ax, first, end)
    ends: dict[str, float] = {}
    shade = 0.18 if means["model"].nunique() <= _FEW_MODELS else 0.09
    for model in [m for m in models if m in set(means["model"])]:
        mine = means[means["model"] == model].sort_values("size")
        name = _name(model, marks.get((model, float(mine["size"].max()))))
        _curve(ax, mine, seeds[seeds["model"] == model], looks[model], name, shade)
        _hollow(ax, mine[[(model, size) in marks for size in mine["size"]]], looks[model])
        if laws and model in laws and end > last:
            ends[model] = _forecast(ax, laws[model], mine["size"].max(), end, level, looks[model])
    nowhere = {model: why for (model, size), why in marks.items() if math.isnan(size)}
    for row in across.itertuples():
        _across(ax, row, looks[row.model], nowhere.get(row.model))
    if end > last:
        ax.axvspan(last, ax.get_xlim()[1], color="0.5", alpha=0.07, linewidth=0)
        ax.plot([], [], ":", color="0.4", linewidth=1.8, label="forecast of the fitted law")
    _name_hollow(ax, marks)
    ax.set_ylabel(f"{y_label} (%)")
    percent_axis(ax)
    if baseline is not None:
        _baseline(ax, baseline)
    forecasts = {model: f"{100 * place:.1f} %" for model, place in ends.items()}
    label_ends(ax, ends, forecasts, looks)
    axis.ticks(ax, sizes, end if end > last else None)
    marked = crossing is not None and _mark(ax, crossing, names)
    if title:
        # The mark's note lies between the Axes and the title.
        ax.set_title(title, pad=24 if marked else None)
    if legend:
        legend_below(ax, caption or None)
    return ax


def _across(ax: Axes, row: Any, look: Style, mark: str | None) -> None:
    """A model that is nowhere on the axis, with its interval; where it is marked, with hollow ends."""
    name = _name(row.model, mark)
    ax.axhline(row.mean, color=look.colour, linestyle=look.line, linewidth=1.8, label=name)
    if mark:
        ends = ax.get_yaxis_transform()
        point = _points(look, hollow=True)
        ax.plot([0.02, 0.98], [row.mean] * 2, linestyle="", **point, transform=ends, gid="ends")
    if row.low < row.high:
        ax.axhspan(row.low, row.high, color=look.colour, alpha=0.1, linewidth=0)


def _curve(
    ax: Axes, mine: pd.DataFrame, seeds: pd.DataFrame, look: Style, name: str, shade: float
) -> None:
    _strip(ax, seeds, look, x="size", y="value")
    x, mean = mine["size"].to_numpy(float), mine["mean"].to_numpy(float)
    low, high = mine["low"].to_numpy(float), mine["high"].to_numpy(float)
    band(ax, x, low, high, look, shade)
    ax.plot(x, mean, linestyle=look.line, **_points(look), label=name)


def _hollow(ax: Axes, marked: pd.DataFrame, look: Style) -> None:
    if len(marked):
        ax.plot(marked["size"], marked["mean"], linestyle="", **_points(look, hollow=True))


def _name_hollow(ax: Axes, marks: Mapping[tuple[str, Any], str]) -> None:
    reasons = " or ".join(sorted(set(marks.values())))
    if reasons:
        key = _points(Style("0.4", "o", ""), hollow=True)
        ax.plot([], [], linestyle="", **key, label=f"hollow: {reasons}")


def _forecast(ax: Axes, law: Law, start: float, end: float, level: float, look: Style) -> float:
    """Draws a law from the model's largest size on; the accuracy where it ends."""
    x = np.geomspace(float(start), end, 60)
    low, high = law.mean_interval(x, level)
    ax.plot(x, 1.0 - law.predict(x), ":", color=look.colour, linewidth=1.8)
    ax.fill_between(x, 1.0 - high, 1.0 - low, color=look.colour, alpha=0.12, linewidth=0)
    return float(1.0 - law.predict(x)[-1])


def _one_size(
    ax: Axes, means: pd.DataFrame, seeds: pd.DataFrame, looks: Mapping[str, Style],
    baseline: Line | None, marks: Mapping[tuple[str, Any], str], label: str, caption: str,
    title: str,
) -> Axes:  # fmt: skip
    """One row a model: a line along the sizes would have no length."""
    shown = [model for model in looks if model in set(means["model"])]
    size = int(means["size"].iloc[0])
    marked = [marks.get((model, size)) for model in shown]
    for place, model in enumerate(shown):
        look, mine = looks[model], means[means["model"] == model].iloc[0]
        under = seeds[seeds["model"] == model].assign(place=place + 0.2)
        _strip(ax, under, look, x="value", y="place")
        ax.plot([mine["low"], mine["high"]], [place, place], "|-", color=look.colour, markersize=9)
        point = _points(look, hollow=bool(marked[place]))
        ax.plot([mine["mean"]], [place], linestyle="", **point)
    ax.set_yticks(range(len(shown)), [_name(m, mark) for m, mark in zip(shown, marked)])
    ax.set_ylim(len(shown) - 0.4, -0.6)
    ax.set_ylabel("")
    ax.set_xlabel(f"{label} (%)")
    ax.xaxis.set_major_locator(MaxNLocator(6, steps=STEPS))
    percent_axis(ax, "x")
    if baseline is not None:
        _baseline(ax, baseline, "x")
    ax.set_title("\n".join(filter(None, (title, f"{size:,} training images"))))
    ax.plot([], [], "|-", color="0.4", markersize=9, label=caption)
    legend_below(ax)
    return ax


def _strip(ax: Axes, seeds: pd.DataFrame, look: Style, x: str, y: str) -> None:
    """Single seeds as faint points."""
    seaborn.stripplot(
        seeds, x=x, y=y, orient="y" if y == "place" else "x", native_scale=True, jitter=False,
        color=look.colour, marker=look.marker, size=4, alpha=0.35, linewidth=0, legend=False, ax=ax,
    )  # fmt: skip


def _points(look: Style, hollow: bool = False) -> dict[str, Any]:
    """How means look."""
    face, edge = ("white", look.colour) if hollow else (look.colour, "white")
    return {
        "color": look.colour,
        "linewidth": 1.8,
        "marker": look.marker,
        "markersize": 6.5,
        "markerfacecolor": face,
        "markeredgecolor": edge,
        "markeredgewidth": 1.5 if hollow else 0.7,
    }


def _name(model: str, mark: str | None) -> str:
    return f"{model} ({mark})" if mark else model


def _end(last: float, laws: Mapping[str, Law] | None, crossing: Crossing | None) -> float:
    """Up to where x goes: a forecast is shown if it lies within a decade of the data."""
    if not laws:
        return last
    forecast = crossing is not None and crossing.kind == "extrapolated"
    if forecast and crossing and crossing.size and last < crossing.size <= 10 * last:
        return max(crossing.size * 1.6, FORECAST * last)
    return FORECAST * last


def _baseline(ax: Axes, line: Line, axis: str = "y") -> None:
    """A line across; far below the data under a break, so that the curves keep their room."""
    limits, set_limits = (ax.get_ylim, ax.set_ylim) if axis == "y" else (ax.get_xlim, ax.set_xlim)
    across = ax.axhline if axis == "y" else ax.axvline
    low, high = limits()
    room = high - low
    place = line.value
    if low - line.value > _SQUEEZED * room:
        place = low - 0.06 * room
        ticks = [t for t in MaxNLocator(6, steps=STEPS).tick_values(low, high) if low <= t <= high]
        the_axis = ax.yaxis if axis == "y" else ax.xaxis
        labels = [f"{100 * line.value:.3g}", *(f"{100 * tick:.4g}" for tick in ticks)]
        the_axis.set_ticks([place, *ticks], labels)
        set_limits(low - 0.11 * room, high)
        _break(ax, (place + low) / 2, axis)
    else:
        margin = 0.05 * max(high - min(low, line.value), line.value - low)
        set_limits(min(low, line.value - margin), max(high, line.value + margin))
    across(place, color="0.35", linewidth=1.2, linestyle=(0, (2, 2)), zorder=1, label=line.label)


def _break(ax: Axes, place: float, axis: str) -> None:
    """Two strokes across the axis, in print the sign of values left out."""
    low, high = ax.get_ylim() if axis == "y" else ax.get_xlim()
    share = (place - low) / (high - low)
    for shift in (-0.008, 0.008):
        along, over = [share + shift - 0.006, share + shift + 0.006], [-0.01, 0.01]
        x, y = (over, along) if axis == "y" else (along, over)
        ax.plot(x, y, color="0.3", linewidth=1, transform=ax.transAxes, clip_on=False, gid="break")


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
        textcoords="offset points", ha=side, va="bottom", fontsize=10, color="0.15", gid="crossing",
    )  # fmt: skip
    return True


def _round(size: float) -> float:
    return float(f"{size:.2g}")


def _interval_text(low: float, high: float) -> str:
    if low == 0:
        return f" (or below {short(_round(high))})"
    if math.isinf(high):
        return f" ({short(_round(low))} or more)"
    return f" ({short(_round(low))} to {short(_round(high))})"
