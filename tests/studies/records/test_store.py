"""The results store: latest records count, torn lines cost one record at most."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studies.errors import UsageError
from studies.records.store import SCHEMA, ResultsStore

pytestmark = pytest.mark.once

RECORDS = st.lists(
    st.fixed_dictionaries(
        {
            "trial_id": st.sampled_from(["a", "b", "c_1"]),
            "status": st.sampled_from(["done", "failed"]),
            "note": st.text(max_size=20),
            "metrics": st.dictionaries(
                st.text(max_size=3), st.floats(allow_nan=False, allow_infinity=False), max_size=2
            ),
        }
    ),
    max_size=6,
)


def test_what_is_appended_is_read_back_and_the_latest_counts(tmp_path):
    store = ResultsStore(tmp_path / "new" / "trials.jsonl")
    assert store.records() == []
    store.append({"trial_id": "a", "status": "failed"})
    store.append({"trial_id": "b", "status": "done"})
    store.append({"trial_id": "a", "status": "done"})
    assert [(r["trial_id"], r["status"]) for r in store.records()] == [("a", "done"), ("b", "done")]
    lines = store.path.read_text().splitlines()
    assert len(lines) == 3 and all(json.loads(line)["schema"] == SCHEMA for line in lines)


@settings(max_examples=60, deadline=None)
@given(before=RECORDS, torn=RECORDS.filter(bool), cut=st.integers(0, 10**6), after=RECORDS)
def test_a_kill_in_mid_write_costs_that_line_alone(tmp_path_factory, before, torn, cut, after):
    store = ResultsStore(tmp_path_factory.mktemp("store") / "trials.jsonl")
    for record in before:
        store.append(record)
    whole = store.path.stat().st_size if before else 0
    store.append(torn[0])
    last = store.path.stat().st_size - whole - 1  # its newline is the last to go
    with store.path.open("r+b") as file:
        file.truncate(whole + cut % last)
    for record in after:
        store.append(record)
    expected = {}
    for record in before + after:
        expected[record["trial_id"]] = {"schema": SCHEMA, **record}
    assert {r["trial_id"]: r for r in store.records()} == expected
    assert len(store.problems) == (1 if cut % last else 0)


def test_a_whole_line_without_its_newline_counts(tmp_path):
    store = ResultsStore(tmp_path / "trials.jsonl")
    store.path.write_text('{"schema": 1, "trial_id": "a"}')
    store.append({"trial_id": "b"})
    assert [r["trial_id"] for r in store.records()] == ["a", "b"]
    assert store.problems == []


@pytest.mark.parametrize("garbage", [b"\x00\x00\x00", b"\xff\xfe", b"[1, 2]", b'{"a": 1}', b"7"])
def test_garbage_is_passed_over_and_reported_by_line(tmp_path, garbage):
    store = ResultsStore(tmp_path / "trials.jsonl")
    store.append({"trial_id": "a"})
    with store.path.open("ab") as file:
        file.write(garbage + b"\n")
    store.append({"trial_id": "b"})
    assert [r["trial_id"] for r in store.records()] == ["a", "b"]
    assert len(store.problems) == 1 and "line 2" in store.problems[0]


def test_a_newer_schema_is_named(tmp_path):
    store = ResultsStore(tmp_path / "trials.jsonl")
    store.path.write_text(json.dumps({"schema": SCHEMA + 1, "trial_id": "a"}) + "\n")
    with pytest.raises(UsageError, match=f"schema {SCHEMA + 1}.*up to {SCHEMA}"):
        store.records()


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "trials.jsonl").mkdir()
    with pytest.raises(UsageError, match=r"cannot read .*trials\.jsonl \(Is a directory\)"):
        ResultsStore(tmp_path / "trials.jsonl").records()


def test_numpy_values_are_plain_and_nan_is_null(tmp_path):
    store = ResultsStore(tmp_path / "trials.jsonl")
    metrics = {"top1": np.float32(0.5), "loss": float("nan")}
    store.append({"trial_id": "a", "metrics": metrics, "images": np.arange(2)})
    record = store.records()[0]
    assert record["metrics"] == {"top1": 0.5, "loss": None} and record["images"] == [0, 1]


def test_a_record_without_id_is_refused(tmp_path):
    with pytest.raises(ValueError, match="trial_id"):
        ResultsStore(tmp_path / "trials.jsonl").append({"status": "done"})


UNSOUND = [
    ("trial_id", "../../a"),
    ("size", "many"),
    ("seed", -1),
    ("metrics", [1]),
    ("metrics", {"test_top1": 2}),
    ("metrics", {"test_loss": "low"}),
    ("history", [{"val_top1": 0.5}]),
    ("history", "long"),
    ("levels", {"a": 1}),
    ("schema", "two"),
]


@pytest.mark.parametrize(("field", "value"), UNSOUND)
def test_what_no_trial_writes_is_passed_over_and_reported(tmp_path, field, value):
    store = ResultsStore(tmp_path / "trials.jsonl")
    lines = [{"trial_id": "a"}, {"trial_id": "b", field: value}]
    store.path.write_text("\n".join(map(json.dumps, lines)))
    assert [r["trial_id"] for r in store.records()] == ["a"]
    assert len(store.problems) == 1 and "line 2" in store.problems[0]


@pytest.mark.parametrize(
    "text", ['"\\ud800"', "[" * 10**5, "1e999", "NaN", "9" * 5000, "[" * 60 + "]" * 60]
)
def test_a_value_that_could_not_be_written_again_is_none_of_a_record(tmp_path, text):
    store = ResultsStore(tmp_path / "trials.jsonl")
    store.path.write_text('{"trial_id": "a", "seconds": ' + text + "}\n")
    assert store.records() == [] and len(store.problems) == 1


def test_a_loss_may_be_as_large_as_it_likes(tmp_path):
    store = ResultsStore(tmp_path / "trials.jsonl")
    store.append({"trial_id": "a", "metrics": {"val_loss": 1e300, "test_top1": None}})
    assert store.records()[0]["metrics"]["val_loss"] == 1e300


def test_tables_that_are_equal_are_one_and_others_are_not(tmp_path):
    store = ResultsStore(tmp_path / "trials.jsonl")
    for number in range(4):
        store.append({"trial_id": str(number), "images": {"train": number // 2}, "levels": {}})
    first, second, third, _ = store.records()
    assert first["images"] is second["images"] and first["levels"] is third["levels"]
    assert third["images"] == {"train": 1}


def test_what_is_wanted_of_a_history_is_kept_of_it(tmp_path):
    store = ResultsStore(tmp_path / "trials.jsonl")
    store.append({"trial_id": "a", "history": [{"step": 1}, {"step": 5}]})
    store.append({"trial_id": "b", "history": None})
    a, b = store.records(digest=lambda history: history[-1]["step"])
    assert a["history"].digest == 5 and list(a["history"]) == [{"step": 1}, {"step": 5}]
    assert b["history"] is None
