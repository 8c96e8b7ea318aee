"""Calls on several threads: in order, in pieces, and no further than an error."""

import threading
import time

import pytest

from studies.machine import threaded as module
from studies.machine.threaded import threaded

pytestmark = pytest.mark.once


@pytest.fixture(params=[1, 3])
def workers(request, monkeypatch):
    monkeypatch.setattr(module, "cores", lambda: list(range(request.param)))
    return request.param


@pytest.mark.parametrize("number", [0, 1, 5, 100, 1001])
def test_every_thing_has_its_answer_in_order(workers, number):
    assert list(threaded(lambda n: n * n, range(number))) == [n * n for n in range(number)]


def test_several_threads_work_where_there_are_cores(workers):
    met, seen = threading.Barrier(workers), set()

    def meet(_):
        if threading.current_thread() not in seen:
            seen.add(threading.current_thread())
            met.wait(10)

    list(threaded(meet, range(1000)))
    assert len(seen) == workers


def test_after_an_error_the_rest_is_left(workers):
    done = []

    def refuse(number):
        done.append(number)
        if number == 3:
            raise ValueError("three")
        time.sleep(0.001)

    with pytest.raises(ValueError, match="three"):
        list(threaded(refuse, range(3000)))
    assert len(done) < 1500
