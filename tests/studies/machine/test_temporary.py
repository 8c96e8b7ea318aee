"""Temporary folders, and what is left of them by processes that were killed."""

import subprocess
import sys
import tempfile

import pytest

from studies.machine.temporary import TemporaryFolder

pytestmark = pytest.mark.once

KILLED = """
import os, signal
from studies.machine.temporary import TemporaryFolder
folder = TemporaryFolder("test")
(folder.path / "large").write_bytes(b"0" * 1000)
print(folder.path, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_is_removed_and_what_is_in_use_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    mine, other = TemporaryFolder("test"), tmp_path / "keras_vit-test-of-somebody"
    other.mkdir()
    said = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True).stdout
    (left,) = {path for path in tmp_path.iterdir() if path.is_dir()} - {mine.path, other}
    assert str(left) == said.strip() and (left / "large").exists()
    next_one = TemporaryFolder("test")
    assert not left.exists() and mine.path.is_dir() and next_one.path.is_dir()
    (mine.path / "file").touch()
    mine.close()
    next_one.close()
    assert list(tmp_path.iterdir()) == [other]
