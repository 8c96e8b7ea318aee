"""The figure of differences: a bar a size, the tie's line, seeds beside it."""

import io

import numpy as np
import pandas as pd
import pytest

from studies.plots.differences import Comparison, differences

pytestmark = pytest.mark.once


def comparison(rows, seeds=()):
    table = pd.DataFrame(rows, columns=["size", "mean", "low", "high", "told"])
    return Comparison("a", "b", table, pd.DataFrame(list(seeds), columns=["size", "value"]))


def test_bars_are_the_intervals_and_the_line_is_the_tie():
    pair = comparison(
        [(500, -0.02, -0.05, 0.01, False), (1000, 0.03, 0.02, 0.04, True)],
        [(500, -0.01), (1000, 0.035)],
    )
    (ax,) = differences([pair], "test accuracy", "mean and 90 % interval")
    ax.figure.savefig(io.BytesIO(), format="png")
    bars = [list(line.get_ydata()) for line in ax.lines if len(line.get_ydata()) == 2]
    assert bars == [[-0.05, 0.01], [0.02, 0.04], [0.0, 0.0]]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["500", "1k"]
    assert ax.get_ylabel() == "test accuracy (points)"
    points = np.concatenate([c.get_offsets() for c in ax.collections])
    np.testing.assert_allclose(points[:, 1], [-0.01, 0.035])
    assert (points[:, 0] > [0, 1]).all()  # beside the bar, not under it
    assert "above 0 a is ahead, below b" in ax.get_title()


def test_where_nobody_is_said_to_be_ahead_the_point_is_hollow():
    rows = [(1, 0.2, 0.1, 0.3, False), (2, 0.2, 0.1, 0.3, True)]  # the first one's model is barred
    (ax,) = differences([comparison(rows)], "accuracy")
    faces = [line.get_markerfacecolor() for line in ax.lines if line.get_marker() == "o"]
    assert faces[0] == "white" and faces[1] != "white"


def test_panels_share_their_range():
    narrow, wide = (
        comparison([(1, 0.01, 0.0, 0.02, False)]),
        comparison([(1, -0.2, -0.4, 0.0, False)]),
    )
    one, two = differences([narrow, wide], "accuracy")
    assert one.get_ylim() == two.get_ylim()
    assert one.get_ylim()[0] <= -0.4 and one.get_ylim()[1] >= 0.02
    assert one.get_ylabel() and not two.get_ylabel()


def test_equal_models_and_missing_intervals_can_be_drawn():
    (ax,) = differences([comparison([(1, 0.0, np.nan, np.nan, False)], [(1, 0.0)])], "accuracy")
    ax.figure.savefig(io.BytesIO(), format="png")
    low, high = ax.get_ylim()
    assert low < 0 < high


def test_titles_keep_off_each_other_and_every_column_has_its_sizes():
    """Three panels leave a place below the second one."""
    table = pd.DataFrame(
        [(500, 0.1, 0.0, 0.2, True)], columns=["size", "mean", "low", "high", "told"]
    )
    seeds = pd.DataFrame(columns=["size", "value"])
    names = ("vit-s masked patches", "vit-s supervised", "vit-s scratch")
    pairs = [Comparison(a, b, table, seeds) for a, b in zip(names, names[1:] + names[:1])]
    axes = differences(pairs, "accuracy")
    figure = axes[0].figure
    figure.draw_without_rendering()
    one, two, _ = (ax.title.get_window_extent() for ax in axes)
    assert not one.overlaps(two)
    shown = [[t.get_text() for t in ax.get_xticklabels() if t.get_visible()] for ax in axes]
    assert shown[1] == shown[2] == ["500"]
    assert [ax.get_xlabel() for ax in axes] == ["", "training images", "training images"]
