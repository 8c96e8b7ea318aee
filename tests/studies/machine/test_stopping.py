"""SIGTERM, which has its effect only where nothing is half done."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from studies.machine.stopping import termination_held_back

pytestmark = pytest.mark.once


class Ended(Exception):
    """What SIGTERM does here."""


@pytest.fixture(autouse=True)
def ends():
    def end(signum, frame):
        raise Ended

    before = signal.signal(signal.SIGTERM, end)
    yield
    signal.signal(signal.SIGTERM, before)


def test_it_is_told_at_once_and_has_its_effect_at_the_end_of_the_block():
    told, done = [], []
    with pytest.raises(Ended), termination_held_back(lambda: told.append(1)) as came:
        assert not came()
        os.kill(os.getpid(), signal.SIGTERM)
        assert came() and told == [1]
        done.append(1)
    assert done


def test_without_it_the_block_changes_nothing():
    handler = signal.getsignal(signal.SIGTERM)
    with termination_held_back(lambda: None):
        pass
    assert signal.getsignal(signal.SIGTERM) is handler


def test_outside_the_main_thread_nothing_is_held_back():
    said = []

    def work():
        with termination_held_back(lambda: None) as came:
            said.append(came())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert said == [False]


@pytest.mark.parametrize("before, code", [("SIG_DFL", -signal.SIGTERM), ("SIG_IGN", 143)])
def test_the_process_ends_by_it(before, code):
    program = f"""
import os, signal
from studies.machine.stopping import termination_held_back
signal.signal(signal.SIGTERM, signal.{before})
with termination_held_back(lambda: None):
    os.kill(os.getpid(), signal.SIGTERM)
    print("to the end", flush=True)
print("and no further")
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.stdout == "to the end\n" and ran.returncode == code
