"""`python -m studies.report.side_by_side FOLDER ... --output FILE.png`: several studies' curves, one figure.

Where one data set favours one family and another the other, a reader wants to see them beside each
other. Each has its own vertical axis: what is compared are the models, within a panel.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from studies.errors import UsageError
from studies.plots.metrics import labels_of
from studies.plots.style import legend_of_figure, new_panels
from studies.records.axis import IMAGES
from studies.records.frames import Results, read_results
from studies.report.evidence import gather
from studies.report.figures import accuracy_on
from studies.report.report import write_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT = 4.1, 4.4  # of a panel, in inches


def side_by_side(studies: Sequence[Results], models: Sequence[str] | None = None) -> Figure:
    """Draws the learning curves of several studies, one panel each, models in the same colours.

    Args:
        studies: read results; their horizontal axis is the number of training images.
        models: which are drawn; None: those that all studies have.

    Raises:
        UsageError: a study has another axis or not all of the models, or they have none in common.
    """
    for results in studies:
        if results.axis.name != IMAGES:
            raise UsageError(
                f"{results.study.name} has {results.axis.name} along its axis and cannot stand beside "
                f"curves over training images: leave it out."
            )
    common = [m for m in studies[0].arms if all(m in results.arms for results in studies)]
    for model in models or ():
        if model not in common:
            shared = f"they share {', '.join(common)}" if common else "they share none"
            raise UsageError(f"The model {model!r} is not in all of these studies: {shared}.")
    if not common:
        raise UsageError("These studies have no model in common: choose others.")
    axes = new_panels(len(studies), len(studies), _WIDTH, _HEIGHT)
    for results, ax in zip(studies, axes, strict=True):
        accuracy_on(ax, results, gather(results), models or common, legend=False)
        if ax is not axes[0]:
            ax.set_ylabel("")
    figure = axes[0].get_figure(root=True)
    assert figure is not None
    legend_of_figure(figure, list(labels_of(axes).values()))
    return figure


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the learning curves of several results folders in one figure."""
    parser = argparse.ArgumentParser(
        prog="python -m studies.report.side_by_side", description=main.__doc__
    )
    parser.add_argument("folders", nargs="+", type=Path, help="results folders, from left to right")
    parser.add_argument("--models", help="comma-separated; those that all have by default")
    parser.add_argument("--output", type=Path, required=True, help="a PNG file")
    options = parser.parse_args(arguments)
    models = options.models.split(",") if options.models else None
    try:
        figure = side_by_side([read_results(folder) for folder in options.folders], models)
        print(write_figure(options.output, figure))
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
