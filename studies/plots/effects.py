"""What single changes do, each with its interval: a forest plot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from studies.plots.style import new_panels, themed

_ROW, _EDGES = 0.3, 1.3  # inches of a row, and above and below them


class Row(NamedTuple):
    """One change.

    Attributes:
        group: what it belongs to, such as its factor; groups stand apart.
        label: its name.
        mean, low, high: in [-1, 1]; NaN where there is no interval.
        told: whether it is told apart from none.
    """

    group: str
    label: str
    mean: float
    low: float
    high: float
    told: bool


class Panel(NamedTuple):
    """Changes side by side, and their title."""

    title: str
    rows: Sequence[Row]


@themed
def forest(panels: Sequence[Panel], x_label: str, caption: str = "") -> list[Axes]:
    """Draws every change with its interval, filled where it is told apart from none.

    Args:
        panels: one Axes each; they share their range.
        x_label: what changes.
        caption: says what the bars are.

    Returns:
        The Axes of one new figure.
    """
    most = max(len(panel.rows) + len({row.group for row in panel.rows}) for panel in panels)
    columns = 3 if len(panels) == 3 else 2
    width = 8.0 if len(panels) == 1 else 10.0 / columns + 0.6
    axes = new_panels(len(panels), columns, width, _EDGES + _ROW * most, sharex=True)
    for ax, panel in zip(axes, panels, strict=True):
        place, places, group = 0, [], None
        for row in panel.rows:
            if row.group != group:
                group = row.group
                # Over the data's own room, which a long name in the margin would take.
                ax.text(
                    0.0, place, f" {group}", transform=ax.get_yaxis_transform(), va="center",
                    fontsize=9, fontweight="bold", color="0.25",
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
                )  # fmt: skip
                place += 1
            colour = "0.1" if row.told else "0.55"
            if not np.isnan(row.low):
                ax.plot([row.low, row.high], [place, place], "|-", color=colour, markersize=8)
            face = colour if row.told else "white"
            ax.plot(row.mean, place, "o", color=colour, markersize=6.5, markerfacecolor=face)
            places.append(place)
            place += 1
        ax.axvline(0.0, color="0.3", linewidth=1.2, linestyle=(0, (2, 2)), zorder=1)
        ax.set_yticks(places, [row.label for row in panel.rows])
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="y", visible=False)
        ax.set_ylim(place - 0.4, -0.6)
        ax.set_title(panel.title)
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:+.3g}" if x else "0"))
        ax.set_xlabel(f"{x_label} (points)")
        ax.xaxis.set_tick_params(labelbottom=True)
    if caption:
        axes[0].figure.supxlabel(caption, fontsize=9)
    return axes
