"""The forest of effects shows every change where it is, and which are told apart."""

import math

import pytest

from studies.plots.effects import Panel, Row, forest

pytestmark = pytest.mark.once


def test_rows_stand_in_order_with_their_groups_and_fill_tells_them_apart():
    rows = [
        Row("position", "none", -0.08, -0.09, -0.07, True),
        Row("position", "relative", 0.001, -0.01, 0.012, False),
        Row("depth", "1 block", -0.02, math.nan, math.nan, False),
    ]
    (ax,) = forest([Panel("10,000 training images", rows)], "change of test accuracy")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["none", "relative", "1 block"]
    assert [text.get_text().strip() for text in ax.texts] == ["position", "depth"]
    points = [line for line in ax.lines if line.get_marker() == "o"]
    assert [float(line.get_xdata()[0]) for line in points] == [-0.08, 0.001, -0.02]
    assert [line.get_markerfacecolor() for line in points] == ["0.1", "white", "white"]
    bars = [list(line.get_xdata()) for line in ax.lines if line.get_marker() == "|"]
    assert bars == [[-0.09, -0.07], [-0.01, 0.012]]  # none where there is no interval
    assert ax.get_xlabel() == "change of test accuracy (points)"


def test_panels_share_their_range():
    panels = [
        Panel(str(n), [Row("f", "a", 0.1 * n, 0.1 * n - 0.02, 0.1 * n + 0.02, True)])
        for n in (1, 3)
    ]
    one, two = forest(panels, "change")
    assert one.get_xlim() == two.get_xlim() and one.get_xlim()[1] >= 0.32
