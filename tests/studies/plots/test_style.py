"""What all figures share."""

import pytest

from studies.plots.style import new_axes, new_panels, short, size_axis, styles

pytestmark = pytest.mark.once


def test_models_differ_in_more_than_colour():
    looks = list(styles([f"m{i}" for i in range(4)]).values())
    for attribute in ("colour", "marker", "line"):
        assert len({str(getattr(look, attribute)) for look in looks}) == 4


def test_seven_models_have_seven_colours():
    assert len({look.colour for look in styles(list("abcdefg")).values()}) == 7


@pytest.mark.parametrize("second", ["marker", "line"])
def test_where_colours_come_again_marker_and_line_are_others(second):
    """As many as the arms of the largest built-in study, each told apart even without the other one."""
    looks = styles([f"m{i}" for i in range(24)]).values()
    assert len({(look.colour, str(getattr(look, second))) for look in looks}) == 24


def test_short_sizes():
    assert [short(s) for s in (500, 1000, 1500, 7700, 50000, 1.2e6)] == [
        *("500", "1k", "1.5k", "7.7k", "50k", "1.2M"),
    ]


def test_the_ends_of_the_sizes_are_labelled_whatever_lies_near():
    ax = new_axes()
    ax.set_xlim(95, 330)
    size_axis(ax, [100, 103, 157, 159], end=318)
    ax.figure.draw_without_rendering()
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["100", "159", "200", "318"]


def test_panels_that_are_not_asked_for_are_not_drawn():
    axes = new_panels(3)
    assert len(axes) == 3
    figure = axes[0].figure
    assert [ax.axison for ax in figure.axes] == [True, True, True, False]
