"""What a report needs of a results folder: the study, its records, and facts common to them."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from studies.analysis.by_size import BALANCED, TOP1, Source, means_by_size
from studies.analysis.effects import Change
from studies.analysis.undertrained import course
from studies.records.arms import ReportedArm, changes_of, name_of, pairs_of, reported_arms
from studies.records.axis import COMPUTE, Axis, Place, axis_of, compute_of, lengths
from studies.records.kept import KeptOutcomes
from studies.records.store import ResultsStore
from studies.study.file import read_resolved
from studies.study.study import STANDARD

if TYPE_CHECKING:
    from studies.study.described import ResolvedData
    from studies.study.study import Study

Record = dict[str, Any]

_COLUMNS = (
    *("trial_id", "model", "size", "seed", "backend", "flops", "params", "steps", "best_step"),
    *("seconds", "images_per_second", "peak_memory"),
)  # of the frame, beside metrics
SEED_DRAWS = 2  # the schema from which a seed has a draw of its own, and outcomes are kept


@dataclass(frozen=True)
class Results:
    """A results folder as read.

    Attributes:
        study: the validated study.
        done: records of its finished trials with the standard evaluation, in the study's order. In these
            and all others `model` is the reported arm's name.
        extras: records of its finished further evaluations.
        failed: records of its failed trials.
        planned: how many trials the study has; of one that goes in rounds, as `advise` does, those that
            were run.
        foreign: records that belong to none of its trials (of another protocol, for instance).
        problems: lines of the records' file that were passed over.
        frame: one row a finished trial with the standard evaluation: which it is, what it cost, and a
            column a metric.
        one_draw: whether all seeds share one draw of the images (records of schema 1).
        outcomes: what the trials said of single test images; None where none can have been kept.
        models: names of the trained models that are kept in the folder's models/.
    """

    study: Study
    done: list[Record]
    extras: list[Record]
    failed: list[Record]
    planned: int
    foreign: int
    problems: list[str]
    frame: pd.DataFrame
    one_draw: bool = False
    outcomes: KeptOutcomes | None = None
    models: tuple[str, ...] = ()

    @property
    def num_classes(self) -> int | None:
        return self.study.data.num_classes if self.study.data else None

    @property
    def num_test_images(self) -> int | None:
        """Test images of a trial; None if unknown."""
        return self.study.data.counts.get("test") if self.study.data else None

    @property
    def sizes(self) -> list[int]:
        """Numbers of training images: the study's, or, where it leaves them open, the records'."""
        sizes = self.study.sizes
        return sorted({r["size"] for r in self.done}) if sizes == "auto" else list(sizes)

    @property
    def seeds(self) -> int:
        """Number of seeds: the study's, or, where it leaves it open, the records'."""
        seeds = self.study.seeds
        return len({r["seed"] for r in self.done}) if seeds == "auto" else seeds

    @property
    def shape_text(self) -> str:
        """Image shape such as 28x28x1, or a question mark."""
        data = self.study.data
        return "x".join(str(n) for n in data.image_shape) if data else "?"

    @cached_property
    def source(self) -> Source | None:
        """Outcomes as means and differences take them; None where none were kept."""
        if self.outcomes is None or self.study.data is None:
            return None
        return Source(self.outcomes.marks, pool(self.study.data))

    @cached_property
    def arms(self) -> dict[str, ReportedArm]:
        """What curves, tables and verdicts are of, by name, in the study's order."""
        return reported_arms(self.study)

    @cached_property
    def families(self) -> dict[str, str]:
        """vit, hybrid or resnet, by arm, from the table of variants."""
        return {name: arm.family for name, arm in self.arms.items()}

    @cached_property
    def pairs(self) -> list[tuple[str, str]]:
        """Which arms are compared, the main pair first."""
        return pairs_of(self.study, self.arms, self.flops)

    @cached_property
    def changes(self) -> list[tuple[Change, Change | None]]:
        """Changes of one factor; then those of two compared models, the one less the other."""
        lengths_on_axis = lengths(self.study.factors) if self.axis.name == COMPUTE else ()
        by_arm = changes_of(self.study, self.arms, lengths_on_axis)
        alone: list[tuple[Change, Change | None]] = [
            (change, None) for changes in by_arm.values() for change in changes
        ]
        return alone + [
            (one, other)
            for a, b in self.pairs
            for one in by_arm.get(a, [])
            for other in by_arm.get(b, [])
            if one.factor == other.factor and one.model != other.model
        ]

    @cached_property
    def axis(self) -> Axis:
        """What curves are drawn over."""
        return axis_of(self.study)

    @cached_property
    def places(self) -> dict[tuple[str, int], Place]:
        """Where results stand in figures, by arm and number of training images."""
        found: dict[tuple[str, int], Place] = {}
        for r in self.done:
            key = (r["model"], r["size"])
            found.setdefault(key, self.axis.place(self.arms[key[0]], key[1], compute_of(r)))
        return found

    @property
    def finished(self) -> int:
        """Number of finished trials, of all evaluations."""
        return len(self.done) + len(self.extras)

    @cached_property
    def flops(self) -> dict[str, float | None]:
        """Forward FLOPs of an image, by arm, from the records."""
        return self._by_model("flops")

    @cached_property
    def params(self) -> dict[str, float | None]:
        """Number of parameters, by arm, from the records."""
        return self._by_model("params")

    @property
    def shots(self) -> list[int]:
        """Numbers of labelled images a class with few-shot results, ascending."""
        columns = [c for c in self.frame.columns if c.startswith("fewshot_")]
        numbers = [c.removeprefix("fewshot_") for c in columns if self.frame[c].notna().any()]
        known = [number for number in numbers if re.fullmatch("[1-9][0-9]{0,8}", number)]
        return sorted(int(number) for number in known)

    def on_several_backends(self) -> list[tuple[str, int, int]]:
        """Trials (model, size, seed) finished on more than one backend; most backends first."""
        counts = Counter((r["model"], r["size"], r["seed"]) for r in self.done)
        shared = [key for key, count in counts.items() if count > 1]
        order = list(self.arms)
        return sorted(shared, key=lambda k: (-counts[k], -k[1], order.index(k[0]), k[2]))

    def values(self, key: str) -> dict[str, int]:
        """The different values of a field of the finished records, with how many have each."""
        found = Counter(str(r[key]) for r in self.done if r.get(key) is not None)
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    def versions(self) -> dict[str, list[str]]:
        """Versions of each package that the finished trials ran with."""
        found: dict[str, set[str]] = {}
        for record in self.done:
            for package, version in (record.get("versions") or {}).items():
                found.setdefault(package, set()).add(str(version))
        return {package: sorted(found[package]) for package in sorted(found)}

    def _by_model(self, key: str) -> dict[str, float | None]:
        found: dict[str, float | None] = dict.fromkeys(self.arms)
        for record in self.done:
            if record.get(key) is not None:
                found[record["model"]] = record[key]
        return found


