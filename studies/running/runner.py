"""Running a study: everything is checked first, then what is missing is run and recorded.

resolve -> check -> folder -> planned minus finished -> executor -> store -> report
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from studies.executors import Event, Executor, log_name
from studies.machine.backends import check_backends
from studies.machine.files import file_digest
from studies.records.place import Place
from studies.records.store import HISTORY, Record, ResultsStore, images_seen
from studies.running.checks import check_arms, check_trials
from studies.running.costs import Costs, measure_all
from studies.running.lease import held
from studies.running.models import FOLDER as MODELS
from studies.running.models import ModelKeeper
from studies.running.results_folder import continued, make_folder, merge, write_study
from studies.study.chain import Pretraining
from studies.study.factors import Level
from studies.study.file import read_resolved
from studies.study.study import Study
from studies.study.trial import Trial

LOGS = "logs"  # in the results folder; records name their log relative to that
RUNNING = "running.json"  # what the run is doing right now
CURVES = "tensorboard"  # its folder, where curves are wanted


@dataclass(frozen=True)
class Plan:
    """A checked study: nothing of it has been written or run yet.

    Args:
        study: the study as asked for, with its data's description in it.
        place: of all studies' results.
        trials: all trials, in the order in which they are to run.
        costs: of every arm, by its name, and of what is pre-trained.
        records: what the folder holds already, by trial_id.
    """

    study: Study
    place: Place
    trials: list[Trial]
    costs: Costs
    records: Mapping[str, Record]

    @property
    def results(self) -> Path:
        """The folder of all studies, here."""
        return self.place.path

    @property
    def folder(self) -> Path:
        """The study's results folder, here."""
        return self.results / self.study.name

    @property
    def address(self) -> str:
        """The same, wherever it is, for people."""
        return self.place.address(self.folder)

    def missing(self, retry_failed: bool = False) -> list[Trial]:
        """The trials that have no record, or only that of a failure where those are retried."""
        kept = ("done",) if retry_failed else ("done", "failed")
        return [
            trial
            for trial in self.trials
            if self.records.get(trial.trial_id, {}).get("status") not in kept
        ]


@dataclass
class Outcome:
    """How a run went: the records that this run added, without histories, and the failed among all."""

    added: list[Record] = field(default_factory=list)
    failed: list[Record] = field(default_factory=list)


class Display(Protocol):
    """Shows a run's progress."""

    def start(self, plan: Plan, trials: list[Trial], workers: int) -> None: ...
    def event(self, trial: Trial, event: Event) -> None: ...
    def stop(self) -> None: ...


def make_plan(study: Study, place: Place) -> Plan:
    """Check a study against its data, its models and its results folder; write nothing there.

    Args:
        study: as resolved from file and options.
        place: of all studies' results (--results).

    Raises:
        UsageError: the first thing that is wrong, in one sentence.
    """
    from studies.data import default_image_size
    from studies.running.data import prepared

    place.fetch(study.name, whole=False)
    folder = place.path / study.name
    old = read_resolved(folder) if (folder / "study.toml").exists() else None
    if old is not None:
        study = continued(old, study, folder)
    check_backends(study.backends)
    check_arms(study)
    if old is not None and old.data is not None:  # before any data is prepared, which may take long
        merge(old, with_digests(study.resolved(old.data, old.other_data)), folder)
    if study.image_size is None:
        size = default_image_size(study.dataset, study.reading)
        study = study.model_copy(update={"image_size": size})
    found = prepared(study, old)
    data, others = found.own, found.others
    study = with_digests(study.resolved(data, others))
    if old is not None:
        merge(old, study, folder)
    trials = study.trials(data)
    check_trials(trials, [data, *others.values()], found.by_seed)
    costs = measure_all(
        [arm.entry for arm in study.arms.values()],
        data.image_shape,
        data.num_classes,
        [start for trial in trials for start in trial.chain[:-1]],
        study.backends[0],
    )
    store = ResultsStore(folder / "trials.jsonl")
    records = {record["trial_id"]: record for record in store.records(["status"])}
    return Plan(study, place, trials, costs, records)


