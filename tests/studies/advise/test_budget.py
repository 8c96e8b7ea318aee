"""Times as people type them, and an end to what runs too long."""

import time

import pytest

from studies.advise.budget import OVER, Budget, OutOfTime, in_units, seconds_of
from studies.errors import UsageError
from tests.studies.advise.fake import Clock

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30m", 1800), ("90s", 90), ("1h30m", 5400), ("2h", 7200), ("1.5h", 5400), ("1m30s", 90)],
)
def test_a_time_is_read_as_it_is_typed(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "30", "m", "0m", "-5m", "5 apples", "30m1h", "9" * 400 + "h", "²h"]
)
def test_what_is_no_time_is_answered_by_one_sentence(text):
    with pytest.raises(UsageError, match="30m, 1h30m or 90s"):
        seconds_of(text)


@pytest.mark.parametrize("seconds", [1, 59, 60, 61, 3000, 3700, 86_000])
def test_a_proposed_time_is_typed_back_and_is_enough(seconds):
    assert seconds <= seconds_of(in_units(seconds)) <= seconds + 360


def test_something_is_kept_for_the_answer():
    clock = Clock()
    budget = Budget(600, clock)
    clock.now += 100
    assert (budget.elapsed, budget.left) == (100, 485)
    assert Budget(60, clock).left == 54


def test_what_runs_a_tenth_too_long_is_ended_as_by_ctrl_c():
    budget = Budget(1.0)
    with pytest.raises(OutOfTime), budget.enforced():
        time.sleep(10)
    assert OVER - 0.2 < budget.elapsed < 5.0
    assert issubclass(OutOfTime, KeyboardInterrupt)
    with Budget(60.0).enforced():
        pass  # and its alarm is off again
    time.sleep(0.01)
