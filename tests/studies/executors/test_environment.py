"""What a trial's process finds in its environment."""

import os
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest

from studies.data.cache import entries
from studies.executors.environment import environment
from studies.executors.programs import MOST_BYTES
from studies.machine import devices
from tests.studies.descriptions import trial

pytestmark = pytest.mark.once
FOLDER, LIMIT = "JAX_COMPILATION_CACHE_DIR", "JAX_COMPILATION_CACHE_MAX_SIZE"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.delenv(FOLDER, raising=False)
    monkeypatch.setenv("KERAS_VIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def of(threads: int = 1, cores: int = 1, backend: str = "jax") -> dict[str, str]:
    return environment(trial(backend=backend), threads, cores, False)


def test_what_jax_compiles_is_kept_for_trials_of_as_many_threads(cache):
    folders = {of(*numbers)[FOLDER] for numbers in ((1, 1), (2, 2), (1, 2), (1, 1))}
    assert len(folders) == 3
    assert all(folder.startswith(f"{cache}/programs-") for folder in folders)
    assert FOLDER not in of(backend="torch")


def test_what_is_compiled_is_used_when_a_trial_starts(cache):
    own = Path(of()[FOLDER]).parent
    os.utime(own, (0, 0))
    of()
    (entry,) = entries(cache)
    assert entry.title == own.name and time.time() - entry.used < 3600


def test_programs_are_for_one_kind_of_processor(tmp_path, monkeypatch):
    """Two of one name may differ in what they can do."""
    folders = set()
    for flags in ("sse avx2", "sse avx2 avx512f", "sse avx2"):
        text = f"processor : 0\nmodel name : QEMU\ncpu MHz : {len(folders)}\nflags : {flags}\n"
        (tmp_path / "cpuinfo").write_text(text)
        path = devices.Path
        monkeypatch.setattr(devices, "Path", lambda name, path=path: path(tmp_path / "cpuinfo"))
        folders.add(of()[FOLDER])
        monkeypatch.setattr(devices, "Path", path)
    assert len(folders) == 2


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_where_others_may_write_nothing_is_run(cache, mode):
    """JAX runs what lies there."""
    own = Path(of()[FOLDER]).parent
    own.chmod(mode)
    assert FOLDER not in of()
    own.chmod(0o700)
    cache.chmod(mode)  # who may write here may put another folder in the place of ours
    assert FOLDER not in of()
    cache.chmod(mode | 0o1000)  # unless it is as /tmp is
    assert FOLDER in of()


@pytest.mark.parametrize("read_before", [True, False])
def test_a_program_that_a_kill_has_cut_is_compiled_again(monkeypatch, read_before):
    from jax._src.lru_cache import LRUCache, pathlib

    program = zlib.compress(b"a program")
    kept = LRUCache(of()[FOLDER], max_size=MOST_BYTES)
    kept.put("whole", program)

    def killed(path, content):
        path.open("wb").write(content[:-3])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pathlib.Path, "write_bytes", killed)
        kept.put("cut", program)
    if read_before:  # by a trial that is at work; JAX takes it for any other then
        assert kept.get("cut") == program[:-3]
    assert of()[LIMIT] == str(MOST_BYTES)
    assert kept.get("cut") is None and kept.get("whole") == program
    kept.put("cut", program)
    assert of() and kept.get("cut") == program


def test_a_cache_that_cannot_be_written_is_no_trouble(cache):
    cache.write_text("a file")
    assert FOLDER not in of()


def test_a_folder_of_the_users_own_stays(monkeypatch):
    monkeypatch.setenv(FOLDER, "/elsewhere")
    assert of()[FOLDER] == "/elsewhere" and LIMIT not in of()


def test_threads_sleep_while_they_wait_for_each_other():
    assert of(threads=2, backend="torch")["OMP_WAIT_POLICY"] == "PASSIVE"


STEPS = """
import resource
import numpy as np

def step():
    np.ones(2**22).sum()  # 32 MiB

step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_memory_of_a_step_is_there_for_the_next():
    """Each array would be 8,192 new pages, or 16 large ones."""
    command = [sys.executable, "-c", STEPS]
    done = subprocess.run(command, env=of(), capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100


def test_how_memory_is_kept_is_the_users_to_say(monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000")
    assert of()["MALLOC_TRIM_THRESHOLD_"] == "1000"
