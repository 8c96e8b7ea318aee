"""How far two models are apart at every size: the figure that a verdict is read from."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import seaborn
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from studies.plots.style import new_panels, outer_labels, short, themed

if TYPE_CHECKING:
    import pandas as pd

_LETTERS_AN_INCH = 10  # of a title
_ROOM = 0.005  # on both sides of the tie's line at least, where everything is equal


class Comparison(NamedTuple):
    """Two models at the sizes that both have.

    Attributes:
        a, b: names.
        table: one row a size: size, mean (a - b, in [-1, 1]), low, high (NaN without interval), told
            (whether it is said who is ahead).
        seeds: single seeds' differences: size, value.
    """

    a: str
    b: str
    table: pd.DataFrame
    seeds: pd.DataFrame


@themed
def differences(pairs: Sequence[Comparison], y_label: str, caption: str = "") -> list[Axes]:
    """Draws a - b at every size with its interval, single seeds as faint points, and the tie's line.

    Args:
        pairs: a panel each; they share their range.
        y_label: what differs.
        caption: says what the bars are.

    Returns:
        The Axes of one new figure.
    """
    width = 8.0 if len(pairs) == 1 else 4.5
    axes = new_panels(len(pairs), width=width, height=3.6, sharey=True)
    for ax, pair in zip(axes, pairs, strict=True):
        sizes = pair.table["size"].to_list()
        places = {size: place for place, size in enumerate(sizes)}
        strip = pair.seeds.assign(place=pair.seeds["size"].map(places) + 0.18)
        seaborn.stripplot(
            strip, x="place", y="value", native_scale=True, jitter=False, color="0.45", size=4,
            alpha=0.6, linewidth=0, legend=False, ax=ax,
        )  # fmt: skip
        for place, (_, row) in enumerate(pair.table.iterrows()):
            colour = "0.1" if row["told"] else "0.55"
            ends = [row["low"], row["high"]]
            ax.plot([place, place], ends, "_-", color=colour, markersize=9, linewidth=1.8)
            face = colour if row["told"] else "white"
            ax.plot(place, row["mean"], "o", color=colour, markersize=7, markerfacecolor=face)
        ax.axhline(0.0, color="0.3", linewidth=1.2, linestyle=(0, (2, 2)), zorder=1)
        ax.set_xticks(range(len(sizes)), [short(size) for size in sizes])
        ax.set_xlim(-0.5, len(sizes) - 0.5)
        ax.set_xlabel("training images")
        ax.set_ylabel(f"{y_label} (points)")
        ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:+.3g}" if y else "0"))
        ax.set_title(_title(pair.a, pair.b, int(_LETTERS_AN_INCH * width)))
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(min(low, -_ROOM), max(high, _ROOM))  # the others share it
    outer_labels(axes)
    if caption:
        axes[0].figure.supxlabel(caption, fontsize=9)
    return axes


def _title(a: str, b: str, letters: int) -> str:
    """What is drawn, in lines of so many letters: broken between the two sides where that will do."""
    ahead, behind = f"above 0 {a} is ahead,", f"below {b}"
    sides = [f"{ahead} {behind}"] if len(ahead) + len(behind) < letters else [ahead, behind]
    return "\n".join(textwrap.fill(line, letters) for line in (f"{a} minus {b}", *sides))
