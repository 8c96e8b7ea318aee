"""Storage: whole objects, one of several who put the same, and names; the same on every kind of it."""

import errno
import os
import sys
import threading

import pytest
from fsspec.registry import _registry

from studies.errors import UsageError
from studies.machine import cloud
from studies.machine.cloud import Bucket, size_in
from studies.machine.storage import Folder

pytestmark = pytest.mark.once


def made(kind, request, tmp_path):
    if kind == "s3":
        return Bucket(f"{request.getfixturevalue('s3')}/{tmp_path.name}")
    return Bucket(f"memory://{tmp_path}") if kind == "memory" else Folder(tmp_path / "a" / "folder")


@pytest.fixture(params=["folder", "memory", "s3"])
def storage(request, tmp_path):
    return made(request.param, request, tmp_path)


@pytest.fixture(params=["folder", "s3"])
def shared(request, tmp_path):
    """What several processes have in common."""
    return made(request.param, request, tmp_path)


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


def test_of_many_who_put_at_once_one_succeeds(shared):
    for number in range(10):
        won = put_at_once(shared, f"race/{number}")
        assert len(won) == 1 and shared.read(f"race/{number}") == won[0]


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


def test_a_file_system_without_second_names_for_files_will_do(tmp_path, monkeypatch):
    def refused(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    storage = Folder(tmp_path)
    assert len(put_at_once(storage, "race")) == 1
    assert not storage.put_new("race", b"more")


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path):
    storage = Folder(tmp_path)
    storage.write("folder/a", b"1")
    with pytest.raises(OSError, match="directory"):
        storage.write("folder", b"2")
    assert os.listdir(tmp_path) == ["folder"]


@pytest.mark.parametrize("scheme", ["s3", "memory"])
def test_a_bucket_tells_all_that_lies_below_a_folder_and_what_was_written_anew(scheme, s3):
    bucket = Bucket(f"{s3}/stamps" if scheme == "s3" else "memory://stamps")
    for name in ("a/1", "a/b/2", "ab/3"):
        bucket.write(name, b"one")
    before = bucket.stamps("a")
    assert sorted(before) == ["1", "b/2"] and bucket.stamps("nothing") == {}
    assert bucket.names("") == ["a", "ab"] and bucket.names("a") == ["1", "b"]
    bucket.write("a/1", b"two")
    after = bucket.stamps("a")
    assert after["1"] != before["1"] and after["b/2"] == before["b/2"]
    assert bucket.read_many(["a/1", "a/none", "ab/3"]) == {"a/1": b"two", "ab/3": b"one"}


@pytest.mark.parametrize("scheme", ["s3", "memory"])
def test_what_a_file_holds_is_put_once_part_by_part(scheme, s3, tmp_path, monkeypatch):
    monkeypatch.setattr(cloud, "_PART", 3)
    bucket = Bucket(f"{s3}/files" if scheme == "s3" else "memory://files")
    one, other, longer = (tmp_path / name for name in ("one", "other", "longer"))
    for path, content in ((one, b"12345678"), (other, b"12345679"), (longer, b"123456789")):
        path.write_bytes(content)
    assert bucket.put_new_file("a/1", one)
    assert not bucket.put_new_file("a/1", other) and not bucket.put_new_file("a/1", longer)
    assert bucket.put_new_file("a/1", one), "an answer may be lost on the way"
    assert bucket.read("a/1") == b"12345678"
    assert size_in(bucket.stamps("a")["1"]) == 8


@pytest.mark.parametrize("error", [PermissionError(13, "Access Denied"), OSError(16, "Slow down")])
def test_what_cannot_be_read_is_not_taken_for_what_is_not_there(error, monkeypatch):
    monkeypatch.setattr(cloud, "PATIENCE_SECONDS", 0.0)
    bucket = Bucket("memory://refused")
    for name in ("1", "2[1]"):
        bucket.write(name, b"-")
    assert bucket.read_many(["1", "2[1]", "none"]) == {"1": b"-", "2[1]": b"-"}
    assert bucket.read_many([]) == {}
    read = bucket._fs.cat_file

    def refused(path, *arguments, **options):
        if path.endswith("[1]"):
            raise error
        return read(path, *arguments, **options)

    monkeypatch.setattr(bucket._fs, "cat_file", refused)
    for asked in (lambda: bucket.read_many(["1", "2[1]"]), lambda: bucket.read("2[1]")):
        with pytest.raises(OSError, match=error.strerror):
            asked()


