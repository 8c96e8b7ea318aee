"""What all figures share: colours, markers, the axis of training images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator
from matplotlib.transforms import ScaledTranslation

# Okabe and Ito's palette, told apart with any colour vision; marker and line style differ too, for
# print in grey. The last, yellow, would be too light on white and is left out.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_LINES = ("-", (0, (6, 1.5)), (0, (6, 1.5, 1.5, 1.5)), (0, (3, 1)))

DPI = 150
_LETTERS_AN_INCH, _KEY_LETTERS = 13, 7  # of a legend: its letters, and the room of a line's sample
_LABELS_POINTS = 40.0  # from the x axis down to below its label


@dataclass(frozen=True)
class Style:
    """How one line of a figure looks."""

    colour: str
    marker: str
    line: str | tuple


def styles(names: Sequence[str]) -> dict[str, Style]:
    """A style for every name, the same in all figures of a study."""
    return {
        name: Style(
            _COLOURS[i % len(_COLOURS)], _MARKERS[i % len(_MARKERS)], _LINES[i % len(_LINES)]
        )
        for i, name in enumerate(names)
    }


def new_figure(width: float = 8.0, height: float = 5.0) -> Figure:
    """An empty figure in inches, outside pyplot's global list."""
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def new_axes(width: float = 8.0, height: float = 5.0) -> Axes:
    """The only Axes of a new figure."""
    return new_figure(width, height).subplots()


def tidy(ax: Axes) -> None:
    """Light grid behind the data, no box."""
    ax.grid(True, color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=10)


def size_axis(ax: Axes, sizes: Iterable[float], label: str = "training images") -> None:
    """Makes x a log axis of numbers of training images, with ticks at the sizes themselves.

    Args:
        ax: the Axes; its x limits are kept, so set them first.
        sizes: measured sizes; those too close to each other to be read are not labelled.
        label: the axis' label.
    """
    ax.set_xscale("log")
    low, high = ax.get_xlim()
    span = np.log(high / low)
    ticks: list[float] = []
    wanted = sorted({float(s) for s in sizes})
    for size in [*wanted, *_round_sizes(max(wanted, default=low), high)]:
        if not ticks or np.log(size / ticks[-1]) > 0.05 * span:
            ticks.append(size)
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda size, _: short(size)))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel(f"{label} (log scale)", fontsize=11)


def legend_below(ax: Axes, title: str | None = None, **options: Any) -> None:
    """Puts the legend under the Axes and its labels, where it covers no data whatever they are.

    Args:
        ax: the Axes; without labelled lines it gets no legend.
        title: stands above the entries.
        options: further ones of `Axes.legend`.
    """
    labels = ax.get_legend_handles_labels()[1]
    if not labels:
        return
    figure = ax.get_figure(root=True)
    assert figure is not None
    room = figure.get_size_inches()[0] * ax.get_position().width
    down = ScaledTranslation(0.0, -_LABELS_POINTS / 72, figure.dpi_scale_trans)
    legend = ax.legend(
        loc="upper center", bbox_to_anchor=(0.5, 0.0), bbox_transform=ax.transAxes + down,
        borderaxespad=0.0, ncols=_columns(labels, room), fontsize=10, title=title, title_fontsize=9,
        frameon=False, **options,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)  # a dollar sign in a model's name is a dollar sign


def short(size: float) -> str:
    """500, 2k, 1.5M: a number of images in few letters, two or three digits of it."""
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= 0.9995 * factor:
            return f"{size / factor:.3g}{letter}"
    return f"{size:.3g}"


def _columns(labels: Sequence[str], inches: float) -> int:
    """As many columns of a legend as some inches hold; entries go down the columns."""
    for columns in range(len(labels), 1, -1):
        rows = -(-len(labels) // columns)
        parts = [labels[i : i + rows] for i in range(0, len(labels), rows)]
        if sum(max(map(len, part)) + _KEY_LETTERS for part in parts) <= inches * _LETTERS_AN_INCH:
            return columns
    return 1


def _round_sizes(start: float, stop: float) -> list[float]:
    """1, 2, 5, 10, ... in (start, stop]."""
    sizes = [f * 10.0**e for e in range(13) for f in (1, 2, 5)]
    return [size for size in sizes if start < size <= stop]
