"""Files and folders are known by what they hold."""

import hashlib
import os
import stat

import pytest

from studies.machine.files import (
    file_bytes,
    file_digest,
    make_own_folder,
    remove_leftovers,
    replace,
    replaced,
)

pytestmark = pytest.mark.once


def test_the_digest_is_sha256_of_the_content_wherever_it_lies(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"weights")
    (tmp_path / "b.npz").write_bytes(b"weights")
    assert file_digest(tmp_path / "a.npz") == hashlib.sha256(b"weights").hexdigest()
    assert file_digest(str(tmp_path / "b.npz")) == file_digest(tmp_path / "a.npz")


def test_another_content_under_the_same_path_is_seen(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(b"one")
    os.utime(path, (1, 1))
    first = file_digest(path)
    path.write_bytes(b"two")
    os.utime(path, (1, 1))  # size and time of change are as they were
    assert file_digest(path) == hashlib.sha256(b"two").hexdigest() != first


def test_a_folder_counts_with_names_and_contents(tmp_path):
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name / "preset").mkdir(parents=True)
        (tmp_path / name / "preset" / "config.json").write_bytes(content)
    digests = [file_digest(tmp_path / name) for name in "abc"]
    assert digests[0] == digests[1] != digests[2]
    (tmp_path / "b" / "preset" / "config.json").rename(tmp_path / "b" / "preset" / "other.json")
    assert file_digest(tmp_path / "b") != digests[0]


def test_what_is_no_file_is_an_error_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "nowhere"):
        with pytest.raises(OSError):
            file_digest(tmp_path / name)


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "a" * 5000])
def test_a_name_that_no_file_can_have_is_an_error_of_the_system(name):
    with pytest.raises(OSError):
        file_bytes(name)


def test_a_folder_is_not_made_through_a_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "figures").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="figures is a link, and nothing is written through one"):
        make_own_folder(tmp_path / "figures")
    make_own_folder(tmp_path / "models")
    make_own_folder(tmp_path / "models")


def test_a_file_is_replaced_in_one_step_and_what_fails_leaves_the_old_one_alone(tmp_path):
    path = tmp_path / "a.keras"
    for content in (b"one", b"two"):
        replace(path, content)
        assert path.read_bytes() == content
    with replaced(path) as beside:
        beside.write_bytes(b"three")
        assert path.read_bytes() == b"two" and beside.suffix == ".keras"
    assert path.read_bytes() == b"three"
    with pytest.raises(KeyboardInterrupt), replaced(path) as beside:
        beside.write_bytes(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"three" and os.listdir(tmp_path) == ["a.keras"]


def test_what_a_killed_process_left_is_removed_and_what_another_is_writing_is_not(tmp_path):
    with replaced(tmp_path / "a.keras") as beside:
        beside.write_bytes(b"a killed process would leave it so")
        old = beside.with_name(beside.name.replace("a.keras", "old.png"))
        old.write_bytes(b"half")
        os.utime(old, (0, 0))
        remove_leftovers(tmp_path, after=3600)
        assert beside.exists() and not old.exists()
    (tmp_path / "elsewhere").mkdir()
    kept = tmp_path / "elsewhere" / old.name
    kept.touch()
    (tmp_path / "link").symlink_to("elsewhere")
    remove_leftovers(tmp_path / "link")
    assert kept.exists()
    remove_leftovers(tmp_path / "elsewhere")
    remove_leftovers(tmp_path / "not there")
    assert not kept.exists() and (tmp_path / "a.keras").exists()


def test_nothing_is_written_through_a_link(tmp_path):
    (tmp_path / "other").write_bytes(b"untouched")
    (tmp_path / "link").symlink_to("other")
    replace(tmp_path / "link", b"new")
    assert (tmp_path / "other").read_bytes() == b"untouched"
    assert not (tmp_path / "link").is_symlink()


def test_a_second_name_of_the_same_file_leaves_nothing_beside_it(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"1")
    for _ in range(2):
        with replaced(other) as beside:
            os.link(one, beside)
    assert other.samefile(one) and sorted(os.listdir(tmp_path)) == ["one", "other"]


def test_what_is_durable_is_on_the_disk_before_it_has_its_name_and_the_name_after(
    tmp_path, monkeypatch
):
    path, done = tmp_path / "a", []
    synced, renamed = os.fsync, os.replace

    def fsync(descriptor):
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        synced(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", lambda *paths: done.append("named") or renamed(*paths))
    replace(path, b"1")
    assert done == ["named"]
    replace(path, b"2", durable=True)
    assert done == ["named", "file", "named", "folder"]
