"""How long trials take is learned from those of this run."""

import pytest

from studies.advise.pace import Pace
from studies.running.costs import Cost
from studies.running.estimate import START_SECONDS
from tests.studies.advise.fake import Clock
from tests.studies.descriptions import trial

pytestmark = pytest.mark.once


class Work:
    """An estimator to which every trial is so much work."""

    def working_seconds(self, trial, cost):
        return float(trial.size)


def test_what_a_trial_takes_besides_its_work_is_measured_from_when_its_place_was_free():
    clock = Clock()
    pace = Pace(Work(), {"done": Cost(1, 1)}, clock)
    first, second, third = (trial(size=size, seed=size) for size in (10, 20, 30))
    assert pace.seconds(first) == START_SECONDS["tensorflow"] + 10
    pace.begin(2)
    began = clock.now
    for moment, each, event in [
        (began + 4, first, {"event": "start"}),
        (began + 5, second, {"event": "start"}),
        (began + 13, first, {"event": "record", "record": {"status": "done"}}),  # 3 beside 10
        (began + 17, third, {"event": "start"}),
        (began + 24, second, {"event": "record", "record": {"status": "done"}}),  # 4 beside 20
        (began + 50, third, {"event": "record", "record": {"status": "done"}}),  # 7 beside 30
    ]:
        clock.now = moment
        pace.event(each, event)
    assert pace.seconds(trial(size=100)) == 104


def test_a_failed_trial_says_nothing_of_the_time():
    clock = Clock()
    pace = Pace(Work(), {"done": Cost(1, 1)}, clock)
    pace.begin(1)
    pace.event(trial(), {"event": "record", "record": {"status": "failed"}})
    assert pace.seconds(trial(size=5)) == START_SECONDS["tensorflow"] + 5
