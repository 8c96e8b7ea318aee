"""Live progress of a run: bars in a terminal, plain lines anywhere else."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

from studies.command_line.json_lines import JsonLines
from studies.executors import Event
from studies.running.estimate import Estimator, duration
from studies.running.now import Now
from studies.running.runner import Display, Plan
from studies.running.tensorboard import TensorBoard
from studies.running.time_left import TimeLeft, share
from studies.shown import printable
from studies.study.trial import Trial

LINE_SECONDS = 30.0  # between two plain lines of one running trial
ROOMY = 79  # columns that hold a trial's label, its share and its step
WIDE = 110  # columns of a terminal that hold a trial's label, its bar and its state


def display(
    estimator: Estimator, lines: TextIO | None = None, tensorboard: bool = False
) -> Display:
    """The display that suits stdout, the one for other terminals, and what else is wanted.

    Args:
        estimator: of the time left.
        lines: where one JSON object a line goes, in place of words.
        tensorboard: whether curves are written for TensorBoard.
    """
    more = [TensorBoard()] if tensorboard else []
    return Together(Now(estimator), *more, _shown(estimator, lines))


def _shown(estimator: Estimator, lines: TextIO | None) -> Display:
    if lines is not None:
        return JsonLines(estimator, lines)
    # A dumb terminal cannot go back to draw a bar anew: rich would be silent until the end.
    able = sys.stdout.isatty() and os.environ.get("TERM") not in (None, "dumb", "unknown")
    return RichDisplay(estimator) if able else PlainDisplay(estimator)


class Together:
    """Several displays of one run."""

    def __init__(self, *displays: Display) -> None:
        self._displays = displays
        self._begun = contextlib.ExitStack()  # each is stopped, whatever another one meets

    def start(self, plan: Plan, trials: list[Trial], workers: int) -> None:
        for each in self._displays:
            self._begun.callback(each.stop)
            each.start(plan, trials, workers)

    def event(self, trial: Trial, event: Event) -> None:
        for each in self._displays:
            each.event(trial, event)

    def stop(self) -> None:
        self._begun.close()


class PlainDisplay:
    """One line for what matters, for logs and pipes."""

    def __init__(self, estimator: Estimator) -> None:
        self._time_left = TimeLeft(estimator)
        self._ended = 0
        self._spoke: dict[str, float] = {}

    def start(self, plan: Plan, trials: list[Trial], workers: int) -> None:
        self._time_left.start(trials, plan.costs, workers)
        self._total = len(trials)
        self._say(_opening(plan, trials, workers, self._time_left))

    def event(self, trial: Trial, event: Event) -> None:
        self._time_left.update(trial, event)
        if event["event"] == "start":
            self._spoke[trial.trial_id] = time.monotonic()
            self._say(f"start   {trial.label}")
        elif event["event"] == "progress":
            if time.monotonic() - self._spoke.get(trial.trial_id, 0.0) >= LINE_SECONDS:
                self._spoke[trial.trial_id] = time.monotonic()
                self._say(f"        {trial.label}: {step(event)}{self._outlook()}")
        elif event["event"] == "again":
            self._say(f"again   {trial.label}: {event['reason']}")
        elif event["event"] == "record":
            self._ended += 1
            count = f"{self._ended}/{self._total}"
            self._say(f"{count} {trial.label}: {outcome(event['record'])}{self._outlook()}")

    def stop(self) -> None:
        """Nothing to put away."""

    def _outlook(self) -> str:
        return f"; about {duration(self._time_left.left())} left"

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

        self._time_left = TimeLeft(estimator)
        console = Console()
        words = Column(no_wrap=True)
        # In one column with the label, and first: no terminal is so narrow that the share is cut off.
        label = "{task.percentage:3.0f} % {task.description}"
        columns: list[ProgressColumn] = [TextColumn(label, markup=False, table_column=words)]
        if console.width >= WIDE:  # in a narrow terminal the words are worth more than the bars
            columns += [BarColumn(), TimeElapsedColumn()]
        columns.append(TextColumn("{task.fields[note]}", markup=False, table_column=words))
        self._steps = console.width >= ROOMY
        self._bars = Progress(*columns, console=console)
        self._tasks: dict[str, Any] = {}
        self._ended = 0

    def start(self, plan: Plan, trials: list[Trial], workers: int) -> None:
        self._time_left.start(trials, plan.costs, workers)
        self._total = len(trials)
        print(_opening(plan, trials, workers, self._time_left))
        if trials:
            self._bars.start()
            self._all = self._bars.add_task(f"all {len(trials)} trials", total=1.0, note="")

    def event(self, trial: Trial, event: Event) -> None:
        self._time_left.update(trial, event)
        if event["event"] == "start":
            self._bars.update(self._task(trial), completed=share(event))
        elif event["event"] == "progress":
            note = step(event) if self._steps else accuracy(event)
            self._bars.update(self._task(trial), completed=share(event), note=note)
        elif event["event"] == "again":
            self._bars.update(self._task(trial), note="waits for another machine")
        elif event["event"] == "record":
            self._ended += 1
            self._bars.remove_task(self._task(trial))
            del self._tasks[trial.trial_id]
            told = f"{trial.label}: {outcome(event['record'])}"
            self._bars.console.print(told, markup=False, highlight=False, soft_wrap=True)
        note = f"{duration(self._time_left.left())} left, {self._ended}/{self._total} ended"
        self._bars.update(self._all, completed=self._time_left.fraction(), note=note)

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
        return printable(f"FAILED: {record.get('reason') or 'no reason given'}")
    top1 = (record.get("metrics") or {}).get("test_top1")
    seconds = record.get("seconds")
    told = [] if top1 is None else [f"test top-1 {top1:.4f}"]
    return ", ".join(told + ([] if seconds is None else [f"in {duration(seconds)}"])) or "done"


def _opening(plan: Plan, trials: list[Trial], workers: int, time_left: TimeLeft) -> str:
    total = len(plan.trials)
    if not trials:
        return f"{plan.study.name}: all {total} trials are finished already"
    finished = f", {total - len(trials)} finished already" if total > len(trials) else ""
    return (
        f"{plan.study.name}: {len(trials)} of {total} trials to run{finished}, {workers} at a time; "
        f"about {duration(time_left.left())}"
    )


def step(event: Mapping[str, Any]) -> str:
    """Where a running trial is, in a few words."""
    parts = [f"step {event.get('step', 0)}/{event.get('steps', '?')}", accuracy(event)]
    return ", ".join(filter(None, parts))


def accuracy(event: Mapping[str, Any]) -> str:
    """What a running trial has reached, or nothing yet."""
    top1 = event.get("val_top1")
    return "" if top1 is None else f"val top-1 {top1:.3f}"
