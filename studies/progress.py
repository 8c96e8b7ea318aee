"""Live progress of a run: bars in a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

from studies.estimate import Estimator, duration, trial_flops
from studies.executors import Event
from studies.runner import Plan
from studies.study import Trial

LINE_SECONDS = 30.0  # between two plain lines of one running trial


def display(estimator: Estimator) -> PlainDisplay | RichDisplay:
    """The display that suits stdout."""
    return RichDisplay(estimator) if sys.stdout.isatty() else PlainDisplay(estimator)


class Forecast:
    """Time left, from the work done in this run, weighed by FLOPs; from estimates before that."""

    def __init__(self, estimator: Estimator) -> None:
        self._estimator = estimator

    def start(self, plan: Plan, trials: list[Trial], workers: int) -> None:
        self._began = time.monotonic()
        counts = self._estimator.counts
        self._work = {t.trial_id: trial_flops(t, plan.costs[t.model.name], counts) for t in trials}
        self._share = dict.fromkeys(self._work, 0.0)
        self._head_start = dict(self._share)  # trained by an earlier, interrupted run
        estimates = (self._estimator.seconds(t, plan.costs[t.model.name]) for t in trials)
        self._estimate = sum(estimates) / max(1, min(workers, len(trials)))

    def update(self, trial: Trial, event: Event) -> None:
        """Note what an event says of a trial's share of work done."""
        share = 1.0 if event["event"] == "record" else _share(event)
        if event["event"] == "start":
            self._head_start[trial.trial_id] = share
        self._share[trial.trial_id] = share

    def fraction(self) -> float:
        """The share of all work that is done, 0 to 1."""
        done = sum(self._work[key] * share for key, share in self._share.items())
        return done / max(1.0, sum(self._work.values()))

    def left(self) -> float:
        """Seconds left."""
        own = {key: share - self._head_start[key] for key, share in self._share.items()}
        done = sum(self._work[key] * share for key, share in own.items())
        todo = sum(self._work[key] * (1 - share) for key, share in self._share.items())
        elapsed = time.monotonic() - self._began
        if done <= 0:
            return max(0.0, self._estimate - elapsed)
        return elapsed * todo / done


class PlainDisplay:
    """One line for what matters, for logs and pipes."""

    def __init__(self, estimator: Estimator) -> None:
        self._forecast = Forecast(estimator)
        self._ended = 0
        self._spoke: dict[str, float] = {}

    def start(self, plan: Plan, trials: list[Trial], workers: int) -> None:
        self._forecast.start(plan, trials, workers)
        self._total = len(trials)
        self._say(_opening(plan, trials, workers, self._forecast))

    def event(self, trial: Trial, event: Event) -> None:
        self._forecast.update(trial, event)
        if event["event"] == "start":
            self._spoke[trial.trial_id] = time.monotonic()
            self._say(f"start   {trial.label}")
        elif event["event"] == "progress":
            if time.monotonic() - self._spoke.get(trial.trial_id, 0.0) >= LINE_SECONDS:
                self._spoke[trial.trial_id] = time.monotonic()
                self._say(f"        {trial.label}: {_state(event)}{self._outlook()}")
        elif event["event"] == "record":
            self._ended += 1
            count = f"{self._ended}/{self._total}"
            self._say(f"{count} {trial.label}: {outcome(event['record'])}{self._outlook()}")

    def stop(self) -> None:
        """Nothing to put away."""

    def _outlook(self) -> str:
        return f"; about {duration(self._forecast.left())} left"

    @staticmethod
    def _say(text: str) -> None:
        print(text, flush=True)


class RichDisplay:
    """A bar for every running trial and one for all."""

    def __init__(self, estimator: Estimator) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._forecast = Forecast(estimator)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._tasks: dict[str, Any] = {}
        self._ended = 0

    def start(self, plan: Plan, trials: list[Trial], workers: int) -> None:
        self._forecast.start(plan, trials, workers)
        self._total = len(trials)
        print(_opening(plan, trials, workers, self._forecast))
        if trials:
            self._bars.start()
            self._all = self._bars.add_task(f"all {len(trials)} trials", total=1.0, note="")

    def event(self, trial: Trial, event: Event) -> None:
        self._forecast.update(trial, event)
        if event["event"] == "start":
            self._bars.update(self._task(trial), completed=_share(event))
        elif event["event"] == "progress":
            self._bars.update(self._task(trial), completed=_share(event), note=_state(event))
        elif event["event"] == "record":
            self._ended += 1
            self._bars.remove_task(self._task(trial))
            del self._tasks[trial.trial_id]
            told = f"{trial.label}: {outcome(event['record'])}"
            self._bars.console.print(told, markup=False, highlight=False)
        note = f"{self._ended}/{self._total} ended, about {duration(self._forecast.left())} left"
        self._bars.update(self._all, completed=self._forecast.fraction(), note=note)

    def stop(self) -> None:
        self._bars.stop()

    def _task(self, trial: Trial) -> Any:
        if trial.trial_id not in self._tasks:
            task = self._bars.add_task(trial.label, total=1.0, note="starting")
            self._tasks[trial.trial_id] = task
        return self._tasks[trial.trial_id]


def outcome(record: Mapping[str, Any]) -> str:
    """How a trial ended, in a few words."""
    if record.get("status") != "done":
        return f"FAILED: {record.get('reason') or 'no reason given'}"
    top1 = (record.get("metrics") or {}).get("test_top1")
    seconds = record.get("seconds")
    told = [] if top1 is None else [f"test top-1 {top1:.4f}"]
    return ", ".join(told + ([] if seconds is None else [f"in {duration(seconds)}"])) or "done"


def _opening(plan: Plan, trials: list[Trial], workers: int, forecast: Forecast) -> str:
    total = len(plan.trials)
    if not trials:
        return f"{plan.study.name}: all {total} trials are finished already"
    finished = f", {total - len(trials)} finished already" if total > len(trials) else ""
    return (
        f"{plan.study.name}: {len(trials)} of {total} trials to run{finished}, {workers} at a time; "
        f"about {duration(forecast.left())}"
    )


def _share(event: Event) -> float:
    return min(1.0, event.get("step", 0) / max(1, event.get("steps", 1)))


def _state(event: Event) -> str:
    parts = [f"step {event.get('step', 0)}/{event.get('steps', '?')}"]
    if event.get("val_top1") is not None:
        parts.append(f"val top-1 {event['val_top1']:.3f}")
    return ", ".join(parts)
