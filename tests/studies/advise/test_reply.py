"""The answer: the report's sentences, what else a decision needs, and the same for programs."""

import json
import math
from dataclasses import replace

import pytest

from studies.advise.budget import OutOfTime
from studies.advise.programs import as_json
from studies.advise.reply import Reply, Target, target_of, words
from studies.advise.weights import Start
from studies.errors import UsageError
from studies.records.frames import read_results
from studies.report.evidence import gather
from studies.report.numbers import images
from studies.report.text import markdown
from studies.report.words import headline, next_step

pytestmark = pytest.mark.once


@pytest.fixture
def reply(session, answered):
    """Answers after some seconds; two of them, so that other fields can be tried."""

    def make(seconds, target=None, **options):
        return answered(session(seconds, **options), target)

    return make


@pytest.fixture
def answered():
    """Runs a session, and answers."""

    def make(made, target=None):
        end = made.go()
        results = read_results(made.folder)
        return Reply(results, gather(results), end, made.more(end), target)

    return make


def test_the_answer_is_that_of_the_report_for_people_and_programs_alike(reply):
    told = reply(36_000)
    answer = told.evidence.answer
    # What twice the images reach in nineteen draws of twenty.
    high = answer.laws["bit-s"].mean_interval([2 * 1258], 0.98)[1]
    told = replace(told, target=Target(round(1.0 - float(high[0]), 3), 0.5))
    duel = answer.duels[0]
    text = "\n".join(words(told))
    for sentence in headline(answer):
        assert sentence in text
    assert "bit-s is ahead of vit-s at 1,258 training images" in text
    assert "More seeds would not change who is ahead" in text
    assert "training from scratch, on images of 8x8x1" in text
    assert "More time would not help" in text and "--budget" not in text

    found = json.loads(json.dumps(as_json(told)))
    assert found["models"] == ["vit-s", "bit-s"] and found["verdict"] == "B"
    assert found["leader"] == "bit-s" and found["size"] == 1258
    difference = found["difference"]
    assert difference["value"] == pytest.approx(100 * duel.verdict.difference.mean, abs=1e-3)
    assert difference["low"] < difference["value"] < difference["high"] < 0
    for model, outlook in answer.outlooks.items():
        assert found["twice"][model]["points"] == pytest.approx(100 * outlook.gain.drop, abs=1e-3)
        assert found["twice"][model]["low"] <= found["twice"][model]["points"]
    assert found["next"] == next_step(answer) and found["enough"] is True

    # What is to be collected: of seven images in ten, that are trained on, the others follow.
    need = told.collections["bit-s"]
    assert 1258 < need.size <= 2 * 1258
    asked = found["target"]["models"]["bit-s"]
    assert asked["training_images"] == math.ceil(need.size) and asked["rounds"] == list(need.rounds)
    assert asked["collect"] == pytest.approx((need.size - 1258) * 1797 / 1258, abs=2)
    assert asked["cost"] == pytest.approx(0.5 * (need.size - 1258) * 1797 / 1258, abs=1)
    aim = f"{100 * told.target.accuracy:g} % of test accuracy"
    assert f"Training images for {aim} with a probability of 0.9: " in text
    assert " % of such numbers held, by how many sizes were measured." in text
    assert "Preliminary" not in text
    assert "Collect in rounds" in text and "for about" in text

    reached = as_json(replace(told, target=Target(0.5)))["target"]["models"]["bit-s"]
    assert reached["collect"] == 0 and reached["cost"] is None and reached["rounds"] == []
    there = "\n".join(words(replace(told, target=Target(0.5))))
    assert "bit-s reaches it with the 1,258 that are there" in there and "Collect" not in there


@pytest.fixture
def half_used(reply):
    """An answer after which so many images are there to train on, in place of the 1,258 that were."""
    told = reply(36_000)

    # What twice the images reach in nineteen draws of twenty.
    law = told.evidence.answer.laws["bit-s"]
    twice = float(law.mean_interval([2 * 1258], 0.98)[1][0])

    def make(there, error=twice):
        data = told.results.study.data
        counts = {**data.counts, "train": there}
        study = told.results.study.model_copy(
            update={"data": data.model_copy(update={"counts": counts})}
        )
        results = replace(told.results, study=study)
        return replace(told, results=results, target=Target(1.0 - error, 0.5))

    return make


