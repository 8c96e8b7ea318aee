"""The local executor: the contract, and that trials never outlive their driver."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from studies.errors import UsageError
from studies.executors import log_name
from studies.executors.local import LocalExecutor
from studies.machine.threads import cores
from studies.records.place import Here
from tests.studies.descriptions import trial
from tests.studies.executors.contract import ExecutorContract, alive, wait_for
from tests.studies.fake_trial import COMMAND

pytestmark = pytest.mark.once


class TestLocalExecutor(ExecutorContract):
    IMPORTS = "from studies.executors.local import LocalExecutor"
    EXECUTOR = "contextlib.nullcontext(LocalExecutor(2, 1, COMMAND))"

    def make(self, workers, threads, command):
        return LocalExecutor(workers, threads, command)


def test_the_cores_are_shared_out_by_default():
    available = len(cores())
    assert LocalExecutor().threads == available
    assert LocalExecutor(workers=2 * available).threads == 1


@pytest.mark.parametrize("arguments", [{"workers": 0}, {"threads": 0}, {"threads": 10**6}])
def test_impossible_numbers_are_refused(arguments):
    with pytest.raises(UsageError, match=r"at least 1|at most \d+"):
        LocalExecutor(**arguments)


def test_a_trial_keeps_the_threads_it_first_started_with(tmp_path):
    each = trial()
    note = tmp_path / ".checkpoints" / each.pretrain_id / "threads.json"
    note.parent.mkdir(parents=True)
    note.write_text(json.dumps({"threads": 7, "cores": 1}))
    records = []
    LocalExecutor(1, len(cores()), COMMAND).run(
        [each], Here(tmp_path), tmp_path / "logs", lambda t, e: records.append(e.get("record"))
    )
    assert records[-1]["environment"]["OMP_NUM_THREADS"] == "7"
    assert records[-1]["cores"] == 1


def test_a_system_that_binds_no_processes_runs_trials_on_all_cores(tmp_path, monkeypatch):
    """macOS and Windows."""
    every = len(cores())
    for name in ("sched_getaffinity", "sched_setaffinity"):
        monkeypatch.delattr(os, name)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    records = []
    LocalExecutor(2, command=COMMAND).run(
        [trial()], Here(tmp_path), tmp_path / "logs", lambda t, e: records.append(e.get("record"))
    )
    assert records[-1]["environment"]["OMP_NUM_THREADS"] == "2"
    assert records[-1]["cores"] == every  # which the trial counts for itself


def test_a_log_on_a_full_disk_does_not_hang_the_run(tmp_path):
    each = trial()
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / log_name(each)).symlink_to("/dev/full")  # every write fails
    event = {"event": "record", "record": {"trial_id": each.trial_id}}
    command = [sys.executable, "-c", f"print('noise'); print({json.dumps(event)!r})"]
    events = []
    LocalExecutor(1, 1, command).run(
        [each], Here(tmp_path), tmp_path / "logs", lambda t, e: events.append(e)
    )
    assert events == [event]


def test_a_process_that_cannot_start_is_no_trouble_with_the_disk(tmp_path, monkeypatch):
    """On a machine without memory for a second trial, the first one is ended too."""
    started, start = [], subprocess.Popen

    def popen(*arguments, **options):
        if started:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        started.append(start(*arguments, **options))
        return started[0]

    monkeypatch.setattr(subprocess, "Popen", popen)
    trials = [trial("hangs", seed=seed) for seed in range(2)]
    with pytest.raises(UsageError, match=r"\(Resource temporarily .*\): choose fewer --workers"):
        LocalExecutor(2, 1, COMMAND).run(
            trials, Here(tmp_path), tmp_path / "logs", lambda t, e: None
        )
    assert started[0].returncode is not None


def test_an_interruption_leaves_no_process_behind(tmp_path):
    def interrupt(each, event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LocalExecutor(1, 1, COMMAND).run(
            [trial("hangs")], Here(tmp_path), tmp_path / "l", interrupt
        )
    assert not any(alive(int(path.read_text())) for path in tmp_path.glob("*.pid"))


def test_trials_die_with_a_killed_driver(tmp_path):
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(tmp_path)], cwd=Path.cwd())
    try:
        wait_for(lambda: len(list(tmp_path.glob("*.pid"))) == 2)
        pids = [wait_for(lambda p=p: int(p.read_text() or 0)) for p in tmp_path.glob("*.pid")]
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    wait_for(lambda: not any(alive(pid) for pid in pids), seconds=10)


DRIVER = """
import sys
from pathlib import Path
from studies.executors.local import LocalExecutor
from studies.records.place import Here
from tests.studies.descriptions import trial
from tests.studies.fake_trial import COMMAND

results = Path(sys.argv[1])
trials = [trial("hangs", seed=seed) for seed in range(2)]
LocalExecutor(2, 1, COMMAND).run(trials, Here(results), results / "logs", lambda trial, event: None)
"""
