"""Contents of many files: hashed once, remembered while nothing changes."""

import hashlib
import os
from pathlib import Path

import pytest

from studies.data import digests
from studies.data.digests import INDEX, Digests

pytestmark = pytest.mark.once


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{number}.jpg" for number in range(1200)]
    for number, path in enumerate(paths):
        path.write_bytes(f"content {number}".encode())
    return [str(path) for path in paths]


@pytest.fixture
def later(monkeypatch):
    """As if the files had been written some time ago."""
    monkeypatch.setattr(digests, "_SETTLED", -(10**12))


def unread(monkeypatch):
    def refuse(path):
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr(digests, "file_digest", refuse)


def test_a_second_look_reads_nothing(tmp_path, files, later, monkeypatch):
    first = list(Digests(tmp_path / "cache").of("mine", files))
    assert first == [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in files]
    unread(monkeypatch)
    assert list(Digests(tmp_path / "cache").of("mine", files)) == first


def test_what_has_changed_is_read_again(tmp_path, files, later):
    first = list(Digests(tmp_path / "cache").of("mine", files))
    Path(files[3]).write_bytes(b"CONTENT 3")  # of the same size
    os.utime(files[4], (1, 1))
    second = list(Digests(tmp_path / "cache").of("mine", files))
    assert second[3] == hashlib.sha256(b"CONTENT 3").hexdigest()
    assert second[:3] + second[4:] == first[:3] + first[4:]


def test_what_may_still_change_within_a_tick_is_not_remembered(tmp_path, files, monkeypatch):
    list(Digests(tmp_path / "cache").of("mine", files[:5]))
    unread(monkeypatch)
    with pytest.raises(AssertionError, match="was read"):
        list(Digests(tmp_path / "cache").of("mine", files[:5]))


def test_files_that_cannot_be_read_are_told_and_not_remembered(tmp_path, files, later):
    nowhere = tmp_path / "nowhere.jpg"
    told = list(Digests(tmp_path / "cache").of("mine", [files[0], str(nowhere)]))
    assert told[1] == "unreadable: No such file or directory"
    nowhere.write_bytes(b"here")
    again = list(Digests(tmp_path / "cache").of("mine", [files[0], str(nowhere)]))
    assert again == [told[0], hashlib.sha256(b"here").hexdigest()]


@pytest.mark.parametrize("harm", ["damaged", "in the way"])
def test_without_a_database_it_is_only_slower(tmp_path, files, harm):
    if harm == "damaged":
        (tmp_path / "cache").mkdir()
        (tmp_path / "cache" / INDEX).write_bytes(b"no database" * 1000)
    else:
        (tmp_path / "cache").write_text("a file")
    assert list(Digests(tmp_path / "cache").of("mine", files[:2]))[1] == (
        hashlib.sha256(b"content 1").hexdigest()
    )


def test_names_need_not_be_text(tmp_path, later):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jpg")
    with open(path, "wb") as file:
        file.write(b"x")
    for _ in range(2):
        assert list(Digests(tmp_path / "cache").of("mine", [path])) == [
            hashlib.sha256(b"x").hexdigest()
        ]