def test_images_that_are_there_are_trained_on_before_any_are_collected(half_used):
    told = half_used(4000)
    need = told.collections["bit-s"]
    assert 1258 < need.size < 4000, "or the test tests nothing"
    text = "\n".join(words(told))
    assert (
        "bit-s was trained on 1,258 of the 4,000 images that are there: give more --budget" in text
    )
    assert "Collect" not in text and "images more" not in text
    asked = as_json(told)["target"]["models"]["bit-s"]
    assert asked["training_images"] == math.ceil(need.size)
    assert (asked["collect"], asked["cost"], asked["rounds"]) == (0, 0.0, [])


def test_rounds_of_collecting_begin_at_the_images_that_are_there(half_used):
    there = 1400
    told = half_used(there)
    need = told.collections["bit-s"]
    assert there < need.rounds[0] <= 2 * there and need.rounds[-1] == math.ceil(need.size)
    text = "\n".join(words(told))
    first = told.per_training_image * (need.rounds[0] - there)
    assert text.index("1,258 of the 1,400 images that are there") < text.index("Collect in rounds")
    assert f"first {images(first)} images more, up to {images(need.rounds[0])} to train" in text
    assert "all 1 rounds" not in text
    asked = as_json(told)["target"]["models"]["bit-s"]
    assert asked["rounds"] == list(need.rounds) and min(asked["rounds"]) > there
    assert asked["collect"] == pytest.approx(told.per_training_image * (need.size - there), abs=1)


def test_a_target_that_some_of_the_images_reach_needs_no_others(half_used):
    text = "\n".join(words(half_used(4000, 0.5)))
    assert "bit-s reaches it with 1,258 of the 4,000 that are there" in text
    assert "Collect" not in text and "--budget" not in text


def cut_short(made):
    """Have a session run out of time when the trials of its first seed have ended."""
    run = made.machine.run

    def part(trials, *given):
        run([trial for trial in trials if trial.seed == 0], *given)
        raise OutOfTime

    made.machine.run = part
    return made


def test_one_seed_is_said_to_be_sure_of_nothing(session, answered):
    told = answered(cut_short(session(36_000)))
    told = answered(cut_short(session(36_000)))  # what the first showed the speed by
    text = "\n".join(words(told))
    assert "cannot be told apart at 1,258 training images" in text
    assert "with one seed nobody knows how much of that is chance" in text
    assert "rests on" not in text and "More seeds would" not in text
    found = as_json(told)
    assert (found["verdict"], found["size"], found["seeds"]) == ("undecided", 1258, 1)
    assert found["surer"] is None


def test_what_two_seeds_have_shown_is_told_where_a_larger_size_has_one(session, answered):
    def very_far_apart(model, size):
        return (1.0 if model == "bit-s" else 5.0) * size**-0.4

    for _ in range(4):  # too short for two seeds of all images
        told = answered(session(200, error=very_far_apart))
    before = as_json(told)
    assert (before["verdict"], before["size"]) == ("B", 630) and before["seeds"] > 2
    assert before["surer"] is None
    told = answered(cut_short(session(36_000, error=very_far_apart)))
    text = "\n".join(words(told))
    one, more = "cannot be told apart at 1,258", "bit-s is ahead of vit-s at 630 training images"
    sure = f"The verdict rests on {before['seeds']} seeds and "
    stop = "More seeds would not change who is ahead."
    assert text.index(one) < text.index(more) < text.index(sure) < text.index(stop)
    assert text.count("rests on") == 1
    found = as_json(told)
    assert (found["verdict"], found["size"], found["seeds"]) == ("undecided", 1258, 1)
    assert found["surer"] == {
        key: before[key] for key in ("verdict", "size", "seeds", "difference")
    }


