"""Storage: whole objects, one of several who put the same, and names; the same on every kind of it."""

import errno
import os
import threading

import pytest

from studies.machine.storage import Folder

pytestmark = pytest.mark.once


@pytest.fixture
def storage(tmp_path):
    return Folder(tmp_path / "new" / "folder")


def test_what_is_written_is_read_and_what_is_not_there_is_none(storage):
    assert storage.read("a/b") is None and storage.names("a") == []
    storage.write("a/b", b"one")
    storage.write("a/b", b"two")
    storage.write("c", b"")
    assert storage.read("a/b") == b"two" and storage.read("c") == b""
    assert storage.read("c/d") is None, "an object is no folder"


def test_names_are_those_of_one_folder(storage):
    for name in ("x/2", "x/10", "y/3"):
        storage.write(name, b"-")
    assert storage.names("x") == ["10", "2"] and storage.names("z") == []


def test_what_is_removed_is_gone_and_may_have_been_so(storage):
    storage.write("a", b"1")
    storage.remove("a")
    storage.remove("a")
    storage.remove("a/b")
    assert storage.read("a") is None


def test_an_object_is_put_once(storage):
    assert storage.put_new("a", b"first")
    assert not storage.put_new("a", b"second")
    assert storage.read("a") == b"first"


def test_of_many_who_put_at_once_one_succeeds(storage):
    for number in range(20):
        won = put_at_once(storage, f"race/{number}")
        assert len(won) == 1 and storage.read(f"race/{number}") == won[0]


def put_at_once(storage, name, many=8):
    ready, won = threading.Barrier(many), []

    def put(content):
        ready.wait()
        if storage.put_new(name, content):
            won.append(content)

    threads = [threading.Thread(target=put, args=(b"%d" % i,)) for i in range(many)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return won


def test_a_file_system_without_second_names_for_files_will_do(storage, monkeypatch):
    def refused(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    assert len(put_at_once(storage, "race")) == 1
    assert not storage.put_new("race", b"more")


def test_what_cannot_be_written_leaves_nothing_behind(storage):
    storage.write("folder/a", b"1")
    with pytest.raises(OSError, match="directory"):
        storage.write("folder", b"2")
    assert os.listdir(storage.path) == ["folder"]
