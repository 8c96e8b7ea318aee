"""Labels beside the ends of lines, in their colours, which keep their order and a distance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from studies.plots.style import Style


def label_ends(
    ax: Axes,
    ends: Mapping[str, float],
    texts: Mapping[str, str],
    looks: Mapping[str, Style],
    distance: float = 0.05,
) -> None:
    """Writes a text for each line to the right of the Axes, at the height where it ends.

    Args:
        ax: the Axes; its y limits are kept, so set them first.
        ends: name -> y.
        texts: name -> what is written.
        looks: name -> the line's style.
        distance: of two texts at least, in parts of the Axes' height.
    """
    low, high = ax.get_ylim()
    names = sorted(ends, key=lambda name: ends[name])
    places = _apart([(ends[name] - low) / (high - low) for name in names], distance)
    for name, place in zip(names, places, strict=True):
        ax.annotate(
            texts[name], (1.0, place), xycoords="axes fraction", xytext=(4, 0),
            textcoords="offset points", va="center", fontsize=9, color=looks[name].colour,
            annotation_clip=False, gid="end",
        )  # fmt: skip


def _apart(places: Sequence[float], distance: float) -> list[float]:
    """Ascending places moved as little as it takes to lie a distance apart."""
    blocks: list[list[float]] = []  # sums of the blocks' centres, their lengths
    for place in places:
        blocks.append([place, 1])
        while len(blocks) > 1 and _overlap(blocks[-2], blocks[-1], distance):
            after = blocks.pop()
            blocks[-1] = [blocks[-1][0] + after[0], blocks[-1][1] + after[1]]
    return [
        total / count + (i - (count - 1) / 2) * distance
        for total, count in blocks
        for i in range(int(count))
    ]


def _overlap(before: Sequence[float], after: Sequence[float], distance: float) -> bool:
    gap = after[0] / after[1] - before[0] / before[1]
    return gap < distance * (before[1] + after[1]) / 2
