"""Heat maps: which classes a model takes for which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm

from studies.plots.style import new_panels, themed

_NUMBERS_UP_TO = 12  # classes; with more, numbers do not fit into their cells
_NAMES_UP_TO = 40  # classes; with more, names do not fit beside their rows
_TICKS = (0, 1, 5, 20, 50, 100)  # percent; shades go by the root, or few mistakes would not be seen
_LETTERS = 16  # of a class' name


@themed
def confusion_matrices(
    matrices: Sequence[np.ndarray], titles: Sequence[str], class_names: Sequence[str]
) -> list[Axes]:
    """Draws confusion matrices beside each other: rows are labels, columns what was predicted.

    Args:
        matrices: (C, C) each, the share of a label's images that is given to each class; rows sum
            to 1, or are NaN for a class without test images.
        titles: one a matrix.
        class_names: one a label.

    Returns:
        The Axes of one new figure.
    """
    number = len(class_names)
    names = [_shortened(name) for name in class_names]
    side = min(max(2.4 + 0.32 * number, 3.6), 7.0)
    axes = new_panels(len(matrices), width=side + 0.4, height=side, sharey=True)
    bar: dict[str, Any] = {"label": "% of the label's test images", "ticks": _TICKS}
    bar |= {"fraction": 0.046, "pad": 0.03}  # of the Axes' width: as high as they are
    places = np.arange(number) + 0.5
    for ax, matrix, title in zip(axes, matrices, titles, strict=True):
        percent = 100 * np.asarray(matrix, float)
        seaborn.heatmap(
            percent, norm=PowerNorm(0.5, 0, 100), cmap="mako_r", square=True, ax=ax,
            cbar=ax is axes[-1],
            annot=_numbers(percent) if number <= _NUMBERS_UP_TO else None, fmt="",
            annot_kws={"fontsize": 8}, xticklabels=False, yticklabels=False,
            linewidths=0.5 if number <= _NAMES_UP_TO else 0, linecolor="0.92",
            cbar_kws=bar,
        )  # fmt: skip
        # Not by seaborn, which draws the figure for every name, to see whether they fit.
        if number <= _NAMES_UP_TO:
            ax.set_xticks(places, names)
            ax.set_yticks(places, names, va="center")
        ax.grid(False)
        ax.tick_params(length=0, labelsize=9)
        ax.tick_params(axis="x", rotation=90)
        ax.tick_params(axis="y", rotation=0)
        for spine in ax.spines.values():
            spine.set_visible(True)
        ax.set_title(title)
        ax.set_xlabel("predicted class")
        ax.set_ylabel("label" if ax is axes[0] else "")
    return axes


def _numbers(percent: np.ndarray) -> np.ndarray:
    """Whole percent; nothing where it rounds to none."""
    whole = np.round(np.nan_to_num(percent)).astype(int)
    return np.where(whole > 0, whole.astype(str), "")


def _shortened(name: str) -> str:
    return name if len(name) <= _LETTERS else name[: _LETTERS - 1] + "…"