def test_where_a_server_does_not_know_conditions_one_still_knows_who_put_an_object(monkeypatch):
    bucket = Bucket("memory://careless")
    pipe = bucket._fs.pipe_file
    monkeypatch.setattr(
        bucket._fs, "pipe_file", lambda path, value, mode="overwrite": pipe(path, value)
    )
    read, done = bucket.read, []

    def overtaken(name):  # another one puts its own between the two steps
        done or bucket.write(name, b"another")
        done.append(name)
        return read(name)

    monkeypatch.setattr(bucket, "read", overtaken)
    assert not bucket.put_new("a", b"mine")
    assert bucket.put_new("b", b"mine")


@pytest.fixture
def fails(monkeypatch):
    """Have the next puts of a bucket fail, so many of them; how often it was asked to put, after all."""
    monkeypatch.setattr(cloud, "_FIRST_PAUSE", 0.01)

    def fails(bucket, error, times):
        pipe, asked = bucket._fs.pipe_file, []

        def put(*arguments, **options):
            asked.append(arguments)
            if len(asked) <= times:
                raise error
            return pipe(*arguments, **options)

        monkeypatch.setattr(bucket._fs, "pipe_file", put)
        return asked

    return fails


@pytest.mark.parametrize("error", [OSError(16, "Slow down"), RuntimeError("no route to host")])
def test_storage_that_has_answered_is_asked_again(fails, error, tmp_path, capsys):
    url = f"memory:/{tmp_path}"
    bucket = Bucket(url).below("mine")
    assert bucket.read("a") is None and bucket.names("") == []
    asked = fails(bucket, error, 3)
    bucket.write("a", b"1")
    assert len(asked) == 4 and bucket.read("a") == b"1"
    assert capsys.readouterr().err.splitlines() == [
        f"{url}/mine does not answer ({error}): it is asked again",
        f"{url}/mine answers again",
    ]


@pytest.mark.parametrize(
    ("answered", "error"),
    [
        (False, OSError(16, "Slow down")),
        (True, PermissionError(13, "Access Denied")),
        (True, OSError(errno.ENOSYS, "conditions are not implemented")),
        (True, NotImplementedError("no such thing")),
    ],
)
def test_what_is_no_better_later_or_never_answered_is_an_error_at_once(fails, answered, error):
    bucket = Bucket(f"memory://refused-{answered}-{type(error).__name__}")
    if answered:
        bucket.write("a", b"1")
    asked = fails(bucket, error, 9)
    with pytest.raises(OSError, match=error.strerror if isinstance(error, OSError) else "no such"):
        bucket.write("a", b"2")
    assert len(asked) == 1


@pytest.mark.parametrize("interrupted", [False, True])
def test_once_patience_has_ended_nothing_more_is_waited_for(fails, interrupted, monkeypatch):
    def interrupt(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(cloud, "PATIENCE_SECONDS", 600.0 if interrupted else 0.02)
    bucket = Bucket(f"memory://ended-{interrupted}")
    bucket.write("a", b"1")
    asked = fails(bucket, OSError(16, "Slow down"), 99)
    with monkeypatch.context() as patch:
        if interrupted:
            patch.setattr(cloud.time, "sleep", interrupt)
        with pytest.raises(KeyboardInterrupt if interrupted else OSError):
            bucket.write("a", b"2")
    before = len(asked)
    with pytest.raises(OSError, match="Slow down"):
        bucket.write("a", b"2")
    assert len(asked) == before + 1


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("s3://", "no place for results"),
        ("s3:///", "no place for results"),
        ("zip://a::s3://bucket/x", "no place for results"),
        ("s4://bucket", "no storage that fsspec knows"),
    ],
)
def test_what_is_no_url_of_storage_is_refused(url, told):
    with pytest.raises(UsageError, match=told):
        Bucket(url)


@pytest.mark.parametrize(("missing", "scheme"), [("fsspec", "memory"), ("s3fs", "s3")])
def test_what_is_not_installed_is_named(missing, scheme, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(_registry, scheme, raising=False)  # it may have been there
    with pytest.raises(UsageError, match=r"is not installed: pip install 'keras-vit\[cloud\]'"):
        Bucket(f"{scheme}://bucket/runs")


def test_a_bucket_that_is_not_there_or_not_to_be_reached_is_an_error_of_the_system(s3, monkeypatch):
    with pytest.raises(OSError, match="bucket does not exist"):
        Bucket("s3://nowhere/runs").write("a", b"1")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(OSError, match="credentials"):
        Bucket(s3).write("a", b"1")
