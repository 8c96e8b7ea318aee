"""Images per second of contenders, a panel for each case."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from studies.plots.style import new_panels, styles, themed

LETTERS = 9  # of a title, to an inch


@themed
def speeds(rows: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Bars of medians with their quartiles, and the ratio of the panel's first to each.

    Args:
        rows: with mode, model, image_size, batch_size, contender, images_per_second, its quartiles
            (lower_quartile, upper_quartile) and ratio; those of one case follow one another.
        title: of the figure.
    """
    cases: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        key = tuple(row[name] for name in ("mode", "model", "image_size", "batch_size"))
        cases.setdefault(key, []).append(row)
    looks = styles(list(dict.fromkeys(row["contender"] for row in rows)))
    tallest = max(len(own) for own in cases.values())
    panels = new_panels(len(cases), width=5.5, height=0.9 + 0.45 * tallest)
    for ax, ((mode, model, pixels, batch), own) in zip(panels, cases.items(), strict=True):
        places = range(len(own))
        values = [row["images_per_second"] for row in own]
        around = [
            [value - row["lower_quartile"] for value, row in zip(values, own, strict=True)],
            [row["upper_quartile"] - value for value, row in zip(values, own, strict=True)],
        ]
        colours = [looks[row["contender"]].colour for row in own]
        ax.barh(places, values, xerr=around, color=colours, height=0.7, ecolor="0.3")
        for place, row in zip(places, own, strict=True):
            if row["ratio"] != "":
                text = f"  {row['ratio']:.2f} x"
                ax.text(row["upper_quartile"], place, text, va="center", fontsize=9)
        ax.set_yticks(places, [row["contender"] for row in own])
        ax.set_ylim(tallest - 0.5, -0.5)
        ax.margins(x=0.18)
        ax.grid(False, axis="y")
        ax.set_xlabel("images a second")
        ax.set_title(f"{mode}, {model}, {pixels} px, batch {batch}", fontsize=10)
    figure = panels[0].get_figure(root=True)
    assert figure is not None
    lines = [title, "(x: so many times as fast is the first of a panel)"]
    wide = int(figure.get_figwidth() * LETTERS)
    figure.suptitle("\n".join(textwrap.fill(line, wide) for line in lines), fontsize=12)
    return figure
