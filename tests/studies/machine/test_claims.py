"""Cores that processes of a machine keep for themselves without anybody who hands them out."""

import subprocess
import sys

import pytest

from studies.machine import claims
from studies.machine.claims import claim_cores, claim_gpus

pytestmark = pytest.mark.once


@pytest.fixture
def four(monkeypatch):
    monkeypatch.setattr(claims, "cores", lambda: [2, 3, 6, 7])


@pytest.mark.usefixtures("four")
def test_nobody_gets_what_another_has_until_it_is_released(tmp_path):
    first, second = claim_cores(2, tmp_path), claim_cores(2, tmp_path)
    assert sorted(first.cores + second.cores) == [2, 3, 6, 7]
    first.release()
    assert sorted(claim_cores(2, tmp_path).cores) == sorted(first.cores)


@pytest.mark.usefixtures("four")
def test_where_too_few_are_free_they_are_shared(tmp_path):
    alone = claim_cores(3, tmp_path)
    assert len(set(claim_cores(2, tmp_path).cores) - set(alone.cores)) == 1
    assert len(claim_cores(9, tmp_path).cores) == 4


def test_what_fewest_have_is_taken_first(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "visible_gpus", lambda: ["0", "GPU/1"])
    held = [claim_gpus(1, tmp_path) for _ in range(6)]
    assert [claim.chosen for claim in held] == [["0"], ["GPU/1"]] * 3
    for claim in held[1], held[5]:
        claim.release()
    again = [claim_gpus(1, tmp_path) for _ in range(3)]  # three hold the first, one the second
    assert [claim.chosen for claim in again] == [["GPU/1"], ["GPU/1"], ["0"]]


def test_a_process_that_dies_leaves_its_cores_to_others(tmp_path):
    """Even by SIGKILL, and seen by another process."""
    code = f"""
import os, signal
from pathlib import Path
from studies.machine.claims import claim_cores, claim_gpus
print(*claim_cores(1, Path({str(tmp_path)!r})).cores, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    held = [claim_cores(1, tmp_path) for _ in claims.cores()]
    assert int(said) in [core for claim in held for core in claim.cores]
    assert len({core for claim in held for core in claim.cores}) == len(held)


@pytest.mark.usefixtures("four")
@pytest.mark.parametrize("name", ["2@²", "2@x", "@", "2@" + "9" * 100])
def test_what_is_no_place_is_passed_over(tmp_path, name):
    (tmp_path / name).touch()
    assert sorted(claim_cores(4, tmp_path).cores) == [2, 3, 6, 7]


@pytest.mark.usefixtures("four")
def test_a_folder_of_somebody_else_is_no_trouble(tmp_path):
    (tmp_path / "file").touch()
    claim = claim_cores(2, tmp_path / "file")
    assert len(set(claim.cores)) == 2
    claim.release()
