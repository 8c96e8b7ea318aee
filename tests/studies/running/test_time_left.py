"""The time that a run still takes."""

import pytest

from studies.running import estimate, time_left
from studies.running.costs import Cost
from studies.running.estimate import START_SECONDS, Estimator
from studies.running.time_left import TimeLeft
from studies.study.recipe import Recipe
from tests.studies.descriptions import trial

pytestmark = pytest.mark.once

COST = Cost(flops=1_000_000, params=1)
RECIPE = Recipe(steps=100, batch_size=10, validations=5)


def test_the_time_left_follows_this_runs_own_pace(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(estimate, "cores", lambda: [0, 1])
    monkeypatch.setattr(estimate, "on_gpu", lambda: False)
    monkeypatch.setattr(time_left.time, "monotonic", lambda: clock[0])
    estimator = Estimator([], 1)
    trials = [trial(recipe=RECIPE, seed=seed) for seed in range(2)]
    each = estimator.seconds(trials[0], COST)
    steps = each - START_SECONDS["tensorflow"]
    left_here = TimeLeft(estimator)
    left_here.start(trials, {"done": COST}, 1)
    assert left_here.left() == pytest.approx(2 * each)
    # The first trial had half of its steps behind it; this machine is twice as slow as estimated.
    clock[0] = 2 * START_SECONDS["tensorflow"]
    left_here.update(trials[0], {"event": "start", "step": 50, "steps": 100})
    assert left_here.left() == pytest.approx(2 * (steps / 2 + each))
    assert left_here.left_of(trials[0], {"event": "start"}) == pytest.approx(
        steps / 2
    )  # no pace yet
    clock[0] += 2 * steps / 4
    event = {"event": "progress", "step": 75, "steps": 100}
    left_here.update(trials[0], event)
    assert left_here.left_of(trials[0], event) == pytest.approx(2 * steps / 4)
    assert left_here.left() == pytest.approx(2 * (steps / 4 + each))
    clock[0] += 2 * steps / 4
    left_here.update(trials[0], {"event": "record"})
    assert left_here.left() == pytest.approx(2 * each)
    assert left_here.fraction() == pytest.approx(0.5)


def test_no_time_is_left_when_all_is_done_however_its_parts_add_up():
    """Seconds are added up event by event, and their rounding may come to more than all of them."""
    told = set()
    for steps in range(3, 60):
        trials = [trial(recipe=RECIPE, seed=seed) for seed in range(3)]
        counted = TimeLeft(Estimator([], 1))
        counted.start(trials, {"done": COST}, 1)
        for each in trials:
            for step in range(steps + 1):
                name = "progress" if step else "start"
                counted.update(each, {"event": name, "step": step, "steps": steps})
            counted.update(each, {"event": "record"})
        told.add(estimate.duration(counted.left()))
        assert counted.fraction() <= 1.0
    assert told == {"0 s"}
