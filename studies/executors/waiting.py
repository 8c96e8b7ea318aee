"""Which trial is next: the order in which they were given, but for those that would train the same."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

from studies.records.checkpoints import claimed
from studies.study.trial import Trial


class Waiting:
    """Trials that wait for their turn.

    Args:
        trials: the most wanted first.
        results: the folder that holds the checkpoints.
    """

    def __init__(self, trials: Sequence[Trial], results: Path) -> None:
        self._trials = deque(trials)
        self._results = results

    def __len__(self) -> int:
        return len(self._trials)

    def take(self, at_work: Iterable[Trial], most: int = 1) -> list[Trial]:
        """The next trials, none of which trains what one at work, or another of them, trains too.

        Args:
            at_work: trials that have no record yet.
            most: how many there is room for.
        """
        if most < 1 or not self._trials:
            return []
        busy = {name for trial in at_work for name in claimed(self._results, trial)}
        taken: list[Trial] = []
        left: list[Trial] = []
        while self._trials and len(taken) < most:
            trial = self._trials.popleft()
            own = claimed(self._results, trial)
            if busy.isdisjoint(own):
                taken.append(trial)
                busy |= own
            else:
                left.append(trial)
        self._trials.extendleft(reversed(left))
        return taken

    def put_back(self, trial: Trial) -> None:
        """Let a trial that was taken wait again, before all others."""
        self._trials.appendleft(trial)
