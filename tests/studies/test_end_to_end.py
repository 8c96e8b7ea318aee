"""A real study in miniature on this pass's backend: killed, continued, reported."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from studies.records.store import ResultsStore
from tests.studies.descriptions import image_folder, study_file


@pytest.mark.timeout(900)  # three processes that load a backend, on whatever machine
def test_a_killed_driver_takes_its_trials_along_and_a_new_one_goes_on(tmp_path, backend):
    dataset = image_folder(tmp_path / "images")
    file = study_file(tmp_path / "mini.toml", dataset, ("vit",), backends=[backend])
    results = tmp_path / "results"
    command = [sys.executable, "-m", "studies", "run", str(file), "--results", str(results)]
    command += ["--threads", "1"]
    log = (tmp_path / "first.log").open("w+")
    first = subprocess.Popen(command, stdout=log, stderr=log)
    store = ResultsStore(results / "mini" / "trials.jsonl")
    try:
        _wait(lambda: store.records() or first.poll() is not None, 500)
        children = _children(first.pid)
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    _wait(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), 10)
    finished = store.path.read_text().splitlines()
    assert finished, Path(log.name).read_text()

    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = store.path.read_text().splitlines()
    assert lines[: len(finished)] == finished and len(lines) == 2
    for line in map(json.loads, lines):
        assert line["status"] == "done" and line["backend"] == backend
        assert line["threads"] == line["cores"] == 1
        assert 0 <= line["metrics"]["test_top1"] <= 1 and "fewshot_1" in line["metrics"]
    assert (results / "mini" / "report.md").exists(), done.stderr

    model = results / "mini" / "models" / f"vit-6-seed0-{backend}.keras"
    assert [path.name for path in model.parent.glob("*.keras")] == [model.name]
    predict = [sys.executable, "-m", "studies", "predict", str(model), dataset.split(":")[1]]
    done = subprocess.run([*predict, "--backend", backend], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    header, *rows = (line.split(",") for line in done.stdout.splitlines())
    assert header == ["file", "predicted", "confidence"] and len(rows) == 36
    assert {row[1] for row in rows} <= {"class0", "class1", "class2"}


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


def _wait(condition, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)
