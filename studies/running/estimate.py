"""How long trials take: from records of the same kind of machine, else from FLOPs.

To the FLOPs of training and evaluation comes what every trial takes before its first step.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from studies.errors import UsageError
from studies.machine.devices import cpu_name, on_gpu
from studies.machine.threads import cores
from studies.records.store import Record, ResultsStore
from studies.running.costs import Cost
from studies.study.trial import Trial

ASSUMED_RATE = 25e9  # FLOP/s of one thread, where nothing has been measured yet
# Seconds of one core to start a process, load the backend, build and compile a small model, and
# compile its evaluation: measured with trials of four steps.
START_SECONDS = {"tensorflow": 10.0, "jax": 25.0, "torch": 8.0}
TRAINING_FACTOR = 3  # a training step costs about three forward passes


def trial_flops(trial: Trial, cost: Cost, counts: Mapping[str, int]) -> float:
    """FLOPs of a trial: its training steps, its validations and the evaluation at the end.

    Args:
        trial: the trial.
        cost: of its model.
        counts: images in the splits "validation" and "test".
    """
    recipe = trial.recipe
    validation, test = counts.get("validation", 0), counts.get("test", 0)
    validations = min(recipe.validations, recipe.steps)
    seen = (validations + 1) * validation + test
    return cost.flops * (TRAINING_FACTOR * recipe.batch_size * recipe.steps + seen)


class Estimator:
    """Estimate seconds of trials.

    Args:
        records: finished trials, of any study.
        threads: computing threads of a trial.
        counts: images in the splits of the data.
    """

    def __init__(
        self, records: Iterable[Record], threads: int, counts: Mapping[str, int] | None = None
    ) -> None:
        self.threads = threads
        self.counts = counts or {}
        self._exact: dict[tuple[int, str], list[float]] = {}  # (FLOPs, backend) -> FLOP/s
        self._rates: dict[str, list[float]] = {}  # backend -> FLOP/s
        for record in records:
            speed, flops = record.get("images_per_second"), record.get("flops")
            if not speed or not flops or not self._same_machine(record):
                continue
            backend = str(record.get("backend"))
            rate = speed * flops * TRAINING_FACTOR
            self._exact.setdefault((int(flops), backend), []).append(rate)
            self._rates.setdefault(backend, []).append(rate)

    def seconds(self, trial: Trial, cost: Cost) -> float:
        """Estimated seconds of a trial, from the start of its process to its record."""
        return START_SECONDS[trial.backend] + self.working_seconds(trial, cost)

    def total(self, trials: Sequence[Trial], costs: Mapping[str, Cost], workers: int) -> float:
        """Estimated seconds until all of some trials have ended.

        Args:
            trials: those that are to run.
            costs: by the name of the model.
            workers: trials at a time; more of them than cores for their threads take turns.
        """
        each = [self.seconds(trial, costs[trial.model.name]) for trial in trials]
        if not each:
            return 0.0
        lanes = min(workers, len(each), max(1, len(cores()) // self.threads))
        return max(sum(each) / lanes, max(each))

    def working_seconds(self, trial: Trial, cost: Cost) -> float:
        """Estimated seconds of a trial's training and evaluation alone."""
        rates = self._exact.get((cost.flops, trial.backend)) or self._rates.get(trial.backend)
        rate = statistics.median(rates) if rates else ASSUMED_RATE * self.threads
        return trial_flops(trial, cost, self.counts) / rate

    def knows(self, trial: Trial, cost: Cost) -> bool:
        """Whether trials of the same model have been measured on this machine."""
        return (cost.flops, trial.backend) in self._exact

    def basis(self, trials: Iterable[Trial], costs: Mapping[str, Cost]) -> str:
        """What the estimates of some trials rest on, as a sentence for people."""
        trials = list(trials)
        if trials and all(self.knows(trial, costs[trial.model.name]) for trial in trials):
            return "Times come from finished trials of the same models on this machine."
        if trials and all(trial.backend in self._rates for trial in trials):
            return "Times come from FLOPs and the speed of finished trials on this machine."
        return (
            f"Times come from FLOPs where nothing is measured yet, at an assumed "
            f"{ASSUMED_RATE / 1e9:.0f} GFLOP/s a thread."
        )

    def _same_machine(self, record: Record) -> bool:
        device = str(record.get("device"))
        here = device.startswith("gpu") if on_gpu() else device == f"cpu ({cpu_name()})"
        return here and record.get("threads") == self.threads


def records_of(results: Path) -> list[Record]:
    """All records of all studies in a results folder; what cannot be read counts for nothing."""
    found: list[Record] = []
    for path in sorted(results.glob("*/trials.jsonl")):
        try:
            found += ResultsStore(path).records()
        except (UsageError, OSError):
            continue
    return found


def duration(seconds: float) -> str:
    """Seconds as people say them.

    Example:
        >>> duration(42), duration(600), duration(5400)
        ('42 s', '10 min', '1 h 30 min')
    """
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 48 else f"{hours / 24:.1f} days"
