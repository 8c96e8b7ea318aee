"""The report of a study that is about an evaluation answers with what that measured."""

import re

import pytest

from studies.analysis import mean_interval
from studies.records.frames import read_results
from studies.report.evidence import gather
from studies.report.headline import opening
from studies.report.terminal import table_text
from studies.report.text import markdown
from tests.studies.synthetic import kind_records, make_kind, write_folder

pytestmark = pytest.mark.once

SIZES = (500, 5000)
VIT = {"vit-s": {"base": "ViT-Ti/4", "overrides": {"num_layers": 3}}}


def study_of(seeds=3, about="looks", **content):
    entry = {"kind": "attention", "models": ["vit-s"]}
    fields = {"evaluations": {"looks": entry}, "about": about, "models": VIT, "seeds": seeds}
    return make_kind({**fields, **content})


def evidence_of(folder, study, metrics, keep=lambda record: True, error=lambda trial: 0.2):
    records = [r for r in kind_records(study, error, metrics) if keep(r)]
    results = read_results(write_folder(folder, study, records, outcomes=False))
    return results, gather(results)


def distances(fall=0.5, rise=1.0, scatter=0.1):
    """Falls with images, rises by block; a seed shifts all of its numbers, and scatters by a little."""

    def metrics(trial):
        own = trial.seed + scatter * trial.seed * (trial.size == 5000)
        mean = 10.0 + own - fall * (trial.size == 5000)
        blocks = {f"attention_distance_{i}": mean + rise * (i - 2) for i in (1, 2, 3)}
        heads = {"attention_distance_1_1": mean}
        return {
            "attention_distance": mean,
            "attention_distance_uniform": 14.0,
            **blocks,
            **heads,
            "position_rows": 0.1,
        }

    return metrics


def test_sizes_and_parts_are_compared_in_pairs_of_one_seed(tmp_path):
    _, evidence = evidence_of(tmp_path, study_of(), distances(fall=2.0, rise=1.0))
    (found,) = evidence.answer.measured
    sizes, parts = found.over_sizes, found.over_parts
    # The seeds differ by a whole pixel, what is paired by a tenth alone.
    expected = mean_interval([-2.0, -1.9, -1.8], 0.9)
    assert (sizes.first, sizes.last, sizes.sign) == (500, 5000, -1)
    for end in ("mean", "low", "high"):
        assert getattr(sizes.difference, end) == pytest.approx(getattr(expected, end))
    assert (parts.first, parts.last) == (1, 3) and parts.difference.mean == pytest.approx(2.0)
    assert found.size == 5000 and found.value.mean == pytest.approx(9.1)
    assert found.reference == 14.0 and found.unit == "pixels"


def test_the_opening_answers_what_the_study_asks(tmp_path):
    results, evidence = evidence_of(tmp_path, study_of(), distances(fall=2.0))
    first, second, third = opening(evidence.answer)
    assert first.startswith(
        "At 5,000 training images the mean attention distance of vit-s is 9.1 pixels (90 % interval "
    )
    assert (
        "where a head that attends to all patches alike has 14; from 500 on it falls by 1.9"
        in first
    )
    assert re.search(r"falls by 1\.9 pixels \(90 % interval 1\.7 to 2\.1\)\.$", first)
    assert second.startswith("From block 1 to block 3 it rises by 2 pixels")
    text = markdown(results, evidence, {"evaluations": "e.png", "accuracy": "a.png"})
    head = text.split("## ")[0]
    assert f"**{first}** {second} {third}" in head
    assert "e.png" in head and head.index("e.png") < head.index("a.png")
    assert text.count("e.png") == 1
    assert "twice as many images" not in head and "accuracy of" not in first
    table = text.split("## Mean attention distance")[1].split("## ")[0]
    assert (
        "| vit-s | 500 images | 5,000 images | -1.9 | 90 % interval -2.1 to -1.7 | 3 | below 0 |"
        in table
    )
    assert "| vit-s | block 1 | block 3 | +2 |" in table and "| above 0 |" in table
    assert (
        table_text(results, evidence).replace("\n", " ").startswith("At 5,000 training images the")
    )


def test_what_is_not_told_apart_is_not_said_to_change(tmp_path):
    _, evidence = evidence_of(tmp_path, study_of(), distances(fall=0.1, scatter=0.5))
    first, _, third = opening(evidence.answer)
    low, high = map(
        float,
        re.search(
            r"from 500 on no change can be told \(0\.4 pixels, 90 % interval (\S+) to (\S+)\)",
            first,
        ).groups(),
    )
    assert low < 0 < high and "falls" not in first
    assert third.startswith(f"Next, run more seeds if less than {high:g} pixels matters")


def test_from_one_seed_nothing_is_told(tmp_path):
    """The largest size has one seed's evaluation alone: that one is paired, whatever others the rest has."""

    def keep(record):
        largest = record["size"] == 5000 and record["evaluation"] == "looks"
        return not largest or record["seed"] == 1

    _, evidence = evidence_of(tmp_path, study_of(2), distances(fall=2.0), keep)
    first, second, third = opening(evidence.answer)
    chance = "and with one seed nobody knows how much of that is chance."
    assert "is 9.1 pixels, from one seed, where" in first and first.endswith(
        f"1.9 pixels, {chance}"
    )
    assert second.endswith(f"2 pixels, {chance}")
    assert third == "Next, run more seeds: from a single one nothing is told apart."
    (found,) = evidence.answer.measured
    assert [change.sign for change in found.changes] == [0, 0]


def test_nothing_is_said_of_what_learned_nothing(tmp_path):
    def error(trial):
        return 0.9 if trial.size == 5000 else 0.2

    _, evidence = evidence_of(tmp_path, study_of(), distances(fall=2.0), error=error)
    first, *_, third = opening(evidence.answer)
    assert first.startswith(
        "Nothing is said of vit-s at 5,000 training images, which learned nothing"
    )
    assert "learned nothing" in third and not re.search(r"\d pixels", first)


def test_a_study_that_is_about_accuracy_opens_with_it(tmp_path):
    _, evidence = evidence_of(tmp_path, study_of(about=""), distances())
    assert evidence.answer.measured == ()
    assert "test accuracy" in opening(evidence.answer)[0]


def test_before_a_result_is_there_the_opening_is_that_of_any_study(tmp_path):
    _, evidence = evidence_of(
        tmp_path, study_of(), distances(), lambda record: record["evaluation"] == "standard"
    )
    assert evidence.answer.measured == ()


def test_a_number_without_parts_or_reference_is_told_without(tmp_path):
    study = study_of(evaluations={"probe": {"kind": "linear_probe"}}, about="probe")
    _, evidence = evidence_of(
        tmp_path, study, lambda trial: {"probe_top1": 0.6 + 0.01 * trial.seed}
    )
    sentences = opening(evidence.answer)
    assert (
        len(sentences) == 2 and "accuracy of a linear probe of vit-s is 0.61 (90 %" in sentences[0]
    )
