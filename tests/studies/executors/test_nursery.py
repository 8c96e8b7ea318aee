"""Forked trials: the same bits as those of a process started anew, and no trouble when a nursery dies."""

import os
import signal
import sys
from pathlib import Path

import pytest

import studies.training.trial
from studies.data import describe
from studies.executors.local import TRIAL_COMMAND, LocalExecutor
from studies.executors.nursery import Nursery, possible
from studies.machine.processes import child_environment
from tests.studies.descriptions import image_folder, trial
from tests.studies.fake_trial import COMMAND

ANEW = (sys.executable, studies.training.trial.__file__)


@pytest.mark.timeout(900)  # two processes that load a backend, on whatever machine
def test_a_forked_trial_ends_with_the_bits_of_one_started_anew(tmp_path, backend):
    dataset = image_folder(tmp_path / "images")
    each = trial(
        "vit", dataset=dataset, image_size=8, backend=backend, size=6,
        data_fingerprint=describe(dataset, 8).fingerprint,
    )  # fmt: skip
    records = {}
    for command in (TRIAL_COMMAND, ANEW):
        results = tmp_path / str(len(records))

        def keep(_, event, key=command):
            records[key] = event.get("record")

        LocalExecutor(1, 1, command).run([each], results, results / "logs", keep)
    forked, anew = records[TRIAL_COMMAND], records[ANEW]
    assert forked["status"] == anew["status"] == "done", forked.get("reason")
    assert forked["weights_sha256"] == anew["weights_sha256"]
    assert forked["history"] == anew["history"] and forked["metrics"] == anew["metrics"]
    if possible():
        assert (tmp_path / "0" / "logs" / f"start-{backend}.log").exists()
        assert not list((tmp_path / "1" / "logs").glob("start-*"))


@pytest.mark.once
def test_a_killed_nursery_takes_its_trials_along_and_another_goes_on(tmp_path):
    first, second = (trial(name, seed=seed) for seed, name in enumerate(("hangs", "done")))
    records = []

    def kill_the_first_ones_parent(which, event):
        if event["event"] == "start" and which == first:
            (pid,) = (int(path.read_text()) for path in _wait_for(tmp_path, "*.pid"))
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            assert parent != os.getpid()
            os.kill(parent, signal.SIGKILL)
        elif event["event"] == "record":
            records.append(event["record"])

    LocalExecutor(1, 1, COMMAND).run(
        [first, second], tmp_path, tmp_path / "logs", kill_the_first_ones_parent
    )
    assert [record["status"] for record in records] == ["failed", "done"]
    assert "SIGKILL" in records[0]["reason"]


@pytest.mark.once
def test_an_interrupted_question_is_the_last_one(tmp_path, monkeypatch):
    """Its answer is still on the way, and must not be taken for that to another question."""
    variables = child_environment("jax")
    nursery = Nursery("tests.studies.fake_trial", variables, tmp_path / "start.log")
    recv = nursery._socket.recv

    class Interrupted:
        def __getattr__(self, name):
            return getattr(socket, name)

        def recv(self, size):
            recv(size)
            raise KeyboardInterrupt

    socket = nursery._socket
    nursery._socket = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        nursery.start(["--help"], [0], tmp_path / "trial.log")
    nursery._socket = socket
    with pytest.raises(ConnectionError):
        nursery.start(["--help"], [0], tmp_path / "trial.log")
    nursery.close()


def _wait_for(folder: Path, pattern: str) -> list[Path]:
    while not (found := [path for path in folder.glob(pattern) if path.read_text()]):
        pass
    return found
