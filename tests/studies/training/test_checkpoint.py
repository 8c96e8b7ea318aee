"""Checkpoints: whole or not there, whatever happens to their writer or to the file."""

import os
import random
import signal
import subprocess
import sys
import time

import ml_dtypes
import numpy as np
import pytest

from studies.training.checkpoint import CheckpointFolder, DamagedCheckpoint, digest, load, save

pytestmark = pytest.mark.once


def some_arrays(value=0.0):
    return {
        "model": [np.full((2, 3), value, np.float32), np.arange(4, dtype=np.uint32)],
        "optimizer": [np.array(7, np.int64), np.array([1.5, -2], ml_dtypes.bfloat16)],
        "best": [],
    }


def test_comes_back_bit_for_bit(tmp_path):
    arrays = some_arrays(np.float32(1) / 3)
    save(tmp_path / "a.ckpt", {"epoch": 3, "loss": 0.1 + 0.2}, arrays)
    meta, back = load(tmp_path / "a.ckpt")
    assert meta == {"epoch": 3, "loss": 0.1 + 0.2}
    assert list(back) == ["model", "optimizer", "best"]
    for group, items in arrays.items():
        assert [a.dtype for a in back[group]] == [a.dtype for a in items]
        assert [a.shape for a in back[group]] == [a.shape for a in items]
        assert [a.tobytes() for a in back[group]] == [a.tobytes() for a in items]


def test_non_contiguous_arrays_keep_their_values(tmp_path):
    array = np.arange(24.0).reshape(4, 6).T
    save(tmp_path / "a.ckpt", {}, {"x": [array, array[:, ::2]]})
    back = load(tmp_path / "a.ckpt").arrays["x"]
    np.testing.assert_array_equal(back[0], array)
    np.testing.assert_array_equal(back[1], array[:, ::2])


def test_two_states_are_kept_and_a_final_replaces_them(tmp_path):
    folder = CheckpointFolder(tmp_path / "trial")
    assert folder.newest_state() is None and folder.final() is None
    for number in range(1, 12):
        folder.save_state(number, {"epoch": number}, some_arrays(number))
    assert len(list(folder.folder.iterdir())) == 2
    assert folder.newest_state().meta["epoch"] == 11
    folder.save_final({"epoch": 11}, {"best": [np.ones(2)]})
    assert [p.name for p in folder.folder.iterdir()] == ["final.ckpt"]
    np.testing.assert_array_equal(folder.final().arrays["best"][0], np.ones(2))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.5, 0.9, 0.999])
def test_a_torn_file_falls_back_to_the_one_before(tmp_path, share, capsys):
    folder = CheckpointFolder(tmp_path)
    for number in (1, 2):
        folder.save_state(number, {"epoch": number}, some_arrays(number))
    newest = tmp_path / "state-000002.ckpt"
    newest.write_bytes(newest.read_bytes()[: int(newest.stat().st_size * share)])
    assert folder.newest_state().meta["epoch"] == 1
    assert "state-000002.ckpt" in capsys.readouterr().err


def test_every_single_flipped_byte_is_noticed(tmp_path, rng):
    path = tmp_path / "a.ckpt"
    save(path, {"epoch": 1}, some_arrays(1))
    whole = path.read_bytes()
    for position in [0, 31, len(whole) - 1, *rng.integers(0, len(whole), 40)]:
        altered = bytearray(whole)
        altered[position] ^= 0x10
        path.write_bytes(altered)
        with pytest.raises(DamagedCheckpoint, match=r"a\.ckpt"):
            load(path)


def test_a_damaged_final_counts_as_none(tmp_path):
    folder = CheckpointFolder(tmp_path)
    folder.save_final({}, {"best": [np.ones(3)]})
    folder.final_path.write_bytes(folder.final_path.read_bytes()[:-1])
    assert folder.final() is None


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.ckpt"
    save(path, {"epoch": 1}, some_arrays())

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        save(path, {"epoch": 2}, some_arrays())
    monkeypatch.undo()
    assert load(path).meta == {"epoch": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.ckpt"]


def test_a_disk_that_fails_is_named_and_no_state_is_lost(tmp_path):
    folder = CheckpointFolder(tmp_path)
    for number in (1, 2):
        folder.save_state(number, {"epoch": number}, some_arrays())
    newest = tmp_path / "state-000002.ckpt"
    newest.rename(tmp_path / "aside")
    newest.symlink_to("/proc/self/mem")  # reading it is an input/output error
    with pytest.raises(OSError, match=r"Input/output error: .*state-000002\.ckpt"):
        folder.newest_state()
    (tmp_path / "aside").replace(newest)
    assert folder.newest_state().meta == {"epoch": 2}
    newest.unlink()
    assert folder.newest_state().meta == {"epoch": 1}


WRITER = """
import sys, itertools, pathlib, numpy as np
from studies.training.checkpoint import CheckpointFolder
folder = CheckpointFolder(pathlib.Path(sys.argv[1]))
print("ready", flush=True)
for number in itertools.count(1):
    value = np.full(200_000, number, np.float32)
    folder.save_state(number, {"epoch": number}, {"model": [value, value]})
    print(number, flush=True)
"""


def test_a_writer_killed_at_any_moment_leaves_its_last_whole_state(tmp_path):
    moments = random.Random(5)
    for attempt in range(6):
        folder = CheckpointFolder(tmp_path / str(attempt))
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder.folder)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout.readline() == "ready\n"
        assert writer.stdout.readline() == "1\n"
        time.sleep(moments.uniform(0, 0.08))
        os.kill(writer.pid, signal.SIGKILL)
        reported = [1] + [int(line) for line in writer.stdout.read().split()]
        writer.wait()
        writer.stdout.close()
        state = folder.newest_state()
        # What was reported is there; the next one may have been finished, but not reported.
        assert state.meta["epoch"] in (reported[-1], reported[-1] + 1)
        for array in state.arrays["model"]:
            assert (array == state.meta["epoch"]).all()
        folder.clean()
        assert not list(folder.folder.glob(".*"))


def test_the_digest_tells_bits_apart():
    zero = np.zeros(3, np.float32)
    assert digest([zero]) == digest([zero.copy()])
    assert digest([zero]) != digest([-zero])  # equal values, other bits
    assert digest([zero]) != digest([zero.reshape(1, 3)])
    assert digest([zero]) != digest([zero.view(np.int32)])
