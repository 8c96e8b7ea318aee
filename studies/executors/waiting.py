"""Which trial is next: the order in which they were given, but for those that would train the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from studies.study.study import Trial


class Waiting:
    """Trials that wait for their turn.

    Args:
        trials: the most wanted first.
    """

    def __init__(self, trials: Sequence[Trial]) -> None:
        self._trials = list(trials)

    def __len__(self) -> int:
        return len(self._trials)

    def take(self, at_work: Iterable[Trial], most: int = 1) -> list[Trial]:
        """The next trials, none of which trains what one at work, or another of them, trains too.

        Args:
            at_work: trials that have no record yet.
            most: how many there is room for.
        """
        busy = {name for trial in at_work for name in trainings(trial)}
        taken: list[Trial] = []
        left: list[Trial] = []
        for index, trial in enumerate(self._trials):
            if len(taken) >= most:
                left += self._trials[index:]
                break
            if busy.isdisjoint(trainings(trial)):
                taken.append(trial)
                busy.update(trainings(trial))
            else:
                left.append(trial)
        self._trials = left
        return taken

    def put_back(self, trial: Trial) -> None:
        """Let a trial that was taken wait again, before all others."""
        self._trials.insert(0, trial)


def trainings(trial: Trial) -> tuple[str, ...]:
    """Ids of all that a trial trains; each has a folder of checkpoints, and one writer at a time."""
    return (trial.pretrain_id,)
