"""Error and its fitted law against the number of training images, both on log axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from studies.plots.style import (
    STEPS,
    TRAINING_IMAGES,
    XAxis,
    legend_below,
    new_axes,
    nothing_yet,
    styles,
    themed,
)

if TYPE_CHECKING:
    import pandas as pd

FORECAST = 2.0  # up to how many times the largest size laws are drawn
_NARROWEST = 1.5  # highest : lowest of a log axis


class Law(Protocol):
    """What a figure needs of a fitted law; see `studies.analysis.ScalingLaw`."""

    def predict(self, sizes: np.ndarray) -> np.ndarray: ...
    def mean_interval(self, sizes: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]: ...
    def summary(self) -> str: ...


@themed
def error_laws(
    seeds: pd.DataFrame,
    laws: Mapping[str, Law],
    models: Sequence[str],
    level: float = 0.9,
    y_label: str = "test error",
    title: str = "",
    axis: XAxis = TRAINING_IMAGES,
    ax: Axes | None = None,
) -> Axes:
    """Draws error against training images, both on log axes, with each law and its interval.

    Args:
        seeds: single results: model, size, value (an accuracy; drawn is 1 minus it).
        laws: fitted law by model; its line is dotted outside the measured sizes.
        models: names in the order that decides their looks.
        level: confidence of the bands.
        y_label: what the error is.
        title: stands above the Axes.
        axis: what sizes are, where they are not training images.
        ax: draws here; None makes a new figure.
    """
    ax = new_axes() if ax is None else ax
    looks = styles(models)
    seeds = seeds[seeds["value"].notna()]
    sizes = sorted(set(seeds["size"]))
    if not sizes:
        return nothing_yet(ax, title)
    first, last = float(sizes[0]), float(sizes[-1])
    end = last * FORECAST
    margin = (end / first) ** 0.04
    ax.set_xscale("log")
    ax.set_xlim(first / margin, end * margin)
    drawn = []  # errors, for the limits: those of a log axis do not find themselves
    for model in [m for m in models if m in set(seeds["model"])]:
        look, mine = looks[model], seeds[seeds["model"] == model]
        # Errors of zero cannot be shown on a log axis; the law's notes tell how they count.
        mine = mine[mine["value"] < 1.0]
        error = 1.0 - mine["value"].to_numpy(float)
        ax.plot(
            mine["size"], error, look.marker, color=look.colour, markersize=5, alpha=0.55,
            markeredgewidth=0, label=None if model in laws else f"{model}: no law",
        )  # fmt: skip
        drawn.append(error)
        if model not in laws or not len(mine):
            continue
        law = laws[model]
        inside = np.geomspace(mine["size"].min(), mine["size"].max(), 80)
        beyond = np.geomspace(inside[-1], end, 40)
        ax.plot(inside, law.predict(inside), "-", color=look.colour, linewidth=1.8)
        ax.plot(beyond, law.predict(beyond), ":", color=look.colour, linewidth=1.8)
        every = np.concatenate([inside, beyond])
        low, high = law.mean_interval(every, level)
        if np.isfinite(low).all():
            ax.fill_between(every, low, high, color=look.colour, alpha=0.15, linewidth=0)
        drawn += [law.predict(every), low, high]
        ax.plot([], [], look.marker, color=look.colour, ls="-", label=f"{model}: {law.summary()}")
    ax.axvspan(last, ax.get_xlim()[1], color="0.5", alpha=0.07, linewidth=0)
    percent_log_axis(ax, np.concatenate(drawn))
    ax.set_ylabel(f"{y_label} (%, log scale)")
    axis.ticks(ax, sizes, end)
    ax.set_title(title)
    legend_below(ax)
    return ax


def percent_log_axis(ax: Axes, errors: np.ndarray) -> None:
    """A log axis of errors in percent; equal errors get room and labels too."""
    known = errors[np.isfinite(errors) & (errors > 0)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.01, 1.0)
    widen = max(1.05, math.sqrt(_NARROWEST * low / high))
    low, high = low / widen, high * widen
    ax.set_yscale("log")
    ax.set_ylim(low, high)
    steps = (1, 2, 3, 5, 7) if high / low < 30 else (1, 2, 5)
    ticks = [s * 10.0**e for e in range(-6, 1) for s in steps]
    ticks = [tick for tick in ticks if low <= tick <= high]
    if len(ticks) < 4:
        ticks = [t for t in MaxNLocator(5, steps=STEPS).tick_values(low, high) if low <= t <= high]
    ax.yaxis.set_major_locator(FixedLocator(ticks))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:.3g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
