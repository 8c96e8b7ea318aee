"""Threads are fixed by a trial's first process, and what a record says of its surroundings is true."""

import json
import os
import subprocess
import sys

import pytest

from studies.machine import threads as environment
from studies.machine.devices import make_devices
from studies.machine.threads import Threads, settle_threads
from studies.machine.versions import commit, versions

pytestmark = pytest.mark.once

SETTLE = """
import os, pathlib, sys
from studies.machine.threads import settle_threads
print(*settle_threads(pathlib.Path(sys.argv[1])), os.environ["OMP_NUM_THREADS"],
      os.environ["TF_NUM_INTRAOP_THREADS"], len(os.sched_getaffinity(0)), os.environ["XLA_FLAGS"])
"""


def settle(path, threads):
    environ = {**os.environ, "OMP_NUM_THREADS": threads, "XLA_FLAGS": ""}
    done = subprocess.run(
        [sys.executable, "-c", SETTLE, str(path)],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_later_processes_get_the_first_ones_threads(tmp_path):
    path = tmp_path / "trial" / "threads.json"
    cores = str(len(os.sched_getaffinity(0)))
    first = settle(path, "1")
    assert first == ["1", cores, "1", "1", cores, "--xla_cpu_multi_thread_eigen=false"]
    assert json.loads(path.read_text()) == {"threads": 1, "cores": int(cores)}
    assert settle(path, "7") == first


@pytest.mark.parametrize("wish", ["", "²", "0", "-1", "4,2"])
def test_without_a_wish_the_threads_are_the_cores(tmp_path, wish):
    cores = str(len(os.sched_getaffinity(0)))
    assert settle(tmp_path / "threads.json", wish)[:2] == [cores, cores]


@pytest.mark.parametrize(("given", "threads"), [("", "4"), ("²", "4"), ("3", "4"), ("9", "9")])
def test_tensorflow_has_a_thread_more_for_each_device(monkeypatch, given, threads):
    monkeypatch.setenv("TF_NUM_INTEROP_THREADS", given)
    make_devices("tensorflow", 2)
    assert os.environ["TF_NUM_INTEROP_THREADS"] == threads


def test_a_trial_of_fewer_cores_stays_on_as_few(tmp_path):
    path = tmp_path / "threads.json"
    path.write_text('{"threads": 1, "cores": 1}')
    assert settle(path, "2")[:5] == ["1", "1", "1", "1", "1"]


def test_missing_cores_are_said(tmp_path, capsys, monkeypatch):
    for variable in (*environment.THREAD_VARIABLES, "XLA_FLAGS"):
        monkeypatch.setenv(variable, "1" if variable != "XLA_FLAGS" else "")
    path = tmp_path / "threads.json"
    path.write_text('{"threads": 1, "cores": 4096}')
    assert settle_threads(path) == Threads(1, len(os.sched_getaffinity(0)))
    assert "started on 4096 cores" in capsys.readouterr().err


def test_without_system_calls_for_them_all_cores_count_and_stay_unbound(tmp_path, monkeypatch):
    """macOS and Windows have none."""
    for name in ("sched_getaffinity", "sched_setaffinity"):
        monkeypatch.delattr(os, name)
    for variable in (*environment.THREAD_VARIABLES, "XLA_FLAGS"):
        monkeypatch.setenv(variable, "")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert settle_threads(tmp_path / "first.json") == Threads(3, 3)
    (tmp_path / "noted.json").write_text('{"threads": 2, "cores": 2}')
    assert settle_threads(tmp_path / "noted.json") == Threads(2, 3)


def test_the_commit_is_gits_own_answer():
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"],
        capture_output=True,
        text=True,
        cwd=os.path.dirname(environment.__file__),
    )
    assert commit().removesuffix("-dirty") == (head.stdout.strip() or "unknown")


def test_without_git_the_commit_is_unknown(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert commit() == "unknown"


def test_versions_are_those_installed():
    import keras
    import numpy

    found = versions("tensorflow")
    assert found["keras"] == keras.__version__ and found["numpy"] == numpy.__version__
    assert found["python"] == sys.version.split()[0]
