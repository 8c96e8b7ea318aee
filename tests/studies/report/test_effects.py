"""What is said of the effects of single changes, by hand."""

import math
from types import SimpleNamespace

import pytest

from studies.analysis import Estimate
from studies.analysis.effects import Change, Effect
from studies.analysis.variance import Variance
from studies.report import figures
from studies.report.effects import contrast_sentence, effects_headline
from studies.report.headline import remarks

pytestmark = pytest.mark.once

PARTS = Variance(0.0, 0.0, 3, 400, 1e-5, 1e-5, 1e-5, 399.0, 0.0, 400.0, 400.0)


def change(level, model="vit"):
    return Change("position", level, f"{model} {level}", model, model)


def effect(level, low, high, seeds=3, parts=PARTS, less=None, barred=()):
    estimate = Estimate((low + high) / 2, low, high, 0.01, seeds, 0.9, True, 400, parts)
    return Effect(change(level), less, 5000, estimate, dict(barred))


def told(*effects, sentence=effects_headline):
    found = sentence(SimpleNamespace(effects=effects, metric="test_top1"))
    return found if isinstance(found, str) else " ".join(found)


def test_the_largest_effect_that_there_may_be_is_told_where_it_is_known_of_all():
    known = [effect("none", -0.012, 0.004), effect("relative", -0.002, 0.007)]
    assert "Not told apart are none and relative; none of them by more than 1.2 points." in told(
        *known
    )
    tiny = effect("none", -0.0002, 0.0003)
    assert "by more than 0.03 points" in told(tiny)
    for other in (
        effect("gap", -0.001, 0.001, seeds=1),  # of the test set alone
        effect("gap", -0.001, 0.001, parts=None),  # of the seeds alone
        effect("gap", math.nan, math.nan),
    ):
        text = told(*known, other)
        assert "Not told apart are none, relative and gap." in text and "by more than" not in text


def test_what_a_change_does_to_one_model_more_is_no_change():
    contrast = effect("none", 0.01, 0.03, less=change("none", "bit"))
    text = told(effect("none", -0.012, 0.004), contrast)
    assert text.startswith("None of 1 changes to vit at 5,000 training images is told apart")


def test_the_figure_shows_what_the_headline_is_about(monkeypatch):
    shown = []
    monkeypatch.setattr(figures, "forest", lambda panels, *_: shown.append(panels) or [None])
    monkeypatch.setattr(figures, "_figure", lambda ax: ax)
    effects = (
        effect("none", -0.012, 0.004),
        effect("relative", 0.01, 0.03, less=change("relative", "bit")),
    )
    for alone in (True, False):
        answer = SimpleNamespace(
            effects=effects, metric="test_top1", level=0.9, about_effects=alone
        )
        figures._effects(SimpleNamespace(answer=answer))
    assert [[row.label for row in panel.rows] for (panel,) in shown] == [["none"], ["relative"]]


def test_two_models_are_not_called_alike_by_a_level_of_one_seed():
    less = change("none", "bit")
    two, one = (
        effect(level, -0.01, 0.02, seeds, less=less) for level, seeds in (("none", 2), ("gap", 1))
    )
    alike = "it changes the two alike as far as can be told: none."
    assert told(two, sentence=contrast_sentence).endswith(alike)
    assert told(two, one, sentence=contrast_sentence).endswith(": not told apart: none and gap.")
    single = "from a single seed nothing is told: gap."
    assert told(one, sentence=contrast_sentence).endswith(single)


def test_of_the_intervals_those_count_that_may_tell_something_apart():
    whole = [effect("none", -0.01, 0.02) for _ in range(5)]
    less = [effect("none", -0.01, 0.02, seeds=1), effect("none", math.nan, math.nan)]
    known = {"outlooks": {}, "lost": 0, "done": 9, "planned": 9, "one_draw": False}
    (remark,) = remarks(SimpleNamespace(effects=(*whole, *less), **known))
    assert remark.startswith("Of 5 intervals at 90 %, about 1 leaves out the truth")
    assert remarks(SimpleNamespace(effects=(*whole[1:], *less), **known)) == []


def test_what_learned_nothing_is_not_called_trained_too_short():
    barred = {"vit none": ("learned nothing",)}
    text = told(effect("none", -0.3, -0.2, barred=barred))
    assert text.endswith(
        "Next, try more images, another learning rate or longer training for vit none: nothing is said "
        "of what learned nothing."
    )
    both = {"vit none": ("learned nothing",), "vit gap": ("undertrained",)}
    text = told(effect("none", -0.3, -0.2, barred=both))
    assert text.endswith(
        "Next, train vit gap longer: nothing is said of what is undertrained; for vit none, which "
        "learned nothing, try more images, another learning rate or longer training."
    )
