"""The cache: built once, whole or not at all, by processes that run at once or are killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from studies.data import cache_folder, load
from studies.data.cache import entries, prepared, remove
from studies.errors import UsageError

pytestmark = pytest.mark.once
ROOT = Path(__file__).parents[3]

# Builds slowly, noting each build in a file outside the cache.
BUILDER = """
import sys, time
from pathlib import Path
import numpy as np
from studies.data.cache import prepared
cache, log, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
def build(folder):
    np.save(folder / "half.npy", np.arange(1000))
    with open(log, "a") as file:
        file.write("build\\n")
    time.sleep(seconds)
    np.save(folder / "rest.npy", np.arange(1000))
    return {"what": "done"}
folder, info = prepared(cache, "things", "key", build)
assert info["what"] == "done" and len(np.load(folder / "rest.npy")) == 1000
print(folder)
"""


def start(tmp_path, seconds):
    command = [sys.executable, "-c", BUILDER, str(tmp_path / "cache"), str(tmp_path / "log")]
    return subprocess.Popen(
        [*command, str(seconds)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(path):
    end = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_three_processes_at_once_build_once(tmp_path):
    processes = [start(tmp_path, 1.0) for _ in range(3)]
    answers = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], answers
    assert len({out for out, _ in answers}) == 1
    assert (tmp_path / "log").read_text() == "build\n"


def test_a_killed_build_leaves_nothing_that_counts(tmp_path):
    killed = start(tmp_path, 60)
    wait_for(tmp_path / "log")
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    again = start(tmp_path, 0)
    assert again.communicate(timeout=120)[0] and again.returncode == 0
    folders = [p for p in (tmp_path / "cache").iterdir() if p.is_dir()]
    assert len(folders) == 1 and not folders[0].name.startswith(".")  # the killed one's is gone


def built(cache, calls):
    def build(folder):
        calls.append(1)
        np.save(folder / "a.npy", np.arange(100))
        return {"n": 1}

    return prepared(cache, "things", ["key"], build)[0]


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: (folder / "a.npy").unlink(),
        lambda folder: os.truncate(folder / "a.npy", 200),
        lambda folder: (folder / "info.json").unlink(),
        lambda folder: (folder / "info.json").write_text('{"n": 1, "files": {"a'),
        lambda folder: (folder / "info.json").write_text("[]"),
    ],
    ids=["file missing", "file cut", "no description", "description cut", "description wrong"],
)
def test_a_torn_folder_is_built_again(tmp_path, harm):
    calls = []
    folder = built(tmp_path, calls)
    assert built(tmp_path, calls) == folder and len(calls) == 1
    harm(folder)
    assert built(tmp_path, calls) == folder and len(calls) == 2
    np.testing.assert_array_equal(np.load(folder / "a.npy"), np.arange(100))
    assert json.loads((folder / "info.json").read_text())["n"] == 1


def test_a_torn_data_set_is_repaired(tmp_path):
    data = load("shapes:1000", (8, 8), cache=tmp_path)
    (folder,) = [p for p in tmp_path.iterdir() if p.is_dir()]
    os.truncate(folder / "train_images.npy", 1000)
    again = load("shapes:1000", (8, 8), cache=tmp_path)
    assert again.info == data.info and again.pools["train"].images.shape == (1000, 8, 8, 3)


def test_a_failed_build_leaves_nothing(tmp_path):
    def build(folder):
        (folder / "a").write_text("half")
        raise UsageError("No such data.")

    with pytest.raises(UsageError, match="No such data"):
        prepared(tmp_path, "things", "key", build)
    assert not [p for p in tmp_path.iterdir() if p.is_dir()]


def test_another_key_is_another_folder(tmp_path):
    def build(folder):
        return {}

    folders = {prepared(tmp_path, "a/b: c", key, build)[0] for key in ("x", "y", ["x", [32, 32]])}
    assert len(folders) == 3 and all(folder.parent == tmp_path for folder in folders)


def test_the_name_is_no_part_of_what_has_a_label(tmp_path):
    def build(folder):
        return {"name": "first"}

    first, second = (prepared(tmp_path, n, "k", build, "folder")[0] for n in ("a", "b"))
    assert first == second and first.name.startswith("folder-")
    assert (first / "used").read_text() == "b"
    (entry,) = entries(tmp_path)
    assert entry.name == "b" and entry.title == first.name


def test_a_cache_that_may_only_be_read_is_good_enough(tmp_path, monkeypatch):
    folder = built(tmp_path, [])
    (folder / "used").unlink()
    (folder / "used").mkdir()  # cannot be written, whoever runs this
    calls = []
    assert built(tmp_path, calls) == folder and not calls


def test_what_is_removed_is_built_again(tmp_path):
    calls = []
    built(tmp_path, calls)
    remove(tmp_path, entries(tmp_path)[0])
    assert entries(tmp_path) == [] and not [p for p in tmp_path.iterdir() if p.is_dir()]
    built(tmp_path, calls)
    assert len(calls) == 2


def test_a_link_to_torn_data_makes_room_for_whole_ones(tmp_path):
    folder = built(tmp_path, [])
    (folder / "a.npy").unlink()
    folder.rename(tmp_path.parent / "elsewhere")
    folder.symlink_to(tmp_path.parent / "elsewhere")
    calls = []
    assert built(tmp_path, calls) == folder and calls and not folder.is_symlink()
    assert (tmp_path.parent / "elsewhere").exists()


def test_a_cache_that_cannot_be_written_is_a_clear_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(
        UsageError, match=r"cannot be prepared in the cache folder .*KERAS_VIT_CACHE"
    ):
        load("shapes:1000", 8, cache=tmp_path / "file" / "cache")


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_VIT_CACHE", str(tmp_path / "a"))
    assert cache_folder() == tmp_path / "a"
    assert cache_folder(tmp_path / "b") == tmp_path / "b"
    monkeypatch.delenv("KERAS_VIT_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "keras_vit"


def test_images_are_mapped_and_read_only(tmp_path):
    images = load("shapes:1000", 8, cache=tmp_path).pools["train"].images
    assert type(images) is np.ndarray and isinstance(images.base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


def test_no_backend_is_loaded(tmp_path):
    code = (
        "import sys, studies.data as d; d.load('shapes:1000', 8, cache=sys.argv[1]);"
        "d.describe('shapes:1000', 8, cache=sys.argv[1]);"
        "print([m for m in ('keras', 'tensorflow', 'jax', 'torch', 'tensorflow_datasets')"
        " if m in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    assert subprocess.check_output(command, cwd=ROOT, text=True).strip() == "[]"


def test_a_use_is_not_noted_through_a_link_or_into_a_pipe(tmp_path):
    """Another user of a common cache may have put them there."""
    folder = built(tmp_path / "cache", [])
    mine = tmp_path / "mine"
    mine.write_text("precious")
    for put in (lambda: (folder / "used").symlink_to(mine), lambda: os.mkfifo(folder / "used")):
        (folder / "used").unlink()
        put()
        assert built(tmp_path / "cache", []) == folder
        assert (folder / "used").is_file() and not (folder / "used").is_symlink()
    assert mine.read_text() == "precious"


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("train_labels.npy", lambda labels: labels * 0 - 1),
        ("train_labels.npy", lambda labels: labels.astype(np.float64)),
        ("train_images.npy", lambda images: images.reshape(len(images), -1)),
    ],
)
def test_prepared_data_that_are_not_what_they_say_are_named(tmp_path, file, change):
    """Of the right length, or they would be prepared again."""
    folder = load("shapes:1000", 8, cache=tmp_path).folder
    changed = change(np.load(folder / file))
    np.save(folder / file, changed)
    info = json.loads((folder / "info.json").read_text())
    info["files"][file] = (folder / file).stat().st_size
    (folder / "info.json").write_text(json.dumps(info))
    with pytest.raises(
        UsageError, match=f"are damaged: remove them with cache --remove {folder.name}"
    ):
        load("shapes:1000", 8, cache=tmp_path)
