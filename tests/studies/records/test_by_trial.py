"""A results folder as frames: rows, columns and units, against its records and outcomes."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import studies
from studies import (
    evaluations_frame,
    history_frame,
    outcomes_frame,
    read_results,
    summary_frame,
    trials_frame,
)
from studies.records.layout import outcomes_path
from studies.records.outcomes import load_outcomes
from tests.studies.synthetic import (
    kind_records,
    make_kind,
    make_records,
    make_study,
    write_folder,
)

pytestmark = pytest.mark.once

RESULTS = Path(__file__).parents[3] / "results"
COMMITTED = ("transfer", "data-scale-hybrids")
CLASSES = ("cat", "dog", "=bird")


@pytest.fixture
def records():
    made = make_records(make_study(["vit-s", "bit-s"], [500, 1000], 2, classes=CLASSES, test=60))
    made[-1] |= {"status": "failed", "reason": "out of memory", "metrics": {}, "history": []}
    return made


@pytest.fixture
def results(records, tmp_path):
    study = make_study(["vit-s", "bit-s"], [500, 1000], 2, classes=CLASSES, test=60)
    return read_results(str(write_folder(tmp_path / "run", study, records)))


def test_a_row_a_trial(results, records):
    frame = trials_frame(results)
    assert list(frame["trial_id"]) == [r["trial_id"] for r in records]
    assert frame["status"].value_counts().to_dict() == {"done": 7, "failed": 1}
    row, record = frame.iloc[2], records[2]
    assert row["test_top1"] == record["metrics"]["test_top1"] and row["size"] == record["size"]
    assert row["images_seen"] == 10_000 * 128
    # A training step costs three forward passes of each of its images.
    assert row["compute"] == 3 * record["flops"] * 10_000 * 128
    assert row["version.keras"] == "3.15.1" and row["evaluation"] == "standard"
    failed = frame.iloc[-1]
    assert failed["reason"] == "out of memory" and np.isnan(failed["test_top1"])
    assert not [c for c in frame if frame[c].map(type).isin([dict, list]).any()]


def test_levels_and_chains_have_columns(results):
    record = results.done[0]
    record |= {
        "levels": {"augmentation": "full"},
        "pretraining": {"size": 9000, "dataset": "shapes"},
        "finetuning": {"method": "lora"},
        "images_seen": 7,
    }
    row = trials_frame(results).iloc[0]
    assert row["levels.augmentation"] == "full" and row["pretraining.size"] == 9000
    assert row["finetuning.method"] == "lora" and row["compute"] == 21 * record["flops"]


def test_a_row_a_validation(results, records):
    frame = history_frame(results)
    assert len(frame) == 7 * 20
    one = frame[frame["trial_id"] == records[0]["trial_id"]]
    assert list(one["val_top1"]) == [entry["val_top1"] for entry in records[0]["history"]]
    assert list(one["images_seen"]) == [128 * entry["step"] for entry in records[0]["history"]]


def test_a_row_a_test_image_and_trial(results, records):
    frame = outcomes_frame(results)
    assert len(frame) == 7 * 60
    by_trial = frame.groupby("trial_id")["correct"].mean()
    for record in results.done:
        assert by_trial[record["trial_id"]] == record["metrics"]["test_top1"]
    said = load_outcomes(outcomes_path(results.outcomes.folder, records[0]["trial_id"]))
    one = frame[frame["trial_id"] == records[0]["trial_id"]]
    assert list(one["label"]) == [CLASSES[label] for label in said.label]
    assert ((one["label"] == one["predicted"]) == one["correct"]).all()
    some = outcomes_frame(results, model="vit-s", size=500)
    assert set(some["trial_id"]) == {
        r["trial_id"] for r in results.done if (r["model"], r["size"]) == ("vit-s", 500)
    }


def test_frames_of_a_run_without_results_have_their_columns(tmp_path):
    empty = read_results(write_folder(tmp_path, make_study(), []))
    assert not len(trials_frame(empty)) and "status" in trials_frame(empty)
    assert not len(history_frame(empty)) and "val_top1" in history_frame(empty)
    assert not len(outcomes_frame(empty)) and "correct" in outcomes_frame(empty)


def test_frames_join_on_their_keys(results):
    both = history_frame(results).merge(trials_frame(results)[["trial_id", "best_step"]])
    assert len(both) == 7 * 20 and isinstance(summary_frame(results), pd.DataFrame)


@pytest.fixture
def of_all_kinds(tmp_path, results):
    """Results that together have every column: a chain's with evaluations, a factor's, a failed trial."""
    levels = {"short": {"recipe": {"steps": 100}}, "long": {"recipe": {"steps": 200}}}
    chain = make_kind(
        {
            "pretraining": {"dataset": "shapes", "image_size": 28, "sizes": [1000]},
            "evaluations": {"attention": {}},
            "factors": {"length": levels},
        }
    )
    records = kind_records(chain, lambda trial: 0.3, lambda trial: {"far": 4.0})
    committed = [read_results(RESULTS / f"{name}-fashion_mnist") for name in COMMITTED]
    made = read_results(write_folder(tmp_path / "chain", chain, records, outcomes=False))
    return [results, made, *committed]


FRAMES = [trials_frame, history_frame, outcomes_frame, summary_frame, evaluations_frame]


@pytest.mark.parametrize("make", FRAMES)
def test_columns_are_those_that_are_documented(of_all_kinds, make):
    text = make.__doc__.split("Columns:")[1].split("Example:")[0]
    documented = {shown(name) for name in re.findall(r"`([^`]+)`", text)}
    found = set()
    for results in of_all_kinds:
        if make is outcomes_frame and results is not of_all_kinds[0]:
            continue  # none was kept of these, or they are many
        # Metrics of further evaluations are as many as there are evaluations.
        others = {name for record in results.extras for name in record["metrics"]}
        found |= {shown(name) for name in make(results) if name not in others}
    assert found == documented


def shown(column):
    """A column as docstrings name it, where there is one for each level, package or number."""
    column = re.sub(r"^levels\..*", "levels.NAME", column)
    column = re.sub(r"^version\..*", "version.keras", column)
    column = re.sub(r"^fewshot_\d+", "fewshot_5", column)
    return re.sub(r".+(_sd|_low|_high)$", r"NAME\1", column)


def test_all_frames_are_public():
    assert {make.__name__ for make in FRAMES} < set(studies.__all__)


def test_importing_the_package_loads_nothing():
    code = "import sys, studies; assert not {'pandas', 'numpy', 'keras'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert set(studies.__all__) <= set(dir(studies))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        studies.nothing  # noqa: B018
