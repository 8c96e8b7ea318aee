"""Results of every version that was released are read by this one, and those of a newer one are refused.

`released/` has parts of folders as they were committed then, unchanged: one for every schema of the
records and of the study's file, and for what came later without a number of its own.
"""

import json
import re
import shutil
import tomllib
from pathlib import Path

import pytest

from studies.command_line.tables import status_text
from studies.errors import UsageError
from studies.records import store
from studies.records.by_trial import history_frame, trials_frame
from studies.records.frames import read_results
from studies.study import file as study_file

RELEASED = Path(__file__).parent / "released"
FOLDERS = {
    # Trials by id, and what each reached, copied from the files.
    "schema-1": {
        "495f9c005aa0c704": ("vit-s", 10_000, "jax", 0.8371),
        "1c55babd3cbee4fa": ("vit-s", 10_000, "tensorflow", 0.8327),
        "ce9da8dadea0a0ff": ("vit-s", 10_000, "torch", 0.8354),
        "57ed47d7bb84f1f9": ("bit-s", 10_000, "jax", 0.8658),
        "3159b9f6abaf1654": ("bit-s", 10_000, "tensorflow", 0.8623),
        "0c3f64dbf3a3e2fb": ("bit-s", 10_000, "torch", 0.8637),
    },
    "schema-2": {
        "4656a53f85b450ec": ("bit-xs", 60, "tensorflow", 289 / 359),
        "4d79088c6ed0282d": ("vit-xs", 60, "tensorflow", 265 / 359),
        "4121d68886da09c7": ("vit-xs", 150, "tensorflow", 300 / 359),
        "6f412b3102939cd2": ("bit-xs", 150, "tensorflow", 337 / 359),
    },
    "schema-2-factors": {
        "b6b958578e15ba8f": ("vit-s 2", 500, "jax", 0.722),
        "7a82a493ebc0b243": ("vit-s 14", 500, "jax", 0.667),
        "3dcb5cea27604c98": ("vit-s whole", 500, "jax", 0.6562),
    },
    "schema-2-evaluations": {
        "bd6096927a58dce9": ("vit-deep", 500, "jax", 0.6148),
        "5da5bd8567576acf": ("vit-deep", 500, "jax", None),
    },
}

pytestmark = pytest.mark.once


def test_there_is_a_folder_of_every_schema():
    records = {
        json.loads(line)["schema"]
        for path in RELEASED.glob("*/trials.jsonl")
        for line in path.read_text().splitlines()
    }
    files = {
        tomllib.loads(path.read_text()).get("schema", 1) for path in RELEASED.glob("*/study.toml")
    }
    assert records == set(range(1, store.SCHEMA + 1))
    assert files == set(range(1, study_file.SCHEMA + 1))
    assert {path.name for path in RELEASED.iterdir()} == {*FOLDERS, "study-file-2"}


@pytest.mark.parametrize("name", FOLDERS)
def test_its_trials_are_found_with_all_that_they_measured(name):
    results = read_results(RELEASED / name)
    expected = FOLDERS[name]
    assert not results.foreign and not results.problems and not results.failed
    assert results.finished == len(expected) <= results.planned
    table = trials_frame(results).set_index("trial_id")
    for trial_id, (model, size, backend, top1) in expected.items():
        row = table.loc[trial_id]
        assert (row["model"], row["size"], row["backend"]) == (model, size, backend)
        assert row["status"] == "done" and row["flops"] > 0 and row["params"] > 0
        if top1 is not None:
            assert row["test_top1"] == pytest.approx(top1, abs=1e-12)
    history = history_frame(results)
    assert set(history["trial_id"]) == {r["trial_id"] for r in results.done}
    assert history["val_top1"].between(0, 1).all()
    # Trials of schema 1 had other ids: none of the study's trials as they are now has them.
    done = 0 if name == "schema-1" else len(expected)
    assert f"{done} of {results.planned} trials done" in status_text(RELEASED / name)


def test_the_first_ones_share_one_draw_and_later_ones_kept_outcomes():
    assert read_results(RELEASED / "schema-1").one_draw
    results = read_results(RELEASED / "schema-2")
    (said,) = results.outcomes.read("vit-xs", "tensorflow", 60)
    assert (len(said), int(said.correct.sum())) == (359, 265)
    further = read_results(RELEASED / "schema-2-evaluations")
    assert [r["evaluation"] for r in further.extras] == ["attention"]
    assert further.extras[0]["metrics"]


@pytest.mark.parametrize("path", sorted(RELEASED.glob("*/study.toml")), ids=lambda p: p.parent.name)
def test_a_study_file_is_written_with_its_schema_and_read_back_equal(path, tmp_path):
    study = study_file.read_resolved(path.parent)
    (tmp_path / "study.toml").write_text(study_file.to_toml(study))
    assert study_file.read_resolved(tmp_path) == study
    assert tomllib.loads((tmp_path / "study.toml").read_text())["schema"] == study_file.SCHEMA


@pytest.mark.parametrize("schema", [99, "new"])
def test_a_newer_study_file_is_refused_with_both_versions(tmp_path, schema):
    text = (RELEASED / "study-file-2" / "study.toml").read_text()
    old = f"schema = {study_file.SCHEMA}"
    assert text.startswith(old)
    new = json.dumps(schema)
    (tmp_path / "study.toml").write_text(
        text.replace(old, f'schema = {new}\nunheard_of = "yes"', 1)
    )
    told = rf"study files of schema {schema}; .* up to {study_file.SCHEMA}\): update keras-vit, or"
    with pytest.raises(UsageError, match=told):
        read_results(tmp_path)


def test_newer_records_are_refused_with_both_versions_and_nothing_is_touched(tmp_path):
    shutil.copytree(RELEASED / "schema-2", tmp_path / "new")
    path = tmp_path / "new" / "trials.jsonl"
    path.write_text(re.sub('"schema": 2', '"schema": 3', path.read_text(), count=1))
    before = path.read_bytes()
    told = r"trials\.jsonl was written .* \(records of schema 3; .* up to 2\): update keras-vit, or"
    for reading in (read_results, status_text):
        with pytest.raises(UsageError, match=told):
            reading(tmp_path / "new")
    assert path.read_bytes() == before
