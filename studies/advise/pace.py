"""How long a trial takes here, from its process' start to its record: better known with every one."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping

from studies.advise.budget import Clock
from studies.executors import Event
from studies.running.costs import Cost
from studies.running.estimate import START_SECONDS, Estimator
from studies.study.trial import Trial


class Pace:
    """Seconds of trials: their work by the estimator, and what this run has seen them take besides.

    Args:
        estimator: of the records so far; `learn` replaces it.
        costs: by the name of the model.
        clock: tells the time in seconds.
    """

    def __init__(
        self, estimator: Estimator, costs: Mapping[str, Cost], clock: Clock = time.monotonic
    ) -> None:
        self._estimator, self._costs, self._clock = estimator, costs, clock
        self._free: list[float] = []  # since when places for a trial have been free
        self._launched: dict[str, float] = {}
        self._took: list[tuple[Trial, float]] = []

    def begin(self, workers: int) -> None:
        """Some trials are about to run, so many at a time."""
        self._free, self._launched = [self._clock()] * workers, {}

    def event(self, trial: Trial, event: Event) -> None:
        """Note when a trial's process began, and how long it took."""
        if trial.trial_id not in self._launched:  # it has been at work since a place was free
            self._launched[trial.trial_id] = self._free.pop(0) if self._free else self._clock()
        if event["event"] == "record":
            now = self._clock()
            self._free.append(now)
            if event["record"].get("status") == "done":
                self._took.append((trial, now - self._launched[trial.trial_id]))

    def learn(self, estimator: Estimator) -> None:
        """Take the speeds of new records."""
        self._estimator = estimator

    def known(self, trial: Trial) -> bool:
        """Whether trials of this model have been measured on this machine."""
        return self._estimator.knows(trial, self._costs[trial.model.name])

    def seconds(self, trial: Trial) -> float:
        """Seconds of a trial."""
        return self._besides(trial.backend) + self._work(trial)

    def _besides(self, backend: str) -> float:
        """What a trial takes besides its work: to start, to compile, to be written."""
        if not self._took:
            return START_SECONDS[backend]
        return max(1.0, statistics.median(took - self._work(trial) for trial, took in self._took))

    def _work(self, trial: Trial) -> float:
        return self._estimator.working_seconds(trial, self._costs[trial.model.name])
