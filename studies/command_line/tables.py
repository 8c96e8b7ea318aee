"""What `plan` and `status` print."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from studies.command_line.findings import in_bytes
from studies.command_line.progress import outcome, step
from studies.errors import UsageError
from studies.records.store import ResultsStore
from studies.running import now
from studies.running.estimate import Estimator, duration
from studies.running.models import model_bytes, number_kept
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
                str(trial.recipe.steps),
                f"{cost.flops / 1e6:.1f}",
                f"{cost.params:,}",
                duration(estimator.seconds(trial, cost)),
                record.get("status", "-"),
            ]
        )
    header = ["model", "size", "seed", "backend", "steps", "MFLOPs", "parameters", "time", "state"]
    shape = "x".join(str(length) for length in study.data.image_shape) if study.data else "?"
    done = sum(row[-1] == "done" for row in rows)
    failed = sum(row[-1] == "failed" for row in rows)
    left = estimator.total(missing, plan.costs, workers)
    lines = [
        ": ".join(filter(None, (study.name, study.question))),
        f"data: {study.dataset}, images {shape}; batches of {study.recipe.batch_size}; "
        f"results: {plan.folder}",
        "",
        *_aligned([header, *rows]),
        "",
        f"{len(rows)} trials, {done} done, {failed} failed, {len(missing)} to run; "
        f"about {duration(left)} with {workers} at a time. "
        + estimator.basis(plan.trials, plan.costs),
        _disk(plan),
    ]
    return "\n".join(lines)


def _disk(plan: Plan) -> str:
    """What the trained models take on the disk, those that are kept and those among the checkpoints."""
    kept = number_kept(plan.study, plan.trials)
    sizes = {name: model_bytes(cost.params) for name, cost in plan.costs.items()}
    models = sum(number * sizes[name] for name, number in kept.items())
    # Each trial leaves its model and its weights among the checkpoints, where a kept one is linked from.
    all_of_them = 2 * sum(sizes[trial.model.name] for trial in plan.trials)
    return (
        f"disk: {sum(kept.values())} models kept in {plan.folder / 'models'}, {in_bytes(models)}; "
        f"checkpoints of all trials {in_bytes(all_of_them)}"
    )


def status_text(folder: Path) -> str:
    """What of a results folder's study is done, what is running and what failed, as text."""
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
    lines += _running(folder)
    lines += [f"  note: {problem}" for problem in store.problems]
    return "\n".join(lines)


def _running(folder: Path) -> list[str]:
    found = now.read(folder)
    if found is None:
        return []
    state, alive = found
    ago = duration(max(0.0, time.time() - state["time"]))
    if not alive:
        return [
            f"not running: the last run was killed, or its machine was, {ago} ago; the same command "
            f"continues where it stopped"
        ]
    lines = [
        f"running, {state['ended']} of {state['total']} trials of this run ended, about "
        f"{duration(state['left'])} left; {ago} ago:"
    ]
    for trial in state["trials"]:
        lines.append(f"  {trial['label']}: {step(trial)}, about {duration(trial['left'])} left")
    if not state["trials"]:
        lines.append("  trials are starting")
    return lines


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    words = {0, 3, 8}  # columns of words stand left, numbers right
    return [
        "  ".join(
            cell.ljust(width) if column in words else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    ]
