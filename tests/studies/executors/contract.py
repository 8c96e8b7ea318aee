"""What every executor must do.  A new executor's test subclasses `ExecutorContract`."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from studies.executors import Executor, log_name
from studies.records.place import Here
from studies.study.recipe import Evaluation
from studies.study.trial import Trial
from tests.studies.descriptions import trial
from tests.studies.fake_trial import COMMAND

# A driver: runs what has no record yet, two trials at a time, and records it.
DRIVER = """
import contextlib, sys
from pathlib import Path
from studies.records.place import Here
from studies.records.store import ResultsStore
from tests.studies.descriptions import trial
from tests.studies.fake_trial import COMMAND
{imports}

results = Path(sys.argv[1])
store = ResultsStore(results / "trials.jsonl")
recorded = {{record["trial_id"] for record in store.records()}}
trials = [trial("done"), trial("lasts", seed=1), trial("done", seed=2)]
trials = [each for each in trials if each.trial_id not in recorded]
with {executor} as executor:
    executor.run(trials, Here(results), results / "logs",
                 lambda _, event: event["event"] == "record" and store.append(event["record"]))
"""


class ExecutorContract:
    """Trials in, one record each out, whatever becomes of their processes."""

    # How a driver has one with two workers for a while, and what it imports for that.
    IMPORTS, EXECUTOR = "", ""

    def make(self, workers: int, threads: int, command: Sequence[str]) -> Executor:
        """The executor under test."""
        raise AssertionError("a subclass makes its executor here")

    @pytest.fixture
    def run(self, tmp_path: Path):
        def run(trials: list[Trial], workers: int = 2) -> list[tuple[Trial, dict]]:
            events = []
            executor = self.make(workers, 1, COMMAND)
            executor.run(
                trials, Here(tmp_path), tmp_path / "logs", lambda t, e: events.append((t, e))
            )
            return events

        return run

    def test_every_trial_starts_progresses_and_ends_with_one_record(self, run):
        trials = [trial(seed=seed) for seed in range(3)]
        events = run(trials)
        for each in trials:
            own = [event["event"] for which, event in events if which == each]
            assert own == ["start", "progress", "progress", "record"]
        assert {r["status"] for r in _records(events).values()} == {"done"}

    def test_a_lost_process_is_a_failed_record_and_the_others_go_on(self, run, tmp_path):
        names = ["dies", "exits", "fails", "done"]
        trials = [trial(name, seed=seed) for seed, name in enumerate(names)]
        records = _records(run(trials))
        assert [records[t.trial_id]["status"] for t in trials] == ["failed"] * 3 + ["done"]
        reasons = [records[t.trial_id].get("reason", "") for t in trials]
        assert "SIGKILL" in reasons[0] and "memory" in reasons[0]
        assert "exit code 3" in reasons[1] and "the reason why" in reasons[1]
        assert reasons[2] == "loss became NaN"
        for each in trials:
            record = records[each.trial_id]
            assert (record["model"], record["seed"]) == (each.model.name, each.seed)
            assert (record["size"], record["backend"]) == (each.size, each.backend)
            assert record["pretrain_id"] == each.pretrain_id

    def test_every_trial_has_its_own_process_and_log(self, run, tmp_path):
        trials = [trial(seed=seed) for seed in range(2)]
        records = _records(run(trials, workers=1))
        assert len({record["pid"] for record in records.values()}) == 2
        for each in trials:
            log = (tmp_path / "logs" / log_name(each)).read_text()
            assert "a word on stderr" in log and "on stdout but no event" in log

    def test_a_process_gets_its_trials_backend_and_threads(self, run):
        trials = [trial(backend="torch"), trial(backend="jax")]
        records = _records(run(trials))
        for each in trials:
            given = records[each.trial_id]["environment"]
            assert given == {"KERAS_BACKEND": each.backend, "OMP_NUM_THREADS": "1"}
            assert records[each.trial_id]["cores"] == 1

    def test_no_more_than_workers_at_a_time(self, run):
        records = _records(run([trial(seed=seed) for seed in range(3)], workers=1)).values()
        assert not any(_overlap(a, b) for a in records for b in records if a is not b)

    def test_trials_that_share_a_checkpoint_never_run_at_the_same_time(self, run):
        trials = [trial(evaluation=Evaluation(shots=(shots,))) for shots in (1, 2)]
        assert trials[0].pretrain_id == trials[1].pretrain_id
        first, second = _records(run(trials)).values()
        assert not _overlap(first, second)

    def test_no_trials_are_no_work(self, run):
        assert run([]) == []

    def test_a_killed_driver_goes_on_and_repeats_nothing_that_is_recorded(self, tmp_path):
        code = DRIVER.format(imports=self.IMPORTS, executor=self.EXECUTOR)
        command = [sys.executable, "-c", code, str(tmp_path)]
        lasting = trial("lasts", seed=1).trial_id
        driver = subprocess.Popen(command)
        try:
            wait_for(lambda: len(_lines(tmp_path / "trials.jsonl")) == 2)
            wait_for((tmp_path / f"{lasting}.pid").exists)
        finally:
            driver.send_signal(signal.SIGKILL)
            driver.wait()
        assert subprocess.run(command, timeout=120).returncode == 0
        records = [json.loads(line) for line in _lines(tmp_path / "trials.jsonl")]
        assert [record["status"] for record in records] == ["done"] * 3
        starts = _lines(tmp_path / "starts")
        assert len(starts) == 4 and starts.count(lasting) == 2


def wait_for(happened: Callable[[], Any], seconds: float = 90) -> Any:
    """Wait until something has happened, and give what it is."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = happened()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z" and os.path.exists(f"/proc/{pid}")


def descendants(pid: int) -> list[int]:
    """Processes below a process."""
    children = [
        int(word)
        for thread in Path(f"/proc/{pid}/task").glob("*")
        for word in (thread / "children").read_text().split()
    ]
    return children + [each for child in children for each in descendants(child)]


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _records(events: list[tuple[Trial, dict]]) -> dict[str, dict]:
    ends = [event["record"] for _, event in events if event["event"] == "record"]
    records = {record["trial_id"]: record for record in ends}
    assert len(records) == len(ends), "a trial ended twice"
    return records


def _overlap(a: dict, b: dict) -> bool:
    return a["began"] < b["ended"] and b["began"] < a["ended"]
