"""Any metrics over what a study varies, a panel each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from studies.plots.style import TRAINING_IMAGES, XAxis, band, new_panels, styles, themed

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = 3


class MetricPanel(NamedTuple):
    """One panel.

    Attributes:
        title: what is shown.
        means: one row a curve and x: model, size (NaN: a line across), mean, low, high.
        unit: of the means.
    """

    title: str
    means: pd.DataFrame
    unit: str = ""


@themed
def metric_curves(
    panels: Sequence[MetricPanel], models: Sequence[str], axis: XAxis = TRAINING_IMAGES
) -> list[Axes]:
    """Draws a line a model: mean over seeds, with its interval as a band.

    Args:
        panels: in order; each has a range of its own.
        models: names in the order that decides their looks.
        axis: what sizes are.

    Returns:
        The Axes of one new figure; the lines are labelled, without a legend.
    """
    looks = styles(models)
    width = 6.0 if len(panels) == 1 else 4.0
    axes = new_panels(len(panels), _COLUMNS, width, 3.2)
    for ax, panel in zip(axes, panels, strict=True):
        known = panel.means[panel.means["size"].notna()]
        for model in [m for m in models if m in set(panel.means["model"])]:
            mine = panel.means[panel.means["model"] == model].sort_values("size")
            look = looks[model]
            _across(ax, mine[mine["size"].isna()], look.colour, look.line, model)
            mine = mine[mine["size"].notna()]
            if not len(mine):
                continue
            x, mean, low, high = (mine[c].to_numpy(float) for c in ("size", "mean", "low", "high"))
            band(ax, x, low, high, look, 0.15)
            ax.plot(
                x, mean, linestyle=look.line, color=look.colour, marker=look.marker, markersize=6,
                markeredgecolor="white", label=model,
            )  # fmt: skip
        if len(known):
            values = sorted(set(known["size"]))
            axis.limit(ax, float(values[0]), float(values[-1]))
            axis.ticks(ax, values)
        else:
            ax.set_xticks([])
        ax.set_title(panel.title)
        ax.set_ylabel(panel.unit)
    return axes


def _across(ax: Axes, rows: pd.DataFrame, colour: str, line: object, name: str) -> None:
    for row in rows.itertuples():
        ax.axhline(float(row.mean), color=colour, linestyle=line, linewidth=1.8, label=name)  # type: ignore[arg-type]
        if np.isfinite(row.low) and row.low < row.high:
            ax.axhspan(float(row.low), float(row.high), color=colour, alpha=0.1, linewidth=0)


def labels_of(axes: Sequence[Axes]) -> dict[str, Artist]:
    """Handles of all Axes by label, each label once."""
    found: dict[str, Artist] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return found
