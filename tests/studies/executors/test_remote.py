"""Trials on other machines: what goes wrong between a machine and the driver, with an engine of threads."""

import secrets
import threading
import time

import pytest

from studies.errors import UsageError
from studies.executors import remote
from studies.executors.remote import End, Order, run_on
from studies.records.place import Here
from tests.studies.descriptions import trial
from tests.studies.fake_trial import COMMAND

pytestmark = pytest.mark.once


class Threads:
    """Orders in threads of this process; `does` says what happens to each."""

    def __init__(self, *does):
        self.does, self.ends, self.cancelled = list(does), {}, []

    def room(self, orders):
        return 2 - orders

    def submit(self, orders, names):
        return [self._start(order) for order in orders]

    def _start(self, order):
        name = f"{len(self.ends)}"
        self.ends[name] = None
        does = self.does.pop(0)

        def work():
            self.ends[name] = does(order) or End()

        threading.Thread(target=work).start()
        return name

    def ended(self, handles, seconds):
        time.sleep(0.02)
        return {name: self.ends[name] for name in handles if self.ends[name]}

    def cancel(self, handles):
        self.cancelled += handles


def works(order):
    order.start().finish()


def lost(again=False):
    return lambda order: End("the machine burned", again)


def says(line):
    def say(order):
        events = order.results / order.events
        events.mkdir(parents=True, exist_ok=True)
        (events / secrets.token_hex(4)).write_bytes(line)

    return say


def tears(order):
    """A worker that dies while it writes."""
    says(b'{"event": "pro')(order)
    return lost(again=True)(order)


@pytest.fixture
def run(tmp_path):
    def run(engine, each):
        events = []

        def order(which, log, path):
            return Order(which.model_dump_json(), tmp_path, log, path, 1, command=COMMAND)

        place = Here(tmp_path)
        run_on(engine, order, [each], place, tmp_path / "logs", lambda _, e: events.append(e))
        assert not list((tmp_path / "logs" / "events").glob("*"))
        return events

    return run


def test_what_a_machine_loses_is_tried_again_but_not_for_ever(run):
    events = run(Threads(lost(again=True), lost(again=True), works), trial())
    assert events[-1]["record"]["status"] == "done"
    assert events[:2] == [{"event": "again", "reason": "the machine burned"}] * 2
    engine = Threads(*[lost(again=True)] * 9)
    *again, end = run(engine, trial())
    assert [event["event"] for event in again] == ["again"] * 3
    assert end["record"]["reason"] == "the machine burned" and len(engine.does) == 9 - 4


def test_what_cannot_go_on_is_a_failed_record_at_once(run):
    engine = Threads(lost(), works)
    assert run(engine, trial())[-1]["record"]["reason"] == "the machine burned"
    assert len(engine.does) == 1


def test_what_is_asked_to_stop_goes_on_as_often_as_need_be(run):
    stopped = says(b'{"event": "start"}\n{"event": "stopped"}\n')
    events = run(Threads(*[stopped] * 6, works), trial())
    assert events[-1]["record"]["status"] == "done"
    assert [event["event"] for event in events].count("start") == 7
    assert {"event": "again", "reason": "it was asked to make room"} in events


def test_a_worker_that_an_engine_takes_for_another_tells_of_itself(run):
    def twice(order):
        tears(order)
        works(order)

    kinds = [event["event"] for event in run(Threads(twice), trial())]
    assert kinds == ["start", "progress", "progress", "record"]


def test_a_record_counts_whatever_another_machine_had_said_before(run):
    """Which may be read after it: their files have names of chance."""

    def two_machines(order):
        events = order.results / order.events
        events.mkdir(parents=True)
        (events / "b").write_bytes(b'{"event": "start"}\n{"event": "stopped"}\n')
        (events / "a").write_bytes(b'{"event": "record", "record": {"status": "done"}}\n')

    engine = Threads(two_machines, works)
    assert run(engine, trial())[-1]["record"] == {"status": "done"} and len(engine.does) == 1


def test_a_folder_that_is_not_shared_is_named(run, monkeypatch):
    monkeypatch.setattr(remote, "PATIENCE_SECONDS", 0.1)
    (end,) = run(Threads(lambda order: None), trial())
    assert "wrote nothing to" in end["record"]["reason"]
    assert "all machines see it under the same path" in end["record"]["reason"]


def test_a_record_that_comes_late_is_waited_for(run):
    def late(order):
        threading.Timer(0.5, lambda: works(order)).start()

    assert run(Threads(late), trial())[-1]["record"]["status"] == "done"


def test_events_that_cannot_be_written_end_the_work(tmp_path):
    (tmp_path / "events").touch()
    order = Order(trial("hangs").model_dump_json(), tmp_path, "log", "events", 1, command=COMMAND)
    work = order.start()
    with pytest.raises(UsageError, match=rf"cannot write to .* {tmp_path} \(.*exists\)"):
        work.finish()
    work.stop()
