"""Live progress of a run: bars in a terminal, plain lines anywhere else."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from studies.executors import Event
from studies.running.estimate import START_SECONDS, Estimator, duration
from studies.running.runner import Plan
from studies.study.study import Trial

LINE_SECONDS = 30.0  # between two plain lines of one running trial
WIDE = 110  # columns of a terminal that hold a trial's label, its bar and its state


def display(estimator: Estimator) -> PlainDisplay | RichDisplay:
    """The display that suits stdout."""
    # A dumb terminal cannot go back to draw a bar anew: rich would be silent until the end.
    able = sys.stdout.isatty() and os.environ.get("TERM") not in (None, "dumb", "unknown")
    return RichDisplay(estimator) if able else PlainDisplay(estimator)


class Forecast:
    """Time left, from how fast this run gets through its estimated work; before that, estimates."""

    def __init__(self, estimator: Estimator) -> None:
        self._estimator = estimator

    def start(self, plan: Plan, trials: list[Trial], workers: int) -> None:
        self._began = time.monotonic()
        costs = {trial.trial_id: plan.costs[trial.model.name] for trial in trials}
        # In estimated seconds: of all of a trial, and of what it does from its first step on.
        self._whole = {t.trial_id: self._estimator.seconds(t, costs[t.trial_id]) for t in trials}
        self._steps = {
            key: seconds - START_SECONDS[trial.backend]
            for trial, (key, seconds) in zip(trials, self._whole.items(), strict=True)
        }
        self._done = dict.fromkeys(self._whole, 0.0)
        self._head_start = dict(self._done)  # trained by an earlier, interrupted run
        self._estimate = self._estimator.total(trials, plan.costs, workers)

    def update(self, trial: Trial, event: Event) -> None:
        """Note what an event says of a trial's work."""
        key = trial.trial_id
        if event["event"] == "record":
            self._done[key] = self._whole[key]
            return
        left = self._steps[key] * (1.0 - _share(event))
        if event["event"] == "start":
            self._head_start[key] = self._steps[key] - left
        self._done[key] = self._whole[key] - left

    def fraction(self) -> float:
        """The share of all work that is done, 0 to 1."""
        return sum(self._done.values()) / max(1.0, sum(self._whole.values()))

    def left(self) -> float:
        """Seconds left."""
        here = sum(self._done.values()) - sum(self._head_start.values())
        todo = sum(self._whole.values()) - sum(self._done.values())
        elapsed = time.monotonic() - self._began
        if here <= 0:
            return max(0.0, self._estimate - elapsed)
        return elapsed * todo / here


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
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress,
            ProgressColumn,
            TextColumn,
            TimeElapsedColumn,
        )
        from rich.table import Column

        self._forecast = Forecast(estimator)
        console = Console()
        words = Column(no_wrap=True)
        columns: list[ProgressColumn] = [TextColumn("{task.description}", table_column=words)]
        if console.width >= WIDE:  # in a narrow terminal the words are worth more than the bars
            columns += [BarColumn(), TimeElapsedColumn()]
        columns += [
            TextColumn("{task.percentage:3.0f} %", table_column=words),
            TextColumn("{task.fields[note]}", table_column=words),
        ]
        self._bars = Progress(*columns, console=console)
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
            self._bars.console.print(told, markup=False, highlight=False, soft_wrap=True)
        note = f"{duration(self._forecast.left())} left, {self._ended}/{self._total} ended"
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
