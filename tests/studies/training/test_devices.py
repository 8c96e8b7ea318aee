"""One training on several devices: the numbers of one device, and the same bits whatever interrupts it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from studies.machine.devices import visible_gpus
from studies.training.devices import ONE_DEVICE, devices_of
from studies.training.seeds import reseed
from tests.studies.executors.contract import alive, descendants, wait_for

ROOT = Path(__file__).resolve().parents[3]


def on_devices(what, folder):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.studies.training.on_devices", what, folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_losses_are_those_of_one_device(tmp_path, backend):
    told = on_devices("equal", tmp_path)
    expected = {f"{model} {devices} 1" for model in ("vit", "bit") for devices in (1, 2, 4)}
    assert set(told) == expected | ({"vit 4 2"} if backend == "jax" else set())
    for name, losses in told.items():
        model = name.split()[0]
        np.testing.assert_allclose(losses, told[f"{model} 1 1"], rtol=1e-5, err_msg=name)


def test_ended_between_two_points_a_trial_goes_on_with_the_same_bits(tmp_path):
    told = on_devices("resumed", tmp_path)
    whole, parts = told["whole"], told["parts"]
    assert whole["status"] == parts["status"] == "done", (whole, parts)
    assert 6 < told["left"] < 12
    assert parts["processes"] == 2
    for field in ("weights_sha256", "history", "metrics"):
        assert parts[field] == whole[field]
    assert whole["device_count"] == 2
    assert whole["device"].startswith("2 x ") and whole["devices"] == [whole["device"]]
