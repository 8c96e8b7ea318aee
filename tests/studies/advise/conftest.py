"""A session on handwritten digits whose trials are made up."""

import contextlib

import pytest

from studies.advise.budget import Budget
from studies.advise.design import Question
from studies.advise.session import Session
from studies.records import store
from studies.records.place import Here
from studies.running import costs
from studies.running.costs import Cost
from tests.studies.advise.fake import FLOPS, Clock, Machine, Silent


def far_apart(model, size):
    return (2.0 if model == "bit-s" else 3.5) * size**-0.4


def alike(model, size):
    return 3.0 * size**-0.4


@pytest.fixture
def session(tmp_path, monkeypatch):
    """Makes a session of a budget in seconds; its machine is its `machine`."""
    monkeypatch.setattr(costs, "measure", lambda entries, *_: {e.name: COST for e in entries})
    monkeypatch.setattr("studies.running.estimate.on_gpu", lambda: False)
    monkeypatch.setenv(
        "KERAS_BACKEND", "tensorflow"
    )  # whose speed is assumed, whatever this pass is of
    # The clock is made up: an alarm of the machine's own would end what takes long on a busy one.
    monkeypatch.setattr(Budget, "enforced", lambda self: contextlib.nullcontext())
    monkeypatch.setattr(store, "commit", lambda: "0" * 40)  # two processes a trial

    def make(seconds, error=far_apart, prepared=5.0, **machine):
        clock = Clock()
        budget = Budget(seconds, clock)
        clock.now += prepared
        fake = Machine(clock, error, **machine)
        made = Session(Question("digits", Here(tmp_path / "runs")), budget, fake)
        made.machine = fake
        made.go = lambda: made.run(lambda estimator: Silent(), lambda text: None)
        return made

    return make


COST = Cost(flops=FLOPS, params=1000)
