"""Sentences that are made of decisions, by hand."""

import pandas as pd
import pytest

from studies.analysis import Estimate
from studies.analysis.findings import Findings, Pair
from studies.analysis.verdict import LEARNED_NOTHING, UNDERTRAINED, Need, decide
from studies.report.advice import Advice
from studies.report.answer import answer
from studies.report.duel import compare
from studies.report.headline import opening
from studies.report.numbers import images_tested
from studies.report.outlook import Setting
from studies.report.words import crossing_sentence, next_step
from tests.studies.report.simulated import rises

pytestmark = pytest.mark.once


def answered(accuracies, size=5000, barred=(), seeds=3):
    """The answer of a study of models that are not compared."""
    found = Findings("test_top1", "jax", 0.9, pd.DataFrame(), baseline=0.1)
    for model, mean in accuracies.items():
        found.estimates[model, size] = Estimate(mean, mean - 0.01, mean + 0.01, 0.01, seeds)
        found.without_law[model] = "There is no law."
    found.barred.update({(model, size): why for model, why in dict(barred).items()})
    setting = Setting(9, 9, dict.fromkeys(found.estimates, 1000), {}, 10 * size, 400, True)
    return answer(found, setting)


def test_the_test_set_that_would_tell_is_told_in_images_and_groups():
    need = Need(0.01, seeds=7, images=2100, groups=270)
    found = answered({"a": 0.5})
    told = next_step(answered_with(found, Advice("tell", ("a", "b"), need=need)))
    assert "about 7 seeds or 2,100 test images in 270 groups would show" in told
    assert images_tested(2000, 2000) == "2,000 test images"
    assert images_tested(2000, 261) == "2,000 test images in 261 groups"


def answered_with(found, advice):
    from dataclasses import replace

    verdicts = rises([5000], [0.0], 0.1)
    duel = compare(Pair("a", "b", pd.DataFrame(), None, verdicts), {})
    return replace(found, advice=advice, duels=(duel,))


def test_of_several_models_none_of_which_is_compared_the_best_one_is_named():
    first, _, next_ = opening(answered({"a": 0.5, "b": 0.7, "c": 0.6}))
    assert first == (
        "None of the 3 models is compared with another: the highest test accuracy is that of b, 70.0 % "
        "(90 % interval 69.0 to 71.0) at 5,000 training images."
    )
    assert "only model" not in first and next_.startswith("Next, add a size of 10,000")
    (first, *_) = opening(answered({"a": 0.5}))
    assert first.endswith("it is the only model with results.")


def test_what_learned_nothing_is_not_named_best():
    barred = {"b": (LEARNED_NOTHING,)}
    first, *_ = opening(answered({"a": 0.5, "b": 0.7}, barred=barred))
    assert "that of a, 50.0 %" in first
    first, *_ = opening(answered({"a": 0.5, "b": 0.7}, barred=barred | {"a": (UNDERTRAINED,)}))
    assert first.startswith("There is no verdict on any of the 2 models: ")
    assert "a is undertrained" in first and "b learned nothing" in first


def test_one_seed_names_no_best_model():
    first, *_ = opening(answered({"a": 0.5, "b": 0.7}, seeds=1))
    assert first.endswith("at 5,000 training images, from one seed.")


@pytest.mark.parametrize(
    ("reasons", "told"),
    [
        ((UNDERTRAINED,), "Next, train a with twice the steps (2,000): "),
        ((LEARNED_NOTHING, UNDERTRAINED), "Next, train a with twice the steps (2,000): "),
        ((LEARNED_NOTHING,), "Next, try more images, another learning rate or longer training"),
    ],
)
def test_training_too_short_is_said_of_what_was_trained_too_short(reasons, told):
    text = next_step(answered({"a": 0.1}, barred={"a": reasons}))
    assert text.startswith(told)
    assert ("too short" in text) == (UNDERTRAINED in reasons)


def test_what_learned_nothing_beside_what_is_undertrained_gets_advice_of_its_own():
    barred = {"a": (UNDERTRAINED,), "b": (LEARNED_NOTHING,)}
    assert next_step(answered({"a": 0.4, "b": 0.1}, barred=barred)) == (
        "Next, train a with twice the steps (2,000): more images or seeds would not make up for "
        "training that is too short; for b, which learned nothing, try more images, another learning "
        "rate or longer training."
    )


def crossing_of(means, half, barred=None):
    verdicts = rises([100, 1000, 10_000], means, half)
    if barred is not None:
        difference = verdicts[barred].difference
        verdicts[barred] = decide("a", "b", barred, difference, {"b": [UNDERTRAINED]})
    return crossing_sentence(compare(Pair("a", "b", pd.DataFrame(), None, verdicts), {}))


def test_that_there_is_no_crossing_is_said_where_one_is_ahead_at_every_size():
    ahead = "a is nowhere seen behind b: there is no crossing in the measured sizes."
    unknown = "whether the two cross in the measured sizes cannot be told."
    assert crossing_of([0.2, 0.2, 0.2], 0.1) == ahead
    assert crossing_of([-0.05, 0.2, 0.2], 0.1).endswith(unknown)
    assert crossing_of([0.2, 0.2, 0.2], 0.1, barred=100).endswith(unknown)
    # Nobody is known to lead in the end: that is no proof that they never cross.
    assert "no crossing is told" in crossing_of([0.2, 0.2, 0.0], 0.1)
