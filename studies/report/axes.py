"""The study's axis, as figures and tables take it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studies.plots.style import XAxis
from studies.records.axis import Place
from studies.records.frames import Results

if TYPE_CHECKING:
    import pandas as pd


def x_axis(results: Results) -> XAxis:
    """The study's axis as figures take it."""
    return XAxis(results.axis.label, results.axis.scale, results.axis.levels)


def places_in_order(results: Results) -> list[Place]:
    """Places in the order of the study's arms."""
    order = list(results.arms)
    return [results.places[key] for key in sorted(results.places, key=lambda k: order.index(k[0]))]


def on_axis(frame: pd.DataFrame, results: Results) -> pd.DataFrame:
    """A frame of arms and sizes as one of curves and what the study varies: model, size, and panel."""
    keys = list(zip(frame["model"], frame["size"], strict=True))
    places = [results.places[model, int(size)] for model, size in keys]
    return frame.assign(
        model=[place.curve for place in places],
        size=[place.x for place in places],
        panel=[place.panel for place in places],
    )
