"""What `plan` and `status` print."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from studies.command_line.findings import in_bytes
from studies.command_line.progress import outcome, step
from studies.errors import UsageError
from studies.records.place import Here, Place
from studies.records.store import ResultsStore
from studies.running import now
from studies.running.estimate import Estimator, duration
from studies.running.models import FOLDER as MODELS
from studies.running.models import model_bytes, number_kept
from studies.running.runner import Plan
from studies.shown import printable
from studies.study.file import read_resolved
from studies.study.study import STANDARD
from studies.study.trial import Trial


def plan_table(plan: Plan, estimator: Estimator, workers: int, retry_failed: bool = False) -> str:
    """The trials of a plan, what they cost and what is done, as text."""
    study = plan.study
    missing = plan.missing(retry_failed)
    rows = []
    seconds = estimator.each(plan.trials, plan.costs, anew=True)
    for trial, each in zip(plan.trials, seconds, strict=True):
        cost = plan.costs.of(trial)
        rows.append(
            {
                "model": trial.model.name,
                "pre-training": _pretraining(trial),
                "size": str(trial.size),
                "seed": str(trial.seed),
                "backend": trial.backend,
                "steps": _steps(trial),
                "MFLOPs": f"{cost.flops / 1e6:.1f}",
                "parameters": f"{cost.params:,}",
                "evaluation": trial.extra.name if trial.extra else STANDARD,
                "time": duration(each),
                "state": plan.records.get(trial.trial_id, {}).get("status", "-"),
            }
        )
    # A study without a pre-training or further evaluations has no columns for them.
    spare = {
        "pre-training": all(trial.start is None for trial in plan.trials),
        "evaluation": all(trial.extra is None for trial in plan.trials),
    }
    header = [name for name in rows[0] if not spare.get(name)]
    shape = "x".join(str(length) for length in study.data.image_shape) if study.data else "?"
    done = sum(row["state"] == "done" for row in rows)
    failed = sum(row["state"] == "failed" for row in rows)
    left = estimator.total(missing, plan.costs, workers)
    lines = [
        ": ".join(filter(None, (study.name, study.question))),
        f"data: {study.dataset}, images {shape}; batches of {study.recipe.batch_size}"
        f"{f' on {study.devices} devices' if study.devices > 1 else ''}; "
        f"results: {plan.address}",
        "",
        *_aligned([header, *([row[name] for name in header] for row in rows)]),
        "",
        f"{len(rows)} trials, {done} done, {failed} failed, {len(missing)} to run; "
        f"about {duration(left)} with {workers} at a time. "
        + estimator.basis(plan.trials, plan.costs),
        _disk(plan),
    ]
    return "\n".join(lines)


def _pretraining(trial: Trial) -> str:
    """What a trial starts from, in a few words."""
    start = trial.start
    if start is None:
        return "-"
    if start.objective == "none":
        return start.weights or "-"
    masked = " masked" if start.objective == "masked_patches" else ""
    return f"{start.dataset}{masked} {start.size}"


def _steps(trial: Trial) -> str:
    """Steps of a trial's last training, and how often they are taken."""
    if trial.objective == "none":
        return "0"
    rates = len(trial.recipe.learning_rates)
    return f"{rates} x {trial.recipe.steps}" if rates > 1 else str(trial.recipe.steps)


def _disk(plan: Plan) -> str:
    """What the trained models take on the disk, those that are kept and those among the checkpoints."""
    kept = number_kept(plan.study, plan.trials)
    sizes = {name: model_bytes(cost.params) for name, cost in plan.costs.items()}
    models = sum(number * sizes[name] for name, number in kept.items())
    # Each training leaves its weights among the checkpoints, and each that is evaluated its model, too,
    # where a kept one is linked from.
    trained = {part.training_id: part for trial in plan.trials for part in trial.chain}
    evaluated = {trial.training_id: trial for trial in plan.trials}
    parts = [*trained.values(), *evaluated.values()]
    all_of_them = sum(model_bytes(plan.costs.of(part).params) for part in parts)
    where = plan.place.address(plan.folder / MODELS)
    return (
        f"disk: {sum(kept.values())} models kept in {where}, {in_bytes(models)}; "
        f"checkpoints of all trials {in_bytes(all_of_them)}"
    )


