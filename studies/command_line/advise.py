"""`advise`: the decision within a budget of time, in plain words or for programs."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from studies.command_line.commands import (
    DONE,
    FAILED,
    broken_off,
    ended_cleanly,
)
from studies.errors import UsageError
from studies.shown import printable

if TYPE_CHECKING:
    from studies.advise.budget import Budget
    from studies.advise.reply import Reply, Target
    from studies.advise.session import Session
    from studies.executors.local import LocalExecutor
    from studies.records.place import Place
    from studies.study.study import Study

MOST_WORKERS = 8  # by default: each takes memory of its own


@dataclass(frozen=True)
class AdviseOptions:
    """What is asked, and how much time there is."""

    dataset: str
    budget: str
    command: str = ""
    results: Path | str = Path("runs")  # or a URL
    target: str | None = None
    cost_per_image: float | None = None
    json: bool = False
    workers: int | None = None
    reading: dict[str, Any] = field(default_factory=dict)
    weights: tuple[str, ...] = ()
    name: str | None = None
    log_format: str = "text"


def advise(options: AdviseOptions, executor: LocalExecutor | None = None) -> int:
    """Run what the budget holds, and answer.

    Args:
        options: of the command line.
        executor: runs the trials; by default local processes.
    """
    from studies.advise.budget import Budget, seconds_of
    from studies.advise.reply import Target, target_of
    from studies.executors.local import LocalExecutor
    from studies.machine.threads import cores
    from studies.records.place import opened

    budget = Budget(seconds_of(options.budget))
    if options.cost_per_image is not None and options.target is None:
        raise UsageError("--cost-per-image prices a --target: give one, such as --target 95%")
    if not math.isfinite(options.cost_per_image or 0.0):
        raise UsageError(f"--cost-per-image takes a finite number, not {options.cost_per_image:g}")
    target = None
    if options.target is not None:
        target = Target(target_of(options.target), options.cost_per_image)
    workers = options.workers or min(len(cores()), MOST_WORKERS)
    executor = executor or LocalExecutor(workers)
    with opened(options.results) as place:
        place.check()  # before data are prepared, which may take long
        return _advise(options, place, budget, target, executor)


def _advise(
    options: AdviseOptions,
    place: Place,
    budget: Budget,
    target: Target | None,
    executor: LocalExecutor,
) -> int:
    from studies.advise.design import Question
    from studies.advise.programs import as_json
    from studies.advise.reply import words
    from studies.advise.session import begin
    from studies.command_line.json_lines import silence, write_line

    with _aside(options) as lines:
        question = Question(
            options.dataset,
            place,
            options.command,
            options.reading,
            options.weights,
            options.name,
        )
        with silence() if options.log_format == "json" else contextlib.nullcontext():
            session = begin(question, budget, executor)
        try:
            with ended_cleanly():
                reply = _answered(session, place, target, lines)
        except (KeyboardInterrupt, OSError) as end:
            return broken_off(end, place.address(session.folder), in_words=lines is None)
        if not options.json:
            print("\n" + "\n\n".join(words(reply)))
            figure = session.folder / "figures" / "accuracy.png"
            print(
                f"\nfigure: {place.address(figure)}\n"
                * figure.exists()
                + f"report: {place.address(session.folder / 'report.md')}\n"
                f"to send: {place.address(session.folder / 'report.html')}"
            )
        failed = session.failed
        for record in failed if lines is None else []:
            label = f"{record['model']} size {record['size']} seed {record['seed']}"
            print(printable(f"failed: {label}: {record.get('reason')}"), file=sys.stderr)
        if failed and lines is None:
            print("the same command runs what failed again", file=sys.stderr)
    if options.json:
        print(json.dumps(as_json(reply), indent=1))
    elif lines is not None:
        write_line(lines, "answer", **as_json(reply))
    return FAILED if failed else DONE


@contextlib.contextmanager
def _aside(options: AdviseOptions) -> Iterator[TextIO | None]:
    """Keep words off stdout where programs read it; yields where lines of the log go, if they are JSON."""
    from studies.command_line.json_lines import words_aside

    if options.log_format == "json":
        with words_aside() as stdout:
            yield sys.stderr if options.json else stdout
    elif options.json:  # what the answer rests on is told on stderr
        with contextlib.redirect_stdout(sys.stderr):
            yield None
    else:
        yield None


def _answered(session: Session, place: Place, target: Any, lines: TextIO | None) -> Reply:
    """Print the plan, run the trials, write the report."""
    from studies.advise.reply import Reply
    from studies.command_line import progress
    from studies.command_line.check import head
    from studies.records.frames import read_results
    from studies.report.evidence import gather
    from studies.report.report import newest_report

    print(head(session.study), flush=True)
    print("\n".join(_plan(session)), flush=True)
    display = partial(progress.display, lines=lines)
    end = session.run(display, lambda text: print(f"\n{text}", flush=True))
    newest_report(place, session.folder)
    results = read_results(session.folder)
    return Reply(results, gather(results), end, session.more(end), target)


def _plan(session: Session) -> list[str]:
    """The plan for people, before anything is started."""
    from studies.running.estimate import duration

    study, budget = session.study, session.budget
    rounds = session.planned()
    trials = [trial for each in rounds for trial in each.trials]
    data = study.data
    assert data is not None
    height, width, _ = data.image_shape
    if not trials:
        return ["plan: nothing is left to run in this time"]
    sizes = sorted({trial.size for trial in trials})
    seeds = max(trial.seed for trial in trials) + 1
    steps = sorted({trial.recipe.steps for trial in trials})
    return [
        f"plan, for {duration(budget.seconds)} from the start, of which {duration(budget.elapsed)} are "
        f"over: {_arms(study)}, on images of {width}x{height}",
        f"  up to {len(trials)} trials: {', '.join(f'{n:,}' for n in sizes)} training images under up "
        f"to {seeds} seeds, {steps[0]:,} to {steps[-1]:,} steps each, whatever the budget",
        *([f"  {session.resized}"] if session.resized else []),
        "  those that would not end in time, or could not change the verdict any more, are left out",
        f"  {session.estimated()} It is corrected as trials end.",
    ]


def _arms(study: Study) -> str:
    """What is trained, from where."""
    arms = study.arms
    scratch = [name for name, arm in arms.items() if arm.pretraining is None]
    tuned = [name for name, arm in arms.items() if arm.pretraining is not None]
    told = f"{' and '.join(scratch)}, trained from scratch"
    return f"{told}, and {' and '.join(tuned)}, fine-tuned" if tuned else told
