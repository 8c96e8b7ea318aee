"""How far a trial has come, told over all the trainings and learning rates that are left to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from studies.records.checkpoints import ENDED
from studies.study.trial import Training, Trial

Emit = Callable[[dict[str, Any]], None]


def steps_of(training: Training) -> int:
    """The steps of a training, over all learning rates that are tried."""
    if training.objective == "none":
        return 0
    return training.recipe.steps * max(1, len(training.recipe.learning_rates))


class Events:
    """Says once where the process starts, and then every validation point.

    Args:
        trial: whose events they are.
        left: its trainings that this process has to do.
        emit: called with each event.
    """

    def __init__(self, trial: Trial, left: Sequence[Training], emit: Emit) -> None:
        self._emit = emit
        # What an earlier process has trained does not count; what is only evaluated is done.
        self._total = sum(map(steps_of, left)) or steps_of(trial)
        self._identity = {"trial_id": trial.trial_id, "steps": self._total}
        self._pretrain_id = trial.pretrain_id
        self._training_id = trial.training_id
        self._chained = sum(each.objective != "none" for each in trial.chain) > 1
        self._before = 0  # steps of the parts that are done
        self._said = False

    def part(
        self, training: Training, rate: float
    ) -> tuple[Callable[[int], None], Callable[..., None]]:
        """`started` and `report` of the next part, one learning rate of a training, for `train`."""
        before, steps = self._before, training.recipe.steps
        name = self._name(training, rate)
        self._before += steps
        # An accuracy on patches would pass for one on images.
        hidden = () if training.objective == "supervised" else ("top1", "val_top1")

        def started(step: int) -> None:
            if step < steps:
                self._start(before + step)

        def report(entry: dict[str, Any], speed: float) -> None:
            told = {name: value for name, value in entry.items() if name not in hidden}
            told["step"] = before + entry["step"]
            if name:
                told |= {"part": name, "part_step": entry["step"]}
            self._emit({"event": "progress", **self._identity, **told, "images_per_second": speed})

        return started, report

    def _name(self, training: Training, rate: float) -> str:
        """What tells a part from the others of its trial; "" where there is one alone."""
        names = []
        if self._chained:
            last = training.training_id == self._training_id
            names.append("finetuning" if last else "pretraining")
        if len(training.recipe.learning_rates) > 1:
            names.append(f"rate-{rate!r}")
        return "-".join(names)

    def ended(self, training: Training) -> None:
        """A training has come to its end, which its starter is to have in storage before it is used."""
        self._emit({"event": ENDED, **self._identity, "training_id": training.training_id})

    def trained(self) -> None:
        """All is trained; where it was so from the beginning, that is where the process starts."""
        self._start(self._total)

    def _start(self, step: int) -> None:
        if not self._said:
            self._said = True
            event = {"event": "start", **self._identity}
            self._emit({**event, "pretrain_id": self._pretrain_id, "step": step})
