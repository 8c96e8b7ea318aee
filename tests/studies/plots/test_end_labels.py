"""Labels at the ends of lines: at their height, in order, apart."""

import pytest

from studies.plots.end_labels import label_ends
from studies.plots.style import new_axes, styles

pytestmark = pytest.mark.once


def places(ends, distance=0.1):
    ax, looks = new_axes(), styles(list(ends))
    ax.set_ylim(0, 10)
    label_ends(ax, ends, {name: name.upper() for name in ends}, looks, distance)
    for text in ax.texts:
        assert text.get_color() == looks[text.get_text().lower()].colour
    return {text.get_text(): text.xy[1] for text in ax.texts}


def test_labels_that_are_far_apart_stand_where_lines_end():
    assert places({"b": 8, "a": 2}) == pytest.approx({"A": 0.2, "B": 0.8})


def test_labels_that_would_overlap_move_apart_alike_and_keep_their_order():
    found = places({"c": 5.1, "a": 4.9, "b": 5, "d": 9})
    assert found == pytest.approx({"A": 0.4, "B": 0.5, "C": 0.6, "D": 0.9})