def pool(data: ResolvedData) -> int:
    """How many images a seed draws its training images from.

    A split that the data lack is cut from the same images anew by every seed.
    """
    drawn = [split for split in data.counts if split == "train" or split not in data.official]
    return sum(data.counts[split] for split in drawn)


def read_results(folder: str | os.PathLike[str]) -> Results:
    """Reads study.toml and trials.jsonl.

    Records of schema 1 (all seeds shared one draw of the images) are taken where there are no
    others, and never with others.

    Raises:
        UsageError: there is no readable study.toml, or the records are of a newer version.
    """
    folder = Path(folder).expanduser()
    study = read_resolved(folder)
    arms = study.arms
    store = ResultsStore(folder / "trials.jsonl")
    old: dict[str, Record] = {}
    new: dict[str, Record] = {}
    for record in store.records(digest=course):
        of_its_kind = old if record.get("schema", 1) < SEED_DRAWS else new
        of_its_kind[record["trial_id"]] = record
    if study.data:
        ids = [trial.trial_id for trial in study.each_trial(study.data)]
        ours = [new[id_] for id_ in ids if id_ in new]
        one_draw = bool(not ours and old)
        if one_draw:
            # Ids were made in another way then; a folder held records of one recipe alone.
            places = {_place(record): record for record in old.values()}
            trials = study.each_trial(study.data)
            wanted = [(t.model.name, t.model.base, t.size, t.seed, t.backend) for t in trials]
            ours = [places[place] for place in wanted if place in places]
        planned = len(ours) if study.rounds else len(ids)
    else:  # a study file that `run` did not write: take what fits it
        one_draw = not new
        ours = [r for r in (new or old).values() if r.get("model") in arms]
        planned = len(ours)
    foreign = len(old) + len(new) - len(ours)
    for record in ours:
        record["model"] = name_of(record, arms)
    finished = [r for r in ours if r.get("status") == "done"]
    failed = [r for r in ours if r.get("status") != "done"]
    done = [r for r in finished if r.get("evaluation") in (None, STANDARD)]
    frame = _frame(done)
    # A metric that a trial could not measure is null in its record: a number column all the same.
    for column in {key for r in done for key in (r.get("metrics") or {})}:
        frame[column] = pd.to_numeric(frame[column], errors="coerce")
    return Results(
        study=study,
        done=done,
        extras=[r for r in finished if r.get("evaluation") not in (None, STANDARD)],
        failed=failed,
        planned=planned,
        foreign=foreign,
        problems=store.problems,
        frame=frame,
        one_draw=one_draw,
        outcomes=None if one_draw else _kept(folder, done, study.data),
        models=tuple(sorted(path.name for path in (folder / "models").glob("[!.]*.keras"))),
    )


