"""What is read of a results folder: which records count, what outcomes there are, what they hold."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from studies.records.frames import pool, read_results, summary_frame
from studies.records.layout import outcomes_path
from studies.records.outcomes import load_outcomes, save_outcomes
from tests.studies.synthetic import make_records, make_study, write_folder

pytestmark = pytest.mark.once


@pytest.fixture
def study():
    return make_study(["vit-s", "bit-s"], [500, 1000])


def test_the_pool_holds_what_a_seed_draws_its_images_from(study):
    # 54,000 to train on, and 6,000 that each seed draws anew for validation; the test set is given.
    assert pool(study.data) == 60000
    alone = study.data.model_copy(update={"official": {"train": 62000}})
    assert pool(alone) == 62000


def test_outcomes_are_those_of_the_trials(study, tmp_path):
    results = read_results(write_folder(tmp_path, study, make_records(study)))
    assert not results.one_draw
    said = results.source.read("bit-s", "tensorflow", 500)
    assert [each.seed for each in said] == [0, 1, 2]
    rows = results.frame[(results.frame["model"] == "bit-s") & (results.frame["size"] == 500)]
    np.testing.assert_allclose([each.correct.mean() for each in said], rows["test_top1"])
    assert results.source.read("bit-s", "jax", 500) == []


def test_metrics_that_no_few_shot_evaluation_has_are_none(study, tmp_path):
    records = make_records(study)
    known = {f"fewshot_{n}" for n in read_results(write_folder(tmp_path, study, records)).shots}
    for record in records:
        record["metrics"] |= {f"fewshot_{n}": 0.5 for n in ("²", "٣", "05", "0", "x", "9" * 5000)}
    results = read_results(write_folder(tmp_path / "odd", study, records))
    assert known and {f"fewshot_{n}" for n in results.shots} == known
    assert known <= set(summary_frame(results))


@pytest.mark.parametrize(
    "change",
    [
        lambda said: {"seed": 1},
        lambda said: {"image": said.image + 1},
        lambda said: {"label": np.roll(said.label, 1)},
        lambda said: {"predicted": np.full_like(said.predicted, 10)},  # of ten classes
    ],
)
def test_outcomes_of_something_else_are_lost(study, tmp_path, change):
    """Of another seed, other images or classes, than the record says and most others of the seed are."""
    records = make_records(study)
    folder = write_folder(tmp_path, study, records)
    one = next(r for r in records if (r["model"], r["size"], r["seed"]) == ("bit-s", 500, 0))
    path = outcomes_path(folder, one["trial_id"])
    said = load_outcomes(path)
    save_outcomes(path, dataclasses.replace(said, **change(said)))
    for order in ("vit-s", "bit-s"), ("bit-s", "vit-s"):  # whichever is read first
        results = read_results(folder)
        found = {name: len(results.outcomes.read(name, "tensorflow", 500)) for name in order}
        assert found == {"vit-s": 3, "bit-s": 0}
        assert results.outcomes.of(one["trial_id"]) is None
        assert results.outcomes.lost == {one["trial_id"]}


def test_seeds_are_taken_all_or_none(study, tmp_path, capsys):
    records = make_records(study)
    folder = write_folder(tmp_path, study, records)
    one = next(r for r in records if (r["model"], r["size"], r["seed"]) == ("vit-s", 500, 1))
    outcomes_path(folder, one["trial_id"]).write_bytes(b"torn")
    results = read_results(folder)
    for _ in range(3):
        assert results.outcomes.read("vit-s", "tensorflow", 500) == []
    assert results.outcomes.lost == {one["trial_id"]}
    assert capsys.readouterr().err.count("damaged") == 1  # told once


def test_records_of_schema_1_are_found_by_their_place_and_never_mixed(study, tmp_path):
    old = make_records(study, schema=1)
    for number, record in enumerate(old):
        record["trial_id"] = f"old{number}"
    stranger = {**old[0], "trial_id": "old99", "model": "gone"}
    results = read_results(write_folder(tmp_path / "a", study, [*old, stranger]))
    assert results.one_draw and results.source is None
    assert len(results.done) == 12 and results.foreign == 1
    assert summary_frame(results)["interval"].unique() == ["seeds alone"]
    new = make_records(study)[:2]
    results = read_results(write_folder(tmp_path / "b", study, [*old, *new]))
    assert not results.one_draw and len(results.done) == 2 and results.foreign == 12


def test_the_summary_says_what_its_intervals_hold(study, tmp_path):
    folder = write_folder(tmp_path, study, make_records(study))
    kept = summary_frame(read_results(folder))
    assert kept["interval"].unique() == ["seeds and test images"]
    assert kept["test_ece"].between(0, 1).all() and "test_balanced_low" in kept
    outcomes_path(folder, "x").parent.rename(folder / "gone")
    alone = summary_frame(read_results(folder))
    assert alone["interval"].unique() == ["seeds alone"] and alone["test_ece"].isna().all()
    pd.testing.assert_series_equal(kept["test_top1"], alone["test_top1"])


def test_of_rounds_no_more_trials_are_to_come_than_were_run(study, tmp_path):
    some = make_records(study)[:3]
    folder = write_folder(tmp_path / "grid", study, some)
    assert read_results(folder).planned == 12
    rounds = study.model_copy(update={"rounds": True})
    folder = write_folder(tmp_path / "rounds", rounds, some)
    assert read_results(folder).planned == read_results(folder).finished == 3