def status_text(folder: Path, place: Place | None = None) -> str:
    """What of a results folder's study is done, what is running and what failed, as text.

    Of a study that goes in rounds, as `advise` does, those trials are planned that were run, and those
    of the round that is at work.

    Args:
        folder: of the results.
        place: where it lies, by default the folder itself.
    """
    place = place or Here(folder.parent)
    study = read_resolved(folder)
    store = ResultsStore(folder / "trials.jsonl")
    records = {r["trial_id"]: r for r in store.records(["status", "reason", "log"])}
    if study.data is None:
        raise UsageError(f"{folder / 'study.toml'} lacks its data; run the study again")
    now_running = now.read(folder, place.storage(folder.name))
    planned = done = retried = 0
    failures = []
    for trial in study.each_trial(study.data):
        record = records.get(trial.trial_id)
        planned += record is not None or not study.rounds
        retried += trial.trial_id in store.retried
        done += record is not None and record.get("status") == "done"
        if record is not None and record.get("status") != "done":
            failures.append((trial, record))
    if study.rounds:
        planned += _to_come(now_running)
    lines = [f"{study.name}: {done} of {planned} trials done"]
    if failures:
        lines[0] += f", {len(failures)} failed"
    if retried:
        lines[0] += f", {retried} retried"
    for trial, record in failures:
        log = f"; log: {place.address(folder)}/{record['log']}" if record.get("log") else ""
        lines.append(printable(f"  {trial.label}: {outcome(record)}{log}"))
    if failures:
        how = "the same command" if study.rounds else "run --retry-failed"
        lines.append(f"  {how} runs what failed again")
    lines += _running(now_running)
    lines += [f"  note: {problem}" for problem in store.problems]
    return "\n".join(lines)


def _to_come(found: now.Found | None) -> int:
    """Trials of a run at work that have not ended; 0 where none is."""
    if found is None or found[1] is None or not found[1].alive:
        return 0
    return max(0, int(found[0]["total"] - found[0]["ended"]))


def _running(found: now.Found | None) -> list[str]:
    if found is None:
        return []
    state, run = found
    passed = max(0.0, time.time() - state["time"])
    ago = duration(passed)
    if run is None or not run.alive:
        who = f" ({run.holder})" if run and run.holder else ""
        return [
            f"not running: the last run{who} was killed, or its machine was, {ago} ago; the same command "
            f"continues where it stopped"
        ]
    counts = [f"{state['ended']} of {state['total']} trials of this run ended"]
    counts += [f"{state[key]} {word}" for key, word in _COUNTED.items() if state.get(key)]
    lines = [
        f"running ({run.holder}), {', '.join(counts)}, about {duration(max(0.0, state['left'] - passed))} "
        f"left, until {_clock(state['time'] + state['left'])}; {ago} ago:"
    ]
    for trial in state["trials"]:
        lines.append(f"  {trial['label']}: {step(trial)}, about {duration(trial['left'])} left")
    if not state["trials"]:
        lines.append("  trials are starting")
    return lines


_COUNTED = {"failed": "failed", "again": "begun again on another machine"}


def _clock(moment: float) -> str:
    """A time of day here, with the day where it is not today."""
    when = time.localtime(moment)
    same = when[:3] == time.localtime()[:3]
    return time.strftime("%H:%M" if same else "%Y-%m-%d %H:%M", when)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    words = {
        column
        for column, name in enumerate(rows[0])
        if name in ("model", "pre-training", "backend", "evaluation", "state")
    }  # columns of words stand left, numbers right
    return [
        "  ".join(
            cell.ljust(width) if column in words else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    ]
