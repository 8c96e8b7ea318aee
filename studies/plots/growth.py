"""How memory and speed of a trial change with the number of its images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from studies.plots.end_labels import label_ends
from studies.plots.style import Style, new_panels, size_axis, styles, themed

_POINTS = 50  # of a straight line on a log axis


@themed
def growth(rows: Mapping[str, Sequence[Mapping[str, Any]]], allowed: float, title: str) -> Figure:
    """Growth of the anonymous memory beyond that of the smallest size, and images per second.

    Args:
        rows: name -> rows by their number of images, with images, train_anon_mib and images_per_second.
        allowed: bytes an image, which are drawn as a line.
        title: of the figure.
    """
    looks = styles(list(rows))
    memory, speed = new_panels(2, width=6.2, height=4.4)
    found = {
        name: {
            key: np.array([float(row[key]) for row in own])
            for key in ("images", "train_anon_mib", "images_per_second")
        }
        for name, own in rows.items()
    }
    sizes = np.unique(np.concatenate([own["images"] for own in found.values()]))
    ends: dict[str, tuple[float, float]] = {}
    for name, own in found.items():
        look: dict[str, Any] = {"color": looks[name].colour, "marker": looks[name].marker}
        look["linestyle"] = looks[name].line
        more = own["train_anon_mib"] - own["train_anon_mib"][0]
        memory.plot(own["images"], more, **look)
        speed.plot(own["images"], own["images_per_second"], **look)
        ends[name] = more[-1], own["images_per_second"][-1]
    x = np.geomspace(sizes[0], sizes[-1], _POINTS)
    limit = allowed * (x - x[0]) / 2**20
    line = f"{allowed:g} bytes an image"
    looks[line] = Style("0.2", "", ":")
    memory.plot(x, limit, ":", color=looks[line].colour)
    low, high = memory.get_ylim()
    memory.set_ylim(low, max(high, 1.05 * limit[-1]))
    memory.set_ylabel("growth of a trial's anonymous memory (MiB)")
    speed.set_ylim(0, 1.1 * speed.get_ylim()[1])
    speed.set_ylabel("images a second, in training")
    for ax in (memory, speed):
        size_axis(ax, sizes)
    begins = {
        name: f"{name}\nfrom {own['train_anon_mib'][0]:.0f} MiB" for name, own in found.items()
    }
    heights = {name: end for name, (end, _) in ends.items()}
    label_ends(memory, {**heights, line: limit[-1]}, {**begins, line: line}, looks, 0.1)
    names = {name: name for name in found}
    label_ends(speed, {name: end for name, (_, end) in ends.items()}, names, looks, 0.06)
    figure = memory.get_figure(root=True)
    assert figure is not None
    figure.suptitle(title, fontsize=11)
    return figure
