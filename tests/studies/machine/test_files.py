"""Files and folders are known by what they hold."""

import hashlib
import os

import pytest

from studies.machine.files import file_bytes, file_digest, make_own_folder

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
