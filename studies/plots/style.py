"""What all figures share: seaborn's theme and palette, markers, the axis of training images.

Reference:
    seaborn: Waskom, Journal of Open Source Software 6(60), 3021, 2021.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import seaborn
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator
from matplotlib.transforms import ScaledTranslation

DPI = 150
STEPS = (1, 2, 2.5, 5, 10)  # between ticks, times a power of ten

# seaborn's "ticks" with a light grid behind the data. The font comes with matplotlib: equal records
# are to give equal figures on every machine.
THEME = {
    **seaborn.axes_style("ticks"),
    **seaborn.plotting_context("notebook", font_scale=0.92),
    "axes.edgecolor": "0.3",
    "axes.grid": True,
    "axes.linewidth": 1.0,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.sans-serif": ["DejaVu Sans"],
    "grid.color": "0.9",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.title_fontsize": 9,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "xtick.major.width": 1.0,
    "ytick.major.width": 1.0,
}

# Decorates what makes or draws on Axes: the theme holds inside, and everyone's own settings after.
themed = matplotlib.rc_context(THEME)

# seaborn's palette for every colour vision, in an order that keeps orange and vermilion apart; its
# light colours (rose, yellow) are left out. Marker and line style differ too, for print in grey.
_ORDER = (0, 3, 2, 4, 1, 9, 7, 5)
_COLOURS = tuple(seaborn.color_palette("colorblind").as_hex()[i] for i in _ORDER)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_LINES = ("-", (0, (6, 1.5)), (0, (6, 1.5, 1.5, 1.5)), (0, (3, 1)))

_LETTERS_AN_INCH, _KEY_LETTERS = 13, 7  # of a legend: its letters, and the room of a line's sample
_LONG_LABEL = 5  # letters of a tick's label
_LABELS_POINTS = 40.0  # from the x axis down to below its label


@dataclass(frozen=True)
class Style:
    """How one line of a figure looks."""

    colour: str
    marker: str
    line: Any  # as matplotlib takes it: a name, or an offset and the lengths of dashes and gaps


def styles(names: Sequence[str]) -> dict[str, Style]:
    """A style for every name, the same in all figures of a study.

    Where there are more names than colours, a colour comes again with another line and another marker.
    """
    return {
        name: Style(
            _COLOURS[i % len(_COLOURS)],
            _MARKERS[i % len(_MARKERS)],
            _LINES[(i + i // len(_COLOURS)) % len(_LINES)],
        )
        for i, name in enumerate(names)
    }


def new_figure(width: float = 8.0, height: float = 5.0) -> Figure:
    """An empty figure in inches, outside pyplot's global list."""
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


@themed
def new_axes(width: float = 8.0, height: float = 5.0) -> Axes:
    """The only Axes of a new figure."""
    return new_figure(width, height).subplots()


@themed
def new_panels(
    number: int, columns: int = 2, width: float = 4.5, height: float = 4.0, **shared: Any
) -> list[Axes]:
    """The Axes of a new figure, in rows.

    Args:
        number: of Axes.
        columns: beside each other at most.
        width, height: of each, in inches.
        shared: sharex, sharey of `Figure.subplots`.
    """
    columns = min(number, columns)
    rows = -(-number // columns)
    figure = new_figure(columns * width, rows * height)
    axes = figure.subplots(rows, columns, squeeze=False, **shared).ravel()
    for spare in axes[number:]:
        spare.set_axis_off()
    return list(axes[:number])


class XAxis(NamedTuple):
    """What stands along x.

    Attributes:
        label: with the unit.
        scale: "log" or "linear" of numbers; "levels": x is a place from 0, named below.
        levels: the names.
    """

    label: str = "training images"
    scale: str = "log"
    levels: tuple[str, ...] = ()

    def limit(self, ax: Axes, first: float, last: float) -> None:
        """Sets x limits with a margin, and the scale."""
        if self.scale == "log":
            margin = 0.04 * np.log(last / first) or 0.3
            ax.set_xscale("log")
            ax.set_xlim(first * np.exp(-margin), last * np.exp(margin))
        else:
            margin = 0.04 * (last - first) or 0.5
            ax.set_xlim(first - margin, last + margin)

    def ticks(self, ax: Axes, values: Iterable[float], end: float | None = None) -> None:
        """Labels x; set the limits first."""
        if self.scale == "log":
            size_axis(ax, values, end, self.label)
            return
        if self.levels:
            ax.set_xticks(range(len(self.levels)), self.levels)
        ax.set_xlabel(self.label)


TRAINING_IMAGES = XAxis()


def band(
    ax: Axes, x: np.ndarray, low: np.ndarray, high: np.ndarray, look: Style, shade: float
) -> None:
    """The interval around a curve; around a single point a bar, since a band would have no width."""
    if len(x) > 1:
        ax.fill_between(x, low, high, color=look.colour, alpha=shade, linewidth=0)
    else:
        ax.plot([x, x], [low, high], "|-", color=look.colour, linewidth=1.8)


def percent_axis(ax: Axes, axis: str = "y") -> None:
    """Labels shares in [0, 1] in percent; the unit stands in the axis' label."""
    getattr(ax, f"{axis}axis").set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.4g}"))