def test_too_little_time_says_what_is_open_and_what_more_would_bring(reply):
    told = reply(120, Target(0.97))
    text = "\n".join(words(told))
    assert f"With --budget {told.more} the same command goes on from here" in text
    assert "cannot be said: no model has a law" in text
    found = as_json(told)
    assert found["enough"] is False and found["target"]["models"] == {}
    assert found["twice"]["vit-s"] == {"points": None, "low": None, "high": None}


def test_without_results_nothing_is_concluded(reply, session):
    told = reply(36_000, fails=("vit-s", "bit-s"))
    found = as_json(told)
    assert found["verdict"] == "undecided" and found["difference"]["value"] is None
    assert words(told)[0].startswith("No trial has finished yet")


def by_model(**factors):
    """An error that falls alike for all models, from another height for each."""
    return lambda model, size: (
        factors[model.split()[0].split("-")[0].lower() + model[-1]] * size**-0.4
    )


@pytest.fixture
def given(monkeypatch):
    """Weights of a ViT and of a ResNet are given; their arms end in v and r."""
    found = [
        Start("v", "v.npz", "ViT-Ti/8", {}),
        Start("r", "r.npz", "BiT-R50x1", {}),
    ]
    monkeypatch.setattr("studies.advise.session.starts", lambda *_: found)
    return found


VIT, BIT = "ViT-Ti/8 v", "BiT-R50x1 r"


def test_with_weights_the_answer_is_about_the_best_of_all(reply, given):
    told = reply(36_000, error=by_model(vits=5.0, bits=4.0, vitv=0.5, bitr=1.5))
    text = words(told)
    assert text[0].startswith(f"{VIT} is ahead of {BIT} at 1,258 training images")
    assert text[1].startswith(f"Of the 4 that were tried, {VIT} has the highest test accuracy, 9")
    assert all(name in text[1].partition("it is ahead of ")[2] for name in (BIT, "vit-s", "bit-s"))
    assert "bit-s is ahead of vit-s at 1,258 training images" in "\n".join(text)
    found = json.loads(json.dumps(as_json(told)))
    assert found["models"] == [VIT, BIT]
    assert (found["verdict"], found["leader"], found["best"]) == ("A", VIT, VIT)
    assert 0 < found["difference"]["low"] < found["difference"]["value"]
    assert VIT in found["next"] and "-s" not in found["next"]
    assert set(found["twice"]) == {VIT, BIT, "vit-s", "bit-s"}
    others = {tuple(other["models"]): other for other in found["others"]}
    assert set(others) == {
        ("vit-s", "bit-s"), (VIT, "vit-s"), (VIT, "bit-s"), ("vit-s", BIT), (BIT, "bit-s"),
    }  # fmt: skip
    scratch = others["vit-s", "bit-s"]
    difference = scratch["difference"]
    assert scratch["leader"] == "bit-s"
    assert difference["low"] < difference["value"] < difference["high"] < 0
    report = markdown(told.results, told.evidence, {})
    assert text[0] in report and "The other pairs" in report


def test_weights_that_are_behind_leave_the_advice_to_what_leads(reply, given):
    del given[1]
    told = reply(36_000, error=by_model(vits=5.0, bits=1.0, vitv=3.0))
    assert words(told)[0].startswith(f"bit-s is ahead of {VIT} at 1,258 training images")
    found = as_json(told)
    assert found["models"] == [VIT, "bit-s"] and found["verdict"] == "B"
    assert found["best"] == "bit-s" and "bit-s" in found["next"] and VIT not in found["next"]


@pytest.mark.parametrize(("text", "value"), [("95%", 0.95), ("99.5 %", 0.995), ("0.9", 0.9)])
def test_a_target_is_read_as_it_is_typed(text, value):
    assert target_of(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "95", "100%", "-3%", "many", "5%5", "nan"])
def test_what_is_no_target_is_answered_by_one_sentence(text):
    with pytest.raises(UsageError, match=r"such as 95% or 0\.95"):
        target_of(text)
