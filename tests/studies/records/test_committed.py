"""Committed records keep their ids: what was trained once is found again by every later version."""

import json
import tomllib
from pathlib import Path

import pytest

from studies.records.layout import outcomes_path
from studies.records.outcomes import load_outcomes
from studies.study.file import read_resolved, validate

HERE = Path(__file__).parent
RESULTS = HERE.parents[2] / "results"
FOLDERS = [path.parent for path in sorted(RESULTS.glob("*/trials.jsonl"))]

pytestmark = pytest.mark.once


def records(folder: Path, schema: int) -> list[dict]:
    lines = (folder / "trials.jsonl").read_text().splitlines()
    return [record for line in lines if (record := json.loads(line))["schema"] == schema]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_record_is_of_a_trial_of_its_study(folder):
    study = read_resolved(folder)
    known = {trial.trial_id: trial for trial in study.trials(study.data)}
    for record in records(folder, 2):
        trial = known[record["trial_id"]]
        assert record["pretrain_id"] == trial.pretrain_id
        assert (record["model"], record["size"], record["seed"], record["backend"]) == (
            *(trial.model.name, trial.size, trial.seed),
            trial.backend,
        )


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_outcomes_are_those_of_the_record(folder):
    for record in records(folder, 2):
        # A further evaluation of what was trained has no outcomes of its own.
        standard = record.get("evaluation", "standard") == "standard"
        if record["status"] == "done" and standard:
            said = load_outcomes(outcomes_path(folder, record["trial_id"]))
            assert said.correct.mean() == pytest.approx(record["metrics"]["test_top1"])


def test_ids_of_committed_records_stay():
    """Copied from the records, so that not even both sides can change together."""
    ids = golden()["data-scale-fashion_mnist"]
    folder = RESULTS / "data-scale-fashion_mnist"
    found = {record["trial_id"]: record["pretrain_id"] for record in records(folder, 2)}
    assert ids.items() <= found.items()
    study = read_resolved(folder)
    assert ids.keys() <= {trial.trial_id for trial in study.trials(study.data)}


def test_ids_of_the_first_committed_study_stay():
    """Its study.toml as it was written then; its records gave way to those of fewer steps."""
    raw = tomllib.loads((HERE / "golden_study.toml").read_text())
    study = validate(raw, "golden_study.toml")
    found = {trial.trial_id: trial.pretrain_id for trial in study.trials(study.data)}
    assert golden()["quick"].items() <= found.items()


def golden():
    return tomllib.loads((HERE / "golden_ids.toml").read_text())