def size_axis(
    ax: Axes, sizes: Iterable[float], end: float | None = None, label: str = "training images"
) -> None:
    """Makes x a log axis of numbers of training images, with ticks at the sizes themselves.

    Args:
        ax: the Axes; its x limits are kept, so set them first.
        sizes: measured sizes; those too close to each other to be read are not labelled.
        end: up to where a forecast goes; labelled too.
        label: the axis' label.
    """
    ax.set_xscale("log")
    span = np.log(np.divide(*ax.get_xlim()[::-1]))
    measured = sorted({float(s) for s in sizes})
    last = measured[-1:]
    # First come, first labelled: the ends say most, round numbers beyond the data least.
    wanted = [*measured[:1], *last, *([end] if end else []), *measured]
    ticks: list[float] = []
    letters = max((len(short(size)) for size in wanted), default=0)
    apart = 0.05 if letters < _LONG_LABEL else 0.09
    for size in [*wanted, *(_round_sizes(last[0], end) if end else [])]:
        if all(abs(np.log(size / tick)) > apart * span for tick in ticks):
            ticks.append(size)
    ax.xaxis.set_major_locator(FixedLocator(sorted(ticks)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda size, _: short(size)))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel(f"{label} (log scale)")


def outer_labels(axes: Sequence[Axes]) -> None:
    """Labels an axis once a row or column of Axes: left of the first, below the lowest that there is."""
    lowest = {_column(ax): ax for ax in axes}  # they come row by row
    for ax in axes:
        label = ax.get_xlabel()
        ax.label_outer()
        if lowest[_column(ax)] is ax:  # under it there may be room that no Axes have taken
            ax.set_xlabel(label)
            ax.tick_params(labelbottom=True)


def _column(ax: Axes) -> int:
    place = ax.get_subplotspec()
    return place.colspan.start if place is not None else 0


@themed
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
        borderaxespad=0.0, ncols=_columns(labels, room), title=title, **options,
    )  # fmt: skip
    legend.get_title().set_multialignment("center")


@themed
def legend_of_figure(figure: Figure, handles: Sequence[Artist], title: str | None = None) -> None:
    """Puts one legend under all Axes of a figure.

    Args:
        figure: with a constrained layout, which makes room for it.
        handles: labelled artists; without any there is no legend.
        title: stands above the entries.
    """
    labels = [str(handle.get_label()) for handle in handles]
    if labels:
        columns = _columns(labels, figure.get_size_inches()[0])
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, title=title)


def nothing_yet(ax: Axes, title: str) -> Axes:
    """Says on empty Axes that there is no result."""
    ax.text(0.5, 0.5, "no finished trial yet", ha="center", va="center", transform=ax.transAxes)
    ax.set_axis_off()
    ax.set_title(title)
    return ax


def keys(names: Iterable[str], looks: dict[str, Style], markers: bool = True) -> list[Line2D]:
    """Samples of models' lines for a legend."""
    return [
        Line2D(
            [], [], color=looks[name].colour, linestyle=looks[name].line,
            marker=looks[name].marker if markers else "", label=name,
        )
        for name in names
    ]  # fmt: skip


def short(size: float) -> str:
    """500, 2k, 1.5M: a number of images, or FLOPs, in few letters, two or three digits of it."""
    for factor, letter in (
        (1e18, "E"),
        (1e15, "P"),
        (1e12, "T"),
        (1e9, "G"),
        (1e6, "M"),
        (1e3, "k"),
    ):
        if size >= 0.9995 * factor:
            return f"{size / factor:.3g}{letter}"
    return f"{size:.3g}"


def _columns(labels: Sequence[str], inches: float) -> int:
    """As many columns of a legend as some inches hold; entries go down the columns."""
    for columns in range(len(labels), 1, -1):
        # As matplotlib shares entries out: the first columns get those that are left over.
        parts = np.array_split([len(label) for label in labels], columns)
        if sum(part.max() + _KEY_LETTERS for part in parts) <= inches * _LETTERS_AN_INCH:
            return columns
    return 1


def _round_sizes(start: float, stop: float) -> list[float]:
    """1, 2, 5, 10, ... in (start, stop]."""
    sizes = [f * 10.0**e for e in range(13) for f in (1, 2, 5)]
    return [size for size in sizes if start < size <= stop]
