"""No two sentences of a report contradict each other, whatever a study has found."""

import re

import pytest

from studies.analysis.verdict import UNDERTRAINED
from studies.report.words import crossing_sentence, headline, next_step, standing, twice_the_images
from tests.studies.report.simulated import STEPS, answers

pytestmark = pytest.mark.once


def told_ahead(text):
    """Who is said to be ahead of whom."""
    return re.findall(r"([\w-]+) is ahead of ([\w-]+)", text)


def test_every_state_and_every_advice_is_among_the_simulated():
    causes = {duel.cause for answer in answers() for duel in answer.duels}
    assert causes == {"", "barred", "one seed", "no interval", "not told apart"}
    duels = [duel for answer in answers() for duel in answer.duels]
    assert any(d.overtaking for d in duels) and any(d.forecast for d in duels)
    assert {answer.advice.kind for answer in answers()} == {
        *("longer", "learn", "seeds", "either", "tell", "add size", "images", "switch", "stop"),
        "enough",
    }


def test_the_headline_is_three_sentences_without_a_number_that_is_none():
    for answer in answers():
        sentences = headline(answer)
        assert len(sentences) == 3
        for sentence in sentences:
            assert sentence.endswith(".") and ". " not in sentence and sentence[0] != " "
            assert not re.search(r"\b(nan|inf|None)\b|thousand times", sentence)


def test_a_pair_has_one_of_three_answers_or_none():
    for answer in answers():
        for duel in answer.duels:
            text = standing(duel, answer)
            ahead, apart = told_ahead(text), "cannot be told apart" in text
            nothing = "no verdict" in text or "nothing can be compared" in text
            assert len(ahead) + apart + nothing == 1
            if not ahead:
                continue
            (leader, other) = ahead[0]
            difference = duel.verdict.difference
            assert {leader, other} == {duel.a, duel.b} and not duel.verdict.barred
            assert difference.seeds > 1
            lead = difference.low if leader == duel.a else -difference.high
            assert lead > 0
            points, low, high = map(float, re.findall(r"-?\d+\.\d", text)[:3])
            assert low <= points <= high and low >= 0


def test_a_lead_that_changed_is_told_of_the_leader_and_nowhere_denied():
    for answer in answers():
        for duel in answer.duels:
            text, below = standing(duel, answer), crossing_sentence(duel)
            seen = set(duel.leaders.values()) - {None}
            overtook = "overtaken it" in text
            assert overtook == ("overtakes" in below and "forecast" not in below)
            assert ("nowhere seen behind" in below) == (duel.leader is not None and not overtook)
            if overtook:
                assert len(seen) == 2 and told_ahead(text)
                crossing = duel.overtaking
                sizes = list(duel.leaders)
                assert sizes[0] <= crossing.low <= crossing.size <= crossing.high <= sizes[-1]
                assert "at every smaller size" not in text
            if "at every smaller size" in text:
                assert seen == {duel.leader} and None not in duel.leaders.values()
            if "forecast" in below:
                assert duel.leader is not None and duel.verdict.difference.seeds > 1


def test_nothing_is_concluded_from_a_model_that_is_barred():
    for answer in answers():
        advice = answer.advice
        main = answer.duels[0] if answer.duels else None
        concerned = (main.a, main.b) if main else tuple(answer.outlooks)
        barred = [m for m in concerned if m in answer.outlooks and answer.outlooks[m].barred]
        at_the_verdict = list(main.verdict.barred) if main and main.verdict else []
        why = {m: set(answer.outlooks[m].barred) for m in barred}
        for model in at_the_verdict:
            why[model] = why.get(model, set()) | set(main.verdict.barred[model])
        short = {model for model, reasons in why.items() if UNDERTRAINED in reasons}
        assert (advice.kind == "longer") == bool(short)
        assert (advice.kind == "learn") == bool(why and not short)
        text = next_step(answer)
        if advice.kind == "longer":
            assert set(advice.models) == short and set(advice.blind) == set(why) - short
            assert f"twice the steps ({2 * STEPS:,})" in text
        if advice.kind == "learn":
            assert set(advice.models) == set(why) and "too short" not in text
        gains = twice_the_images(answer)
        for model, outlook in answer.outlooks.items():
            bought = re.search(rf"\b{model}( \([\d,]+\))? \d+\.\d points", gains)
            assert bool(bought) == (model in answer.laws)
            assert len(re.findall(rf"\b{model}\b", gains)) == 1
            if outlook.barred:
                assert model not in answer.laws
        if main and at_the_verdict:
            assert not told_ahead(standing(main, answer)) and main.need is None


def test_the_advice_follows_from_what_is_told():
    for answer in answers():
        advice, text = answer.advice, next_step(answer)
        main = answer.duels[0] if answer.duels else None
        cause = main.cause if main else ""
        if advice.kind in ("seeds", "either", "tell"):
            assert (
                main
                and main.leader is None
                and cause in ("one seed", "no interval", "not told apart")
            )
        if cause == "one seed" and advice.kind not in ("longer", "learn"):
            assert advice.kind == "seeds" and advice.seeds > 1
        if advice.kind == "either":
            difference = main.verdict.difference
            assert max(abs(difference.low), abs(difference.high)) < 0.01
        if advice.kind in ("stop", "enough", "switch") and main:
            assert advice.models[0] == main.leader  # nobody else is recommended
        if advice.kind in ("stop", "enough"):
            (model,) = advice.models
            interval = r"\((?:90 % interval )?-?\d+\.\d to (-?\d+\.\d)\)"
            found = rf"{model}(?: \([\d,]+\))? (\d+\.\d) points {interval}"
            gain, high = re.search(found, twice_the_images(answer)).groups()
            assert float(gain) < 1.0
            sure = float(high) < 1.0  # what the forecast's own interval leaves out
            assert ("less than a point" in text) == sure
            unsure = f"buy it about {gain} points, though up to {high} are possible."
            assert text.endswith(unsure) == (not sure)
        if advice.need:
            have = main.verdict.difference
            ways = text.partition(" would show a difference of ")[0]
            seeds, tests = (
                re.search(rf"([\d,]+) {what}", ways) for what in ("seeds", "test images")
            )
            if "neither" not in text:
                assert seeds or tests
                assert not seeds or int(seeds[1]) > have.seeds
                assert not tests or int(tests[1].replace(",", "")) > have.images
            assert not re.search(r"a difference of 0\.0+ points", text)
            assert not main.as_good  # a point is ruled out
        if advice.kind == "images":
            assert ("in the data set" in text) == advice.there
            gains = [answer.outlooks[model].gain for model in advice.models]
            assert max(round(100 * gain.drop, 1) for gain in gains if gain) >= 1.0
        if advice.kind == "add size":
            assert answer.outlooks[advice.models[0]].gain is None
            assert f"the size to add is {advice.size:,}" in twice_the_images(answer)
