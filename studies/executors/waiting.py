"""Which trial is next: the order in which they were given, but for those that would train the same."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from studies.records.checkpoints import FINAL, checkpoint_name, claimed, is_trained
from studies.records.place import Place
from studies.study.trial import Trial


class Waiting:
    """Trials that wait for their turn.

    Args:
        trials: the most wanted first.
        place: that holds the checkpoints.
    """

    def __init__(self, trials: Sequence[Trial], place: Place) -> None:
        self._trials = deque(trials)
        self._place = place

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
        at_work = list(at_work)
        self._look_for_ends([*at_work, *self._trials])
        results = self._place.path
        busy = {name for trial in at_work for name in claimed(results, trial)}
        taken: list[Trial] = []
        left: list[Trial] = []
        while self._trials and len(taken) < most:
            trial = self._trials.popleft()
            own = claimed(results, trial)
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

    def _look_for_ends(self, trials: Iterable[Trial]) -> None:
        """See which trainings that others start from have come to their end, on whatever machine."""
        before = {
            part.training_id: part
            for trial in trials
            if trial.start is not None
            for part in trial.start.chain
        }
        open_ones = [part for part in before.values() if not is_trained(self._place.path, part)]
        self._place.fetch(*(checkpoint_name(part, FINAL) for part in open_ones))
