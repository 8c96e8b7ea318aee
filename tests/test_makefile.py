"""`make test`: one summary line a backend with its time, and a failure on any of them is a failure."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Stands for the environment's Python: says what it was asked, and fails on the backend FAIL.
STUB = """#!/bin/sh
echo "ran: $KERAS_BACKEND $*"
echo "==== 7 tests on $KERAS_BACKEND in 1.50s ===="
test "$KERAS_BACKEND" != "$FAIL"
"""

pytestmark = pytest.mark.once


def run_backends(tmp_path: Path, fail: str, data: Path, *options: str):
    stub = tmp_path / "python"
    stub.write_text(STUB)
    stub.chmod(0o755)
    environment = {
        **os.environ,
        "PY": str(stub),
        "WORKERS": "2",
        "FAIL": fail,
        "FASHION_MNIST": str(data),
    }
    script = str(ROOT / ".ci" / "test-backends")
    command = [script, "tensorflow", "jax", "torch", "--", *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def test_one_line_a_backend_and_the_time_of_all(tmp_path):
    result = run_backends(tmp_path, "", tmp_path)
    assert result.returncode == 0
    *lines, whole = result.stdout.splitlines()[-4:]
    assert lines == [
        "tensorflow 7 tests on tensorflow in 1.50s (exit code 0)",
        "jax        7 tests on jax in 1.50s (exit code 0)",
        "torch      7 tests on torch in 1.50s (exit code 0)",
    ]
    assert re.fullmatch(r"in all     \d+ min \d\d s", whole)


@pytest.mark.parametrize("fail", ["tensorflow", "jax", "torch"])
def test_a_failing_backend_fails_and_the_others_still_run(tmp_path, fail):
    result = run_backends(tmp_path, fail, tmp_path)
    assert result.returncode == 1
    assert result.stdout.count("ran: ") == 3
    assert f"7 tests on {fail} in 1.50s (exit code 1)" in result.stdout


def test_only_the_first_backend_runs_what_is_marked_once(tmp_path):
    first, second, third = (
        line
        for line in run_backends(tmp_path, "", tmp_path, "-x").stdout.splitlines()
        if line.startswith("ran: ")
    )
    assert "once" not in first
    assert first.endswith("-x")
    assert "-m not once" in second
    assert "-m not once" in third


def test_missing_images_are_announced(tmp_path):
    result = run_backends(tmp_path, "", tmp_path / "nowhere")
    assert result.stdout.startswith("Leaving out the tests marked fashion_mnist")
    assert result.stdout.count("not fashion_mnist") == 3


def test_ci_runs_check_and_test():
    text = (ROOT / ".ci" / "run").read_text()
    assert "make check" in text
    assert "make test" in text
