"""One training on several devices: the numbers of one device, and the same bits whatever interrupts it."""

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.studies.executors.contract import alive, descendants, wait_for

pytestmark = pytest.mark.timeout(1200)  # up to four processes a test, each with a backend
ROOT = Path(__file__).resolve().parents[3]


def command(what, folder, processes=1, split=1):
    module = "tests.studies.training.on_devices"
    python = (sys.executable, "-W", "ignore", "-m", module)
    return [*python, what, str(folder), str(processes), str(split)]


def on_devices(*arguments):
    done = subprocess.run(
        command(*arguments),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_losses_are_those_of_one_device(tmp_path, backend):
    told = on_devices("equal", tmp_path)
    expected = {"vit 1 1", "vit 4 1", "bit 1 1", "bit 4 1"}
    assert set(told) == expected | ({"vit 4 2"} if backend == "jax" else set())
    if backend == "jax":
        in_two_processes = on_devices("equal", tmp_path / "apart", 2, 2)
        told["vit 4 2, apart"] = in_two_processes.pop("vit 4 2")
        assert not in_two_processes
    for name, losses in told.items():
        model = name.split()[0]
        np.testing.assert_allclose(losses, told[f"{model} 1 1"], rtol=1e-5, err_msg=name)


def test_ended_between_two_points_a_trial_goes_on_with_the_same_bits(tmp_path, backend):
    told = on_devices("resumed", tmp_path)
    whole = went_on(told)
    masks = np.array(told["masks"]["whole"])  # (devices, steps, B, N, D)
    np.testing.assert_array_equal(masks, told["masks"]["parts"])
    assert masks.shape[:3] == (2, 2, 4)
    masks = masks.reshape(4, -1)  # each device has its own, and each step
    assert np.all((masks.mean(1) > 0.5) & (masks.mean(1) < 0.9))  # of 0.7
    for first, second in itertools.combinations(masks, 2):
        assert 0.2 < np.mean(first != second) < 0.7  # 0.42 of independent ones
    if backend == "jax":
        assert told["attention"]["status"] == "done", told["attention"]
    assert whole["device_count"] == 2
    assert whole["device"].startswith("2 x ") and whole["devices"] == [whole["device"]]
    if backend == "jax":
        apart = went_on(on_devices("resumed", tmp_path / "apart", 2))
        assert apart["device_processes"] == 2
        # Drop-out and all else is that of one computation; sums may be rounded in another order.
        for one, other in zip(whole["history"], apart["history"], strict=True):
            assert one == pytest.approx(other, rel=1e-5)


def went_on(told):
    """The record of the trial that was left alone, where the other has the same bits."""
    whole, parts = told["whole"], told["parts"]
    assert whole["status"] == parts["status"] == "done", (whole, parts)
    assert 6 < told["left"] < 12
    assert parts["processes"] == 2
    for field in ("weights_sha256", "history", "metrics"):
        assert parts[field] == whole[field]
    assert told["ends"][0] == told["ends"][1]
    return whole


def test_a_process_that_is_lost_is_named(tmp_path, backend):
    if backend == "tensorflow":  # it has one process
        return
    processes = 2 if backend == "jax" else 1  # PyTorch has one a device anyway
    lasts = command("lasts", tmp_path, processes)
    trial = subprocess.Popen(lasts, cwd=ROOT, text=True, stdout=subprocess.PIPE)
    try:
        wait_for(lambda: list(tmp_path.glob("results/.checkpoints/*/state-*.ckpt")))
        (other,) = descendants(trial.pid)
        os.kill(other, signal.SIGKILL)
        record = json.loads(trial.communicate(timeout=60)[0].splitlines()[-1])
    finally:
        trial.kill()
    assert record["status"] == "failed"
    assert record["reason"].startswith(
        "Process 2 of the 2 that train together was killed by SIGKILL"
    )
    assert not alive(other)
