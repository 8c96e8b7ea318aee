"""Who may write to a results folder: one run at a time, also where several machines share it."""

import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from studies.errors import UsageError
from studies.machine.cloud import Bucket
from studies.machine.storage import Folder
from studies.running import lease as leases
from studies.running.lease import Holder, LeaseLost, held, running

pytestmark = pytest.mark.once

HERE = Holder.here()


def on(machine: str) -> Holder:
    """A process of another machine: nobody here can look whether it is alive."""
    return Holder(f"host-{machine}", machine, HERE.pid, HERE.began)


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    monkeypatch.setattr(leases, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(leases, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(leases, "STALE_SECONDS", 30.0)  # on a busy machine beats come late
    monkeypatch.setattr(leases, "STATUS_SECONDS", 30.0)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(leases, "STALE_SECONDS", 0.5)
    monkeypatch.setattr(leases, "STATUS_SECONDS", 0.5)


@pytest.fixture
def storage(tmp_path):
    return Folder(tmp_path)


def wants(storage, here=None, said=None):
    return held(storage, "FOLDER", here, (said if said is not None else []).append)


def test_a_folder_is_held_by_one_run_and_free_after_it(storage):
    with wants(storage):
        with pytest.raises(UsageError, match=r"another run is at work in FOLDER .*--name") as told:
            wants(storage).__enter__()
        assert f"process {os.getpid()} on {socket.gethostname()}" in str(told.value)
        assert running(storage).alive and running(storage).holder == HERE
    assert running(storage) is None
    with wants(storage):
        pass


def test_a_run_on_another_machine_is_seen_by_its_beat(storage):
    with wants(storage, on("a")) as lease:
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(UsageError, match=r"process \d+ on host-a"):
                wants(storage, on("b")).__enter__()
            assert time.monotonic() - began < 15, "nobody waits for what is alive"
        assert running(storage, on("b")) == leases.Running(on("a"), True)
        lease.check()
    with wants(storage, on("b")):
        pass


HOLDER = """
import sys, time
from studies.machine.storage import Folder
from studies.running.lease import held
with held(Folder(sys.argv[1]), "FOLDER"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_killed_run_of_this_machine_is_followed_at_once(storage):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(storage.path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    with pytest.raises(UsageError, match=f"process {process.pid} on"):
        wants(storage).__enter__()
    process.kill()
    process.communicate()
    assert not running(storage).alive
    began = time.monotonic()
    with wants(storage) as lease:
        lease.check()
    assert time.monotonic() - began < 15


def test_a_later_process_of_the_same_number_is_another_one(storage):
    put(storage, Holder(HERE.host, HERE.machine, HERE.pid, "1"))
    with wants(storage) as lease:
        lease.check()


def test_a_machine_that_died_is_waited_for_and_then_followed(storage, impatient):
    put(storage, on("a"), beat=b"7")
    said, began = [], time.monotonic()
    assert running(storage, on("b")) == leases.Running(on("a"), False)
    with wants(storage, on("b"), said) as lease:
        lease.check()
        assert time.monotonic() - began > 0.5
        assert said == [f"process {HERE.pid} on host-a may be at work here: waiting 0 s for a sign"]
    assert running(storage) is None, "what it followed is removed"


def test_a_machine_that_was_started_again_is_another_one(storage, impatient):
    put(storage, Holder(HERE.host, "before the boot", HERE.pid, HERE.began))
    began = time.monotonic()
    with wants(storage):
        assert time.monotonic() - began > 0.5, "its name alone tells nothing"


def test_where_nothing_tells_machines_apart_the_beat_does(storage, monkeypatch, impatient):
    monkeypatch.setattr(leases, "_machine", lambda: "")  # as where there is no /proc
    assert Holder.here().machine == ""
    far = Holder(socket.gethostname(), "", 2**22 + 1, "")  # of a number that no process has here
    with wants(storage, far):
        for here in (None, far):
            with pytest.raises(UsageError, match="another run is at work"):
                wants(storage, here).__enter__()
    put(storage, far, beat=b"7")
    began = time.monotonic()
    with wants(storage):
        assert time.monotonic() - began > 0.5


def test_a_lease_that_could_not_be_removed_does_not_lock_out_its_own_process(storage, monkeypatch):
    def refused(name):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        with wants(storage):
            patch.setattr(storage, "remove", refused)
        assert running(storage) == leases.Running(HERE, False)
        with wants(storage) as lease:
            lease.check()
            with pytest.raises(UsageError, match="another run is at work"):
                wants(storage).__enter__()
    with wants(storage) as lease:
        lease.check()
    assert storage.names(".lease") == []


def test_a_run_bears_that_it_cannot_look_as_long_as_nobody_can_have_followed_it(
    storage, monkeypatch
):
    def refused(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(leases, "BEAT_SECONDS", 30.0)
    with wants(storage) as lease, monkeypatch.context() as patch:
        patch.setattr(storage, "names", refused)
        lease.check()
        patch.setattr(leases, "STALE_SECONDS", 0.0)
        with pytest.raises(OSError, match="Input/output error"):
            lease.check()
        patch.undo()
        lease.check()


def test_signs_of_life_that_cannot_be_written_do_not_count(storage, monkeypatch):
    def refused(*_):
        raise OSError(28, "No space left on device")

    with wants(storage) as lease:
        before = lease._sign
        eventually(lambda: lease._sign > before)
        monkeypatch.setattr(storage, "write", refused)
        time.sleep(0.1)
        before = lease._sign
        time.sleep(0.3)
        assert lease._sign == before


def eventually(holds):
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"host": 1}', b"\xff", b"[" * 10**5])
def test_a_lease_that_says_nothing_is_watched_too(storage, impatient, content):
    storage.write(".lease/3.json", content)
    with wants(storage) as lease:
        lease.check()


def test_a_lease_that_is_no_file_is_not_waited_for(tmp_path):
    (tmp_path / ".lease").mkdir()
    os.mkfifo(tmp_path / ".lease" / "3.json")
    with pytest.raises(OSError, match="it is no file"):
        running(Folder(tmp_path))


def test_a_host_is_a_name_and_nothing_that_a_terminal_obeys():
    assert str(Holder("a\x1b[2J\nb", "m", 1, "")) == "process 1 on a\\x1b[2J\\nb"


def test_of_many_who_find_a_dead_run_one_follows_it(storage, monkeypatch):
    monkeypatch.setattr(leases, "STALE_SECONDS", 3.0)
    put(storage, on("dead"))
    ready, together, got = threading.Barrier(6), threading.Barrier(6), []

    def run(number):
        ready.wait()
        try:
            with wants(storage, on(str(number))) as lease:
                got.append(number)
                together.wait()
                lease.check()
        except UsageError:
            together.wait()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(got) == 1


def test_a_bucket_is_held_as_a_folder_is(s3, tmp_path, monkeypatch):
    storage = Bucket(f"{s3}/{tmp_path.name}")
    with wants(storage, on("a")) as lease, pytest.raises(UsageError, match="on host-a"):
        lease.check()
        wants(storage, on("b")).__enter__()
    assert running(storage) is None and storage.names(".lease") == []
    put(storage, on("dead"))
    monkeypatch.setattr(leases, "STALE_SECONDS", 0.5)
    with wants(storage, on("b")) as lease:
        lease.check()
        storage.put_new(".lease/9.json", b"another")
        with pytest.raises(LeaseLost):
            lease.check()


def test_who_was_silent_for_too_long_finds_it_out_and_leaves_the_folder_alone(
    storage, monkeypatch, impatient
):
    with monkeypatch.context() as patch:
        patch.setattr(leases.Lease, "_beat", lambda self: None)  # as a machine that hangs
        silent = wants(storage, on("a"))
        lease = silent.__enter__()
    lease.check()
    with wants(storage, on("b")) as other:
        for _ in range(2):
            with pytest.raises(
                LeaseLost, match=r"another run \(process .* on host-b\) took them over"
            ):
                lease.check()
        silent.__exit__(None, None, None)
        other.check()
        assert running(storage, on("c")).holder == on("b")
    with pytest.raises(LeaseLost):  # the other has ended, but what is written there is its own
        lease.check()


def put(storage, holder, beat=None):
    text = leases.json.dumps({**vars(holder), "token": "0"})
    storage.write(".lease/1.json", text.encode())
    if beat is not None:
        storage.write(".lease/1.beat", beat)
