"""Small multiples of any metrics, over any axis."""

import numpy as np
import pandas as pd
import pytest

from studies.plots.learning_curves import learning_curves
from studies.plots.metrics import MetricPanel, labels_of, metric_curves
from studies.plots.style import XAxis

pytestmark = pytest.mark.once

LEVELS = XAxis("scramble", "levels", ("whole", "7", "1"))


def means(**curves):
    rows = [(m, x, y, y - 0.1, y + 0.1) for m, points in curves.items() for x, y in points]
    return pd.DataFrame(rows, columns=["model", "size", "mean", "low", "high"])


def test_every_metric_has_a_panel_with_a_line_a_curve():
    panels = [
        MetricPanel("one", means(vit=[(500, 1.0), (5000, 2.0)], bit=[(500, 3.0)])),
        MetricPanel("two", means(vit=[(500, 7.0), (5000, 8.0)])),
    ]
    one, two = metric_curves(panels, ["vit", "bit"])
    assert (one.get_title(), two.get_title()) == ("one", "two")
    assert list(labels_of([one, two])) == ["vit", "bit"]
    line = next(line for line in one.lines if line.get_label() == "vit")
    assert list(line.get_xdata()) == [500, 5000] and list(line.get_ydata()) == [1.0, 2.0]
    assert one.get_xscale() == "log" and one.get_xlabel().startswith("training images")


@pytest.mark.parametrize("draw", ["metrics", "curves"])
def test_words_are_places_and_what_is_nowhere_is_a_line_across(draw):
    frame = means(vit=[(0, 0.5), (1, 0.4), (2, 0.3)], bit=[(np.nan, 0.7)])
    if draw == "metrics":
        (ax,) = metric_curves([MetricPanel("a", frame)], ["vit", "bit"], LEVELS)
    else:
        seeds = frame.rename(columns={"mean": "value"})[["model", "size", "value"]]
        ax = learning_curves(frame, seeds, ["vit", "bit"], axis=LEVELS, legend=False)
        assert ax.get_legend() is None
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["whole", "7", "1"]
    assert ax.get_xlabel() == "scramble" and ax.get_xscale() == "linear"
    across = next(line for line in ax.lines if line.get_label() == "bit")
    assert list(across.get_ydata()) == [0.7, 0.7] and list(across.get_xdata()) == [0, 1]


def test_what_is_nowhere_is_drawn_before_there_is_anything_on_the_axis():
    frame = means(scratch=[(np.nan, 0.7)])
    seeds = frame.rename(columns={"mean": "value"})[["model", "size", "value"]]
    ax = learning_curves(
        frame, seeds, ["scratch", "before"], axis=XAxis("images of the pre-training")
    )
    assert next(line.get_label() for line in ax.lines) == "scratch" and not ax.texts


def test_an_axis_of_numbers_may_be_linear():
    (ax,) = metric_curves(
        [MetricPanel("a", means(vit=[(0, 0.5), (0.5, 0.4)]))], ["vit"], XAxis("rate", "linear")
    )
    assert ax.get_xscale() == "linear" and ax.get_xlim()[0] < 0 < 0.5 < ax.get_xlim()[1]
