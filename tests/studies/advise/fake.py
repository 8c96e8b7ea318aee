"""A machine whose clock is a number, and trials that take the time and reach the accuracy they are told."""

import heapq

import numpy as np

from studies.records.layout import outcomes_path
from studies.records.outcomes import outcomes_of, save_outcomes
from studies.records.store import new_record

TEST, CLASSES = 270, 10


class Clock:
    """Tells the time that it is set to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Machine:
    """An executor that trains nothing.

    Args:
        clock: set to the time of every event.
        error: of a model at a size: a function of both.
        start, each: seconds of a trial: to start, and for each step.
        told: what records say of the speed, as a multiple of what `each` means.
    """

    def __init__(self, clock, error, start=10.0, each=0.05, workers=2, told=1.0, fails=()):
        self.clock, self.error, self.fails = clock, error, fails
        self.start, self.each, self.told = start, each, told
        self.workers, self.threads = workers, 1
        self.ran = []

    def takes(self, trial):
        return self.start + self.each * trial.recipe.steps

    def run(self, trials, place, logs, on_event):
        free = [self.clock.now] * self.workers
        ends = []
        for number, trial in enumerate(trials):
            began = heapq.heappop(free)
            heapq.heappush(free, began + self.takes(trial))
            ends += [
                (began + self.start, number, "start"),
                (began + self.takes(trial), number, "end"),
            ]
        for moment, number, what in sorted(ends):
            trial = trials[number]
            self.clock.now = moment
            if what == "start":
                on_event(trial, {"event": "start", "step": 0, "steps": trial.recipe.steps})
            else:
                self.ran.append(trial)
                on_event(trial, {"event": "record", "record": self._record(trial, place)})

    def _record(self, trial, place):
        record = {**new_record(trial), "threads": 1, "device": self.device, "flops": FLOPS}
        record |= {"seconds": self.takes(trial), "history": []}
        if trial.model.name in self.fails:
            return {**record, "status": "failed", "reason": "it was told to"}
        # What is hard is hard for all; each model and seed adds chance of its own.
        labels = np.random.default_rng(trial.seed).integers(0, CLASSES, TEST)
        rng = np.random.default_rng([trial.seed, trial.size, sum(trial.model.name.encode())])
        wrong = rng.random(TEST) < self.error(trial.model.name, trial.size)
        predicted = np.where(wrong, (labels + 1) % CLASSES, labels)
        logits = 5.0 * np.eye(CLASSES)[predicted]
        ids = TEST * trial.seed + np.arange(TEST)
        outcomes = outcomes_of(trial.seed, logits, labels, ids, ids)
        path = outcomes_path(place.path / trial.study, trial.trial_id)
        save_outcomes(path, outcomes)
        place.store(path)
        top1 = float(np.mean(~wrong))
        speed = self.told * trial.recipe.batch_size / self.each
        return {
            **record,
            "status": "done",
            "metrics": {"test_top1": top1, "val_top1": top1, "test_loss": 1.0},
            "images_per_second": speed,
        }

    @property
    def device(self):
        from studies.machine.devices import cpu_name

        return f"cpu ({cpu_name()})"


FLOPS = 1_000_000


class Silent:
    """A display that shows nothing."""

    def start(self, plan, trials, workers): ...
    def event(self, trial, event): ...
    def stop(self): ...
