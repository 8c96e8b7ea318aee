"""What `plan` and `status` print."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from studies.command_line.progress import outcome
from studies.errors import UsageError
from studies.records.store import ResultsStore
from studies.running.estimate import Estimator, duration
from studies.running.runner import Plan
from studies.study.file import read_resolved


def plan_table(plan: Plan, estimator: Estimator, workers: int, retry_failed: bool = False) -> str:
    """The trials of a plan, what they cost and what is done, as text."""
    study = plan.study
    missing = plan.missing(retry_failed)
    rows = []
    for trial in plan.trials:
        cost = plan.costs[trial.model.name]
        record = plan.records.get(trial.trial_id, {})
        rows.append(
            [
                trial.model.name,
                str(trial.size),
                str(trial.seed),
                trial.backend,
                f"{cost.flops / 1e6:.1f}",
                f"{cost.params:,}",
                duration(estimator.seconds(trial, cost)),
                record.get("status", "-"),
            ]
        )
    header = ["model", "size", "seed", "backend", "MFLOPs", "parameters", "time", "state"]
    shape = "x".join(str(length) for length in study.data.image_shape) if study.data else "?"
    done = sum(row[-1] == "done" for row in rows)
    failed = sum(row[-1] == "failed" for row in rows)
    left = estimator.total(missing, plan.costs, workers)
    lines = [
        ": ".join(filter(None, (study.name, study.question))),
        f"data: {study.dataset}, images {shape}; {study.recipe.steps} steps of batches of "
        f"{study.recipe.batch_size}; results: {plan.folder}",
        "",
        *_aligned([header, *rows]),
        "",
        f"{len(rows)} trials, {done} done, {failed} failed, {len(missing)} to run; "
        f"about {duration(left)} with {workers} at a time. "
        + estimator.basis(plan.trials, plan.costs),
    ]
    return "\n".join(lines)


def status_text(folder: Path) -> str:
    """How much of a results folder's study is done, and what failed, as text."""
    study = read_resolved(folder)
    store = ResultsStore(folder / "trials.jsonl")
    records = {record["trial_id"]: record for record in store.records()}
    if study.data is None:
        raise UsageError(f"{folder / 'study.toml'} lacks its data; run the study again")
    trials = study.trials(study.data)
    found = [(trial, records[trial.trial_id]) for trial in trials if trial.trial_id in records]
    failures = [(trial, record) for trial, record in found if record.get("status") != "done"]
    lines = [f"{study.name}: {len(found) - len(failures)} of {len(trials)} trials done"]
    if failures:
        lines[0] += f", {len(failures)} failed"
        lines += [f"  {trial.label}: {outcome(record)}" for trial, record in failures]
    lines += [f"  note: {problem}" for problem in store.problems]
    return "\n".join(lines)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    words = {0, 3, 7}  # columns of words stand left, numbers right
    return [
        "  ".join(
            cell.ljust(width) if column in words else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    ]
