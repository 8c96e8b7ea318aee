"""A trial's process dies with its driver, and its stdout carries events alone."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from studies.errors import UsageError
from studies.machine.processes import ask, child_environment

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.once

CHILD = """
import os, sys, time
from studies.machine.processes import die_with_parent
die_with_parent()
print(os.getpid(), flush=True)
time.sleep(float(sys.argv[1]))
"""

# Starts the child with a pipe whose other end this test holds, then waits to be killed.
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], "120"], stdin=int(sys.argv[2]))
time.sleep(120)
"""


def alive(pid):
    try:
        # A killed process stays as a zombie where nobody reaps it.
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(pid, seconds=60.0):
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not alive(pid)


def python(code, *arguments, **streams):
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, stdout=subprocess.PIPE, **streams
    )


def test_the_end_of_the_pipe_ends_the_process():
    child = python(CHILD, "120", stdin=subprocess.PIPE)
    child.stdout.readline()
    child.stdin.close()
    assert child.wait(60) == 3
    child.stdout.close()


ORDERED = """
import time
from studies.machine.processes import orders
for order in orders():
    print(order["number"], flush=True)
    time.sleep(order["seconds"])
"""


def test_orders_come_one_after_the_other_and_their_end_ends_the_process_at_work():
    child = python(ORDERED, stdin=subprocess.PIPE)
    for number, seconds in ((1, 0), (2, 120)):
        child.stdin.write(b'{"number": %d, "seconds": %d}\n' % (number, seconds))
        child.stdin.flush()
        assert int(child.stdout.readline()) == number
    child.stdin.close()
    assert child.wait(60) == 3
    child.stdout.close()


def test_the_parents_death_ends_it_even_where_somebody_holds_the_pipe():
    reading, writing = os.pipe()
    parent = python(PARENT, CHILD, str(reading), pass_fds=[reading])
    pid = int(parent.stdout.readline())
    try:
        assert alive(pid)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        assert wait_until_gone(pid)
    finally:
        os.close(reading)
        os.close(writing)
        parent.stdout.close()


def test_by_hand_nothing_is_watched():
    child = python(CHILD, "0.5", stdin=subprocess.DEVNULL)
    child.stdout.readline()
    assert child.wait(60) == 0
    child.stdout.close()


NOISE = """
import os
from studies.machine.processes import reserve_stdout
emit = reserve_stdout()
print("from Python")
os.write(1, b"from C\\n")
emit({"event": "start", "step": 0})
os.system("echo from a child")
"""


def test_only_events_reach_stdout():
    child = python(NOISE, stderr=subprocess.PIPE)
    out, noise = child.communicate(timeout=60)
    assert json.loads(out) == {"event": "start", "step": 0}
    assert set(noise.decode().split("\n")) >= {"from Python", "from C", "from a child"}


ENDLESS = """
import time
from studies.machine.processes import reserve_stdout
emit = reserve_stdout()
while True:
    emit({"event": "progress"})
    time.sleep(0.01)
"""


def test_a_reader_that_went_away_ends_the_process():
    child = python(ENDLESS)
    child.stdout.readline()
    child.stdout.close()
    assert child.wait(60) == 3


def test_a_child_computes_with_its_backend_and_keeps_what_the_user_set(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    variables = child_environment("jax")
    assert variables["KERAS_BACKEND"] == "jax"
    assert variables["PYTHONPATH"].split(os.pathsep) == [str(ROOT), "/somewhere"]
    assert variables["MALLOC_ARENA_MAX"] == "1"
    monkeypatch.setenv("MALLOC_ARENA_MAX", "4")
    assert child_environment("jax")["MALLOC_ARENA_MAX"] == "4"


WORKER = """
import os, sys
from studies.errors import UsageError
from studies.machine.processes import answer

def work(order, say):
    print("noise on stdout")
    print("noise on stderr", file=sys.stderr)
    for number in range(order["count"]):
        say({"number": number, "backend": os.environ["KERAS_BACKEND"]})
    if order["then"] == "refuse":
        raise UsageError("no such thing")
    if order["then"] == "die":
        sys.stderr.write("out of luck")
        sys.stderr.flush()
        os._exit(5)

if __name__ == "__main__":
    answer(work)
"""


@pytest.fixture
def worker(tmp_path, monkeypatch):
    (tmp_path / "a_worker.py").write_text(WORKER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "a_worker"


def test_what_a_worker_says_is_handed_on_and_its_noise_is_not(worker, capfd):
    said = list(ask(worker, {"count": 2, "then": "end"}, "jax"))
    assert said == [{"number": number, "backend": "jax"} for number in range(2)]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("then", "words"), [("refuse", "^no such thing$"), ("die", "backend jax died: .*out of luck$")]
)
def test_a_worker_that_refuses_or_dies_is_one_sentence(worker, then, words):
    said = []
    with pytest.raises(UsageError, match=words):
        for each in ask(worker, {"count": 1, "then": then}, "jax"):
            said.append(each["number"])
    assert said == [0]


def test_an_order_may_be_longer_than_a_command_line(worker):
    order = {"count": 0, "then": "end", "files": ["a name of a file.jpg"] * 20_000}
    assert list(ask(worker, order, "jax")) == []


def test_a_worker_dies_with_those_who_stop_listening(worker, tmp_path):
    listening = ask(worker, {"count": 10**9, "then": "end"}, "jax")
    next(listening)
    listening.close()  # returns once the process is gone


def test_what_keras_would_load_because_it_is_installed_is_left_out():
    code = (
        "from studies.machine.processes import leave_out_others\n"
        "leave_out_others('torch')\n"
        "for name in ('jax', 'matplotlib', 'pandas', 'sklearn', 'tensorflow', 'json'):\n"
        "    try:\n"
        "        __import__(name)\n"
        "    except ImportError:\n"
        "        print(name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["jax", "matplotlib", "pandas", "sklearn", "tensorflow"]
