"""How long a run still takes: estimates at first, its own pace as soon as there is one."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from studies.executors import Event
from studies.running.costs import Cost
from studies.running.estimate import START_SECONDS, Estimator
from studies.study.trial import Trial


class TimeLeft:
    """Seconds left, from how fast this run gets through its estimated work; before that, estimates."""

    def __init__(self, estimator: Estimator) -> None:
        self._estimator = estimator

    def start(self, trials: Sequence[Trial], costs_of: Mapping[str, Cost], workers: int) -> None:
        """Begin to count: some trials are to run, so many at a time; costs are by model's name."""
        self._began = time.monotonic()
        # In estimated seconds: of all of a trial, and of what it does from its first step on.
        each = self._estimator.each(trials, costs_of)
        self._whole = {trial.trial_id: seconds for trial, seconds in zip(trials, each, strict=True)}
        self._steps = {
            key: seconds - START_SECONDS[trial.backend]
            for trial, (key, seconds) in zip(trials, self._whole.items(), strict=True)
        }
        self._done = dict.fromkeys(self._whole, 0.0)
        self._all = sum(self._whole.values())
        self._all_done = 0.0
        self._head_start: dict[str, float] = {}  # trained by an earlier, interrupted run
        self._started: dict[str, tuple[float, float]] = {}  # when, and what was done by then
        self._estimate = self._estimator.total(trials, costs_of, workers)

    def update(self, trial: Trial, event: Event) -> None:
        """Note what an event says of a trial's work."""
        key = trial.trial_id
        if event["event"] == "again":  # what it has reached is in its checkpoint
            return
        if event["event"] == "record":
            self._note(key, self._whole[key])
            return
        left = self._steps[key] * (1.0 - share(event))
        self._note(key, self._whole[key] - left)
        if event["event"] == "start":
            if self._steps[key] > left:
                self._head_start[key] = self._steps[key] - left
            self._started[key] = time.monotonic(), self._done[key]

    def _note(self, key: str, done: float) -> None:
        # Added up as it comes: a run of many trials has events without end.
        self._all_done += done - self._done[key]
        self._done[key] = done

    def fraction(self) -> float:
        """The share of all work that is done, 0 to 1."""
        return min(1.0, self._all_done / max(1.0, self._all))

    def left(self) -> float:
        """Seconds left."""
        here = self._all_done - sum(self._head_start.values())
        todo = max(0.0, self._all - self._all_done)  # what is added up bit by bit may be a bit more
        elapsed = time.monotonic() - self._began
        if here <= 0:
            return max(0.0, self._estimate - elapsed)
        return elapsed * todo / here

    def left_of(self, trial: Trial, event: Event) -> float:
        """Seconds left of a running trial, from its latest event: its own pace, or the estimate."""
        key = trial.trial_id
        todo = self._whole[key] - self._done[key]
        if event["event"] == "start" or key not in self._started:
            return todo
        began, done_before = self._started[key]
        done = self._done[key] - done_before
        return todo * (time.monotonic() - began) / done if done > 0 else todo


def share(event: Event) -> float:
    """How much of its steps a trial has behind it, 0 to 1."""
    return float(min(1.0, event.get("step", 0) / max(1, event.get("steps", 1))))