def _frame(done: Sequence[Record]) -> pd.DataFrame:
    """One row a record: which trial it is of, what it cost, and its metrics."""
    # Column by column: rows of a hundred thousand records would take a hundred megabytes more.
    columns = {
        name: [record.get(name, np.nan) for record in done]
        for name in _COLUMNS
        if any(name in record for record in done)
    }
    metrics = [record.get("metrics") or {} for record in done]
    for name in dict.fromkeys(name for each in metrics for name in each):
        columns[name] = [each.get(name, np.nan) for each in metrics]
    frame = pd.DataFrame(columns)
    for column in ("model", "size", "seed", "backend", TOP1):
        if column not in frame:
            frame[column] = pd.Series(dtype=float if column == TOP1 else object)
    return frame


def _place(record: Record) -> tuple[Any, ...]:
    """Where a record stands in a study's grid."""
    return tuple(record.get(key) for key in ("model", "base", "size", "seed", "backend"))


def _kept(folder: Path, done: Sequence[Record], data: ResolvedData | None) -> KeptOutcomes:
    trials: dict[tuple[str, str, int], list[str]] = {}
    for r in done:
        trials.setdefault((r["model"], r["backend"], r["size"]), []).append(r["trial_id"])
    seeds = {r["trial_id"]: r["seed"] for r in done}
    return KeptOutcomes(folder, trials, seeds, data.num_classes if data else None)


def summary_frame(results: Results, level: float = 0.9) -> pd.DataFrame:
    """One row a model, backend and size: means and intervals of all metrics, costs.

    Columns:
        `model`, `backend`, `size` (training images), `seeds`, how many there are.
        `test_top1` and `test_balanced`, means over seeds of shares in [0, 1], each NAME with `NAME_sd`,
        the standard deviation over seeds, and `NAME_low` and `NAME_high`, the interval at the given level;
        `interval`, what these intervals hold ("none" where there is none: of one seed without outcomes); the
        same of `val_top1` and `fewshot_5` and such, over seeds alone. `test_ece`, the calibration error,
        where outcomes were kept; `test_loss`, mean, nats.
        `flops`, forward, of one image; `params`, number of weights; `steps`; and means over seeds of
        `best_step`, `seconds`, of the whole trial, and `images_per_second`, in training.

    Example:
        >>> summary_frame(read_results("runs/data-scale"), level=0.95)
    """
    frame, source = results.frame, results.source
    keys = ["model", "backend", "size"]
    tests = results.num_test_images
    base = means_by_size(frame, TOP1, level, source, tests)
    table = _named(base, TOP1).rename(columns={"n": "seeds"})
    errors: list[float | None] = [None] * len(table)
    if source is not None and len(table):
        assert results.outcomes is not None
        errors = [
            results.outcomes.calibration_error(m, b, int(s))
            for m, b, s in table[keys].itertuples(index=False)
        ]
    table["interval"] = [
        _held(int(seeds), error is not None)
        for seeds, error in zip(table["seeds"], errors, strict=True)
    ]
    if source is not None and len(table):
        table["test_ece"] = errors
    metrics = [BALANCED, "val_top1", *(f"fewshot_{shots}" for shots in results.shots)]
    for metric in metrics:
        more = means_by_size(frame, metric, level, source, tests).drop(columns="n")
        if len(more):
            table = table.merge(_named(more, metric), on=keys, how="left")
    costs = ["flops", "params", "steps", "test_loss", "best_step", "seconds", "images_per_second"]
    costs = [column for column in costs if column in frame]
    if len(table) and costs:
        means = frame.groupby(keys)[costs].mean().reset_index()
        table = table.merge(means.astype({"size": int}), on=keys, how="left")
    whole = [c for c in ("flops", "params", "steps") if c in table and table[c].notna().all()]
    order = list(results.arms)
    table = table.sort_values(
        keys, key=lambda c: c.map(order.index) if c.name == "model" else c
    ).reset_index(drop=True)
    return table.astype(dict.fromkeys(whole, int)).round(6)


def _held(seeds: int, outcomes: bool) -> str:
    """What an interval holds."""
    if seeds < 2:
        return "test images alone" if outcomes else "none"
    return "seeds and test images" if outcomes else "seeds alone"


def _named(means: pd.DataFrame, metric: str) -> pd.DataFrame:
    ends = {end: f"{metric}_{end}" for end in ("sd", "low", "high")}
    return means.rename(columns={"mean": metric} | ends)
