"""How long trials take: from records of the same kind of machine, else from FLOPs.

To the FLOPs of training and evaluation comes what every trial takes before its first step.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from studies.errors import UsageError
from studies.machine.devices import cpu_name, on_gpu
from studies.machine.threads import cores
from studies.records.store import Record, ResultsStore
from studies.running.costs import Cost, Costs
from studies.study.trial import Training, Trial

ASSUMED_RATE = 25e9  # FLOP/s of one thread, where nothing has been measured yet
# Seconds of one core to start a process, load the backend, build and compile a small model, and
# compile its evaluation: measured with trials of four steps.
START_SECONDS = {"tensorflow": 10.0, "jax": 25.0, "torch": 8.0}
COMPILING = 0.5  # the share of it that a chain's further training takes, about
# What an `Estimator` reads of a record.
FIELDS = ("images_per_second", "flops", "backend", "device", "device_count", "threads")
TRAINING_FACTOR = 3  # a training step costs about three forward passes


def training_passes(training: Training, counts: Mapping[str, int]) -> float:
    """Forward passes that a training's steps and validations are worth, over all learning rates.

    Args:
        training: the training.
        counts: images in the split "validation".
    """
    if training.objective == "none":
        return 0.0
    recipe = training.recipe
    validated = min(recipe.validations, recipe.steps) * counts.get("validation", 0)
    passes = TRAINING_FACTOR * recipe.batch_size * recipe.steps + validated
    return float(passes * max(1, len(recipe.learning_rates)))


class Estimator:
    """Estimate seconds of trials.

    Args:
        records: finished trials, of any study.
        threads: computing threads of a trial.
        counts: images in the splits of the data.
        others: the same of the data of pre-trainings, by fingerprint.
        trained: whether a training has come to its end already.
        devices: of a trial.
    """

    def __init__(
        self,
        records: Iterable[Record],
        threads: int,
        counts: Mapping[str, int] | None = None,
        others: Mapping[str, Mapping[str, int]] | None = None,
        trained: Callable[[Training], bool] = lambda training: False,
        devices: int = 1,
    ) -> None:
        self.threads = threads
        self.devices = devices
        self.counts = counts or {}
        self.others = others or {}
        self.trained = trained
        exact: dict[tuple[int, str], list[float]] = {}  # (FLOPs, backend) -> FLOP/s
        rates: dict[str, list[float]] = {}  # backend -> FLOP/s
        for record in records:
            speed, flops = record.get("images_per_second"), record.get("flops")
            if not speed or not flops or not self._same_machine(record):
                continue
            backend = str(record.get("backend"))
            rate = speed * flops * TRAINING_FACTOR
            exact.setdefault((int(flops), backend), []).append(rate)
            rates.setdefault(backend, []).append(rate)
        self._exact = {key: statistics.median(found) for key, found in exact.items()}
        self._rates = {key: statistics.median(found) for key, found in rates.items()}

    def seconds(self, trial: Trial, cost: Cost) -> float:
        """Estimated seconds of a trial whose pre-training is done, from its start to its record."""
        return START_SECONDS[trial.backend] + self.working_seconds(trial, cost)

    def each(
        self, trials: Iterable[Trial], costs: Mapping[str, Cost], anew: bool = False
    ) -> list[float]:
        """Estimated seconds of some trials, in their order; what several need counts with the first.

        Args:
            trials: those that are to run.
            costs: by the name of the model, or `Costs`.
            anew: as if nothing were trained yet.
        """
        done: set[str] = set()
        found = []
        for trial in trials:
            parts = []
            for training in reversed(trial.chain):
                if training.training_id in done or (not anew and self.trained(training)):
                    break
                done.add(training.training_id)
                parts.append(self._training_seconds(training, cost_of(costs, training)))
            begin = START_SECONDS[trial.backend] * (1 + COMPILING * max(0, len(parts) - 1))
            evaluated = self._evaluation_seconds(trial, cost_of(costs, trial))
            found.append(begin + sum(parts) + evaluated)
        return found

    def total(self, trials: Sequence[Trial], costs: Mapping[str, Cost], workers: int) -> float:
        """Estimated seconds until all of some trials have ended.

        Args:
            trials: those that are to run.
            costs: by the name of the model, or `Costs`.
            workers: trials at a time; more of them than cores for their threads take turns.
        """
        each = self.each(trials, costs)
        if not each:
            return 0.0
        lanes = min(workers, len(each), max(1, len(cores()) // (self.threads * self.devices)))
        return max(sum(each) / lanes, max(each))

    def working_seconds(self, trial: Trial, cost: Cost) -> float:
        """Estimated seconds of the training and the evaluation of a trial's last model alone."""
        return self._training_seconds(trial, cost) + self._evaluation_seconds(trial, cost)

    def _training_seconds(self, training: Training, cost: Cost) -> float:
        counts = self.others.get(training.data_fingerprint, self.counts)
        return training_passes(training, counts) * cost.flops / self._rate(training, cost)

    def _evaluation_seconds(self, trial: Trial, cost: Cost) -> float:
        passes = self.counts.get("validation", 0) + self.counts.get("test", 0)
        return passes * cost.flops / self._rate(trial, cost)

    def _rate(self, training: Training, cost: Cost) -> float:
        """FLOP/s."""
        backend = training.backend
        rate = self._exact.get((cost.flops, backend)) or self._rates.get(backend)
        return rate or ASSUMED_RATE * self.threads * self.devices

    def knows(self, training: Training, cost: Cost) -> bool:
        """Whether trainings of the same model have been measured on this machine."""
        return (cost.flops, training.backend) in self._exact

    def basis(self, trials: Iterable[Trial], costs: Mapping[str, Cost]) -> str:
        """What the estimates of some trials rest on, as a sentence for people."""
        trainings = [(each, cost_of(costs, each)) for trial in trials for each in trial.chain]
        if trainings and all(self.knows(each, cost) for each, cost in trainings):
            return "Times come from finished trials of the same models on this machine."
        if trainings and all(each.backend in self._rates for each, _ in trainings):
            return "Times come from FLOPs and the speed of finished trials on this machine."
        return (
            f"Times come from FLOPs where nothing is measured yet, at an assumed "
            f"{ASSUMED_RATE / 1e9:.0f} GFLOP/s a thread."
        )

    def _same_machine(self, record: Record) -> bool:
        if record.get("device_count", 1) != self.devices:
            return False
        device = str(record.get("device")).removeprefix(f"{self.devices} x ")
        here = device.startswith("gpu") if on_gpu() else device == f"cpu ({cpu_name()})"
        return here and record.get("threads") == self.threads


def cost_of(costs: Mapping[str, Cost], training: Training) -> Cost:
    """The cost of a training's model, which plain costs have by its name."""
    return costs.of(training) if isinstance(costs, Costs) else costs[training.model.name]


def records_of(results: Path) -> list[Record]:
    """What an `Estimator` needs of all records of all studies in a results folder.

    What cannot be read counts for nothing.
    """
    found: list[Record] = []
    for path in sorted(results.glob("*/trials.jsonl")):
        try:
            found += ResultsStore(path).records(FIELDS)
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