def run(plan: Plan, executor: Executor, display: Display, retry_failed: bool = False) -> Outcome:
    """Run what is missing of a plan and append its records to the folder's store.

    Raises:
        UsageError: the folder is not writable, or another run is at work in it.
        LeaseLost: another run has taken it over; nothing is written from then on.
        KeyboardInterrupt: handed on; what is finished is recorded, what is not can be continued.
    """
    folder = plan.folder
    make_folder(folder)
    place = plan.place
    with held(place.storage(plan.study.name), plan.address) as lease:
        place.fetch(plan.study.name)
        # Another run may have finished in the meantime: what counts is what is there now.
        resolved = folder / "study.toml"
        store = ResultsStore(folder / "trials.jsonl")
        study = (
            merge(read_resolved(folder), plan.study, folder) if resolved.exists() else plan.study
        )
        write_study(study, folder)
        fields = ("status", "metrics", "pretraining", "study")
        records = {record["trial_id"]: record for record in store.records(fields)}
        plan = Plan(plan.study, place, plan.trials, plan.costs, records)
        outcome = Outcome()
        trials = plan.missing(retry_failed)
        models = ModelKeeper(study, folder, place, records)
        place.store(resolved, folder / MODELS)

        def on_event(trial: Trial, event: Event) -> None:
            lease.check()
            if event["event"] == "record":
                event = {**event, "record": _completed(event["record"], plan, trial)}
                store.append(event["record"])
                place.store(store.path)
                outcome.added.append({**event["record"], HISTORY: []})
                models.ended(trial, event["record"])
                place.store(folder / MODELS)
            display.event(trial, event)
            place.store(folder / RUNNING)
            if event["event"] == "record":
                place.store(folder / CURVES)

        try:
            display.start(plan, trials, executor.workers)
            if trials:
                executor.run(trials, place, folder / LOGS, on_event)
        finally:
            try:
                display.stop()
            finally:
                with contextlib.suppress(OSError):  # what stopped the run says more
                    lease.check()
                    place.store(folder / RUNNING, folder / CURVES)
    told = ("status", "model", "size", "seed", "backend", "reason")
    final = {record["trial_id"]: record for record in store.records(told)}
    outcome.failed = [
        final[trial.trial_id]
        for trial in plan.trials
        if final.get(trial.trial_id, {}).get("status") == "failed"
    ]
    return outcome


def with_digests(study: Study) -> Study:
    """The study with the digests of the weight files that it names, which count by their content.

    Their paths become absolute: trials are other processes, and results outlive the working directory.
    """
    study = _with_files(study)
    models = {}
    for name, entry in study.models.items():
        weights = entry.overrides.get("weights")
        models[name] = entry
        if isinstance(weights, str) and Path(weights).expanduser().exists():
            files = {"weights": file_digest(weights)}
            overrides = {**entry.overrides, "weights": str(Path(weights).expanduser().resolve())}
            models[name] = entry.model_copy(update={"files": files, "overrides": overrides})
    return study.model_copy(update={"models": models})


def _with_files(study: Study) -> Study:
    """Of pre-trainings, and of what levels change."""
    files = dict(study.files)

    def absolute(table: Mapping[str, Any]) -> dict[str, Any]:
        weights = table.get("weights")
        if not isinstance(weights, str) or not Path(weights).expanduser().exists():
            return dict(table)
        path = str(Path(weights).expanduser().resolve())
        files[path] = file_digest(path)
        return {**table, "weights": path}

    def of_level(level: Level) -> Level:
        before = absolute(level.pretraining) if level.pretraining else level.pretraining
        update = {"pretraining": before, "overrides": absolute(level.overrides)}
        return level.model_copy(update=update)

    update: dict[str, Any] = {}
    if study.pretraining is not None and study.pretraining.weights is not None:
        content = absolute(study.pretraining.model_dump(exclude_unset=True))
        update["pretraining"] = Pretraining.model_validate(content)
    update["factors"] = {
        factor: {name: of_level(level) for name, level in levels.items()}
        for factor, levels in study.factors.items()
    }
    return study.model_copy(update={**update, "files": files})


# Fields that a trial knows only once it has come so far.
_MEASURED = (
    *("threads", "cores", "device", "seconds", "images_per_second", "waiting"),
    *("processes", "best_step", "weights_sha256", "learning_rate"),
)


def _completed(record: Record, plan: Plan, trial: Trial) -> Record:
    # Every line has every field: a failed trial may not have come as far as measuring some.
    cost = plan.costs.of(trial)
    unmeasured = dict.fromkeys(_MEASURED)
    costs = {"flops": cost.flops, "params": cost.params}
    lists: Record = {"metrics": {}, "history": [], "rates": {}}
    # Of the chain, whoever trained its parts; other learning rates that were tried are not in it.
    compute = sum(3 * plan.costs.of(part).flops * images_seen(part) for part in trial.chain)
    known = {**costs, "compute": compute, **unmeasured, **lists}
    log = f"{LOGS}/{log_name(trial)}"
    return {**known, **record, "study": plan.study.name, "log": log}
