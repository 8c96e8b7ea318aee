"""What is said of compute, by hand."""

from types import SimpleNamespace

import pytest

from studies.analysis import Estimate, Gain
from studies.analysis.compute import Compute, Trained
from studies.report.compute import compute_headline, compute_text

pytestmark = pytest.mark.once


class Law:
    """As much of a law as the sentences ask for."""

    notes = ("the slope seems to change near 2,000,000 images: the law is that above",)

    def __init__(self, drop):
        self._drop = drop

    def gain(self, compute, factor, level=0.9):
        return Gain(self._drop, self._drop / 2, self._drop * 2)

    def summary(self):
        return "error = 1 x^-0.2"


class Known(Compute):
    def exponent(self, family):
        return SimpleNamespace(value=-0.2, low=-0.3, high=-0.1)


def found(drop, seeds=3):
    points = tuple(
        Trained(f"vit {n}", 500, "vit", n * 1e9, Estimate(0.5, 0.49, 0.51, 0.01, seeds), {})
        for n in (1, 2)
    )
    return Known(points, points, {"vit": points}, {"vit": Law(drop)})


ANSWER = SimpleNamespace(metric="test_top1", level=0.9)


@pytest.mark.parametrize("drop", [0.00951, 0.0104])
def test_a_point_is_a_point_as_it_is_told(drop):
    text = " ".join(compute_headline(ANSWER, found(drop)))
    assert "best 1.0 points" in text and "more compute still buys a point" in text


def test_less_than_a_point_is_less_as_it_is_told():
    text = " ".join(compute_headline(ANSWER, found(0.00949)))
    assert "best 0.9 points" in text and "buys a point" not in text


def test_a_front_of_one_point_is_told_once():
    many = found(0.02)
    one = Known(many.trained[:1], many.front[:1], {"vit": many.front[:1]}, {}, {"vit": "None."})
    first = compute_headline(ANSWER, one)[0]
    assert first == (
        "For its compute the best is vit 1 at 1 GFLOPs (test accuracy 50.0 (49.0 to 51.0) %), and "
        "nothing with more is better."
    )


def test_notes_of_the_laws_are_told():
    text = compute_text(ANSWER, found(0.02))
    assert "- ViTs: the slope seems to change near 2,000,000 FLOPs: the law is that above." in text
