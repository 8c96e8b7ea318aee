"""A run watched by programs, from another terminal, or in TensorBoard."""

import io
import json
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from studies.command_line.json_lines import JsonLines
from studies.machine.storage import Folder
from studies.records.place import Here
from studies.records.store import ResultsStore
from studies.running.costs import Cost
from studies.running.estimate import Estimator
from studies.running.lease import held
from studies.running.now import Now, read
from studies.running.runner import Plan
from studies.shown import printable
from studies.study.file import resolve
from tests.studies.command_line.conftest import written_until
from tests.studies.descriptions import trial

pytestmark = pytest.mark.once


def lines_of(text):
    return [json.loads(line) for line in text.splitlines()]


def test_a_log_for_programs_has_a_line_for_each_change_and_nothing_else(project):
    project.write("done", "fails")
    code, out, err = project("run", "--sizes", "3", "--log-format", "json")
    assert code == 1 and err == ""
    lines = lines_of(out)
    events = ["run_started", *["trial_started", "trial_done"], *["trial_started", "trial_failed"]]
    assert [line["event"] for line in lines] == [*events, "run_ended"]
    moments = [datetime.fromisoformat(line["time"]) for line in lines]
    assert moments == sorted(moments) and all(m.utcoffset().total_seconds() == 0 for m in moments)
    first, started, done, _, failed, last = lines
    assert first["study"] == "mine" and first["folder"] == str(project.folder)
    assert (first["planned"], first["trials"], first["workers"]) == (2, 2, 1)
    assert first["seconds_left"] > 0
    assert (started["step"], started["steps"], started["attempt"]) == (0, 4, 1)
    assert done["metrics"]["test_top1"] == 0.5 and done["seconds"] > 0
    assert failed["reason"] == "loss became NaN" and "metrics" not in failed
    assert (last["done"], last["failed"], last["left"]) == (1, 1, 0)
    records = {record["trial_id"]: record for record in project.lines()}
    for line in lines[1:-1]:
        record = records[line["trial_id"]]
        for key in ("model", "size", "seed", "backend", "evaluation", "log"):
            assert line[key] == record[key]
        assert (project.folder / line["log"]).exists()


def test_wrong_use_is_told_in_words_in_any_case(project):
    project("run", "--sizes", "3")
    code, out, err = project("run", "--set", "recipe.steps=9", "--log-format", "json")
    assert code == 2 and out == "" and err.startswith("error: ") and err.count("\n") == 1
    code, _, err = project("run", "--log-format", "yaml")
    assert code == 2 and "text" in err and "json" in err


def test_what_an_interrupted_run_leaves_is_counted(project, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ResultsStore, "append", interrupted)
        code, out, err = project("run", "--log-format", "json")
    assert code == 130 and err == ""
    last = lines_of(out)[-1]
    assert last["event"] == "run_ended" and (last["done"], last["failed"], last["left"]) == (
        0,
        0,
        2,
    )


def test_a_reader_that_went_away_interrupts_quietly(project):
    script = project.script("run").replace("'--results'", "'--log-format', 'json', '--results'")
    driver = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    driver.stdout.close()
    assert driver.stderr.read() == "" and driver.wait(60) == 130
    driver.stderr.close()


@pytest.mark.parametrize(("line", "code"), [(1, 130), (6, 0)])
def test_a_reader_that_goes_at_the_first_or_the_last_line_leaves_what_is_done(
    project, monkeypatch, line, code
):
    assert written_until(line, project, monkeypatch) == code
    assert not (project.folder / "running.json").exists()
    store = ResultsStore(project.folder / "trials.jsonl")
    assert len(store.records()) == {130: 0, 0: 2}[code]


def test_a_trial_that_begins_again_on_another_machine_is_told(tmp_path):
    each, other = trials = [trial(), trial(seed=1)]
    plan = Plan(resolve("quick", {}), Here(tmp_path), trials, {"done": Cost(10**6, 1)}, {})
    plan.folder.mkdir()
    out = io.StringIO()
    displays = Now(Estimator([], 1)), JsonLines(Estimator([], 1), out)
    start = {"event": "start", "step": 0, "steps": 4}
    with held(Folder(plan.folder), "quick"):
        for shown in displays:
            shown.start(plan, trials, 2)
            shown.event(each, start)
            shown.event(each, {"event": "again", "reason": "the machine burned"})
            shown.event(other, start)
            shown.event(other, {**start, "step": 2})  # its engine brought it elsewhere by itself
        state, run = read(plan.folder, Folder(plan.folder))
    assert (state["again"], state["ended"], state["total"]) == (2, 0, 2) and run.alive
    assert [known["label"] for known in state["trials"]] == [other.label]
    told = [
        (line["event"], line["seed"], line.get("attempt")) for line in lines_of(out.getvalue())[1:]
    ]
    assert told == [
        *[("trial_started", 0, 1), ("trial_waiting", 0, None)],
        *[("trial_started", 1, 1), ("trial_started", 1, 2)],
    ]
    assert lines_of(out.getvalue())[2]["reason"] == "the machine burned"


def test_failed_and_retried_trials_and_their_logs_are_told_by_status(project):
    project.write("done", "fails")
    project("run", "--sizes", "3")
    out = project("status")[1]
    assert out.startswith("mine: 1 of 2 trials done, 1 failed\n")
    assert "run --retry-failed runs what failed again" in out
    (log,) = re.findall(r"fails size 3 .*: FAILED: loss became NaN; log: (.*)", out)
    assert "a word on stderr" in Path(log).read_text()
    project("run", "--sizes", "3", "--retry-failed")
    assert project("status")[1].startswith("mine: 1 of 2 trials done, 1 failed, 1 retried\n")


@pytest.mark.parametrize("log", ["/etc/passwd", "../../x", "a\x1b[2J", None])
def test_a_log_that_a_record_names_is_shown_and_not_opened(project, log):
    project.write("fails")
    project("run", "--sizes", "3")
    (record,) = project.lines()
    (project.folder / "trials.jsonl").write_text(json.dumps({**record, "log": log}) + "\n")
    code, out, _ = project("status")
    told = "" if log is None else f"; log: {project.folder}/{printable(log)}"
    assert code == 0 and out.splitlines()[1].endswith(f"FAILED: loss became NaN{told}")


def test_curves_for_tensorboard_where_they_are_wanted(project):
    project("run", "--sizes", "3")
    assert not (project.folder / "tensorboard").exists()
    project("run", "--sizes", "6", "--tensorboard")
    (path,) = (project.folder / "tensorboard").glob("*/events.out.tfevents.*")
    assert path.parent.name.startswith("done-6-s0-tensorflow-")
    assert b"accuracy/validation" in path.read_bytes() and b"end/test_top1" in path.read_bytes()
