"""What a report needs of a results folder: the study, its records, and facts common to them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from studies.analysis import means_by_size
from studies.records.store import ResultsStore
from studies.study.file import read_resolved

if TYPE_CHECKING:
    from studies.study.study import Study

Record = dict[str, Any]


@dataclass(frozen=True)
class Results:
    """A results folder as read.

    Attributes:
        study: the validated study.
        done: records of finished trials of this study, in the study's order.
        failed: records of its failed trials.
        planned: how many trials the study has.
        foreign: records that belong to none of its trials (of another protocol, for instance).
        problems: lines of the records' file that were passed over.
        frame: one row a finished trial, with a column a metric.
    """

    study: Study
    done: list[Record]
    failed: list[Record]
    planned: int
    foreign: int
    problems: list[str]
    frame: pd.DataFrame

    @property
    def num_classes(self) -> int | None:
        return self.study.data.num_classes if self.study.data else None

    @property
    def shape_text(self) -> str:
        """Image shape such as 28x28x1, or a question mark."""
        data = self.study.data
        return "x".join(str(n) for n in data.image_shape) if data else "?"

    @property
    def families(self) -> dict[str, str]:
        """vit or resnet, by model, from the table of variants."""
        from keras_vit.models.variants import get_variant

        found = {}
        for name, entry in self.study.models.items():
            try:
                found[name] = get_variant(entry.base).family
            except ValueError:  # a base that this version no longer knows can still be reported
                found[name] = "other"
        return found

    @property
    def flops(self) -> dict[str, float | None]:
        """Forward FLOPs of an image, by model, from the records."""
        return self._by_model("flops")

    @property
    def params(self) -> dict[str, float | None]:
        """Number of parameters, by model, from the records."""
        return self._by_model("params")

    @property
    def shots(self) -> list[int]:
        """Numbers of labelled images a class with few-shot results, ascending."""
        columns = [c for c in self.frame.columns if c.startswith("fewshot_")]
        numbers = [c.removeprefix("fewshot_") for c in columns if self.frame[c].notna().any()]
        return sorted(int(number) for number in numbers if number.isdigit())

    def on_several_backends(self) -> list[tuple[str, int, int]]:
        """Trials (model, size, seed) finished on more than one backend; most backends first."""
        counts = Counter((r["model"], r["size"], r["seed"]) for r in self.done)
        shared = [key for key, count in counts.items() if count > 1]
        order = list(self.study.models)
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
        found: dict[str, float | None] = dict.fromkeys(self.study.models)
        for record in self.done:
            if record.get(key) is not None:
                found[record["model"]] = record[key]
        return found


def read_results(folder: Path) -> Results:
    """Reads study.toml and trials.jsonl.

    Raises:
        UsageError: there is no readable study.toml, or the records are of a newer version.
    """
    study = read_resolved(folder)
    store = ResultsStore(folder / "trials.jsonl")
    records = {record["trial_id"]: record for record in store.records()}
    if study.data:
        trials = study.trials(study.data)
        ours = [records[t.trial_id] for t in trials if t.trial_id in records]
        planned = len(trials)
    else:  # a study file that `run` did not write: take what fits it
        ours = [r for r in records.values() if r.get("model") in study.models]
        planned = len(ours)
    done = [r for r in ours if r.get("status") == "done"]
    failed = [r for r in ours if r.get("status") != "done"]
    rows = [
        {k: v for k, v in r.items() if not isinstance(v, dict | list)} | (r.get("metrics") or {})
        for r in done
    ]
    needed = ["model", "size", "seed", "backend", "test_top1"]
    frame = pd.DataFrame(rows)
    for column in needed:
        if column not in frame:
            frame[column] = pd.Series(dtype=float if column == "test_top1" else object)
    # A metric that a trial could not measure is null in its record: a number column all the same.
    for column in {key for r in done for key in (r.get("metrics") or {})}:
        frame[column] = pd.to_numeric(frame[column], errors="coerce")
    return Results(study, done, failed, planned, len(records) - len(ours), store.problems, frame)


def summary_frame(results: Results, level: float = 0.9) -> pd.DataFrame:
    """One row a model, backend and size: means and intervals of all metrics, costs.

    Columns: model, backend, size, seeds; test_top1 with _sd, _low, _high (t interval over seeds,
    formed on the logit scale, at the given level); likewise val_top1 and fewshot_*; mean test_loss;
    flops, params, steps; best_step, seconds and images_per_second are means over seeds.
    """
    frame = results.frame
    keys = ["model", "backend", "size"]
    base = means_by_size(frame, "test_top1", level)
    table = base.rename(
        columns={"n": "seeds", "mean": "test_top1", "sd": "test_top1_sd"}
        | {end: f"test_top1_{end}" for end in ("low", "high")}
    )
    for metric in ["val_top1", *(f"fewshot_{shots}" for shots in results.shots)]:
        more = means_by_size(frame, metric, level).drop(columns="n")
        more = more.rename(
            columns={"mean": metric} | {end: f"{metric}_{end}" for end in ("sd", "low", "high")}
        )
        table = table.merge(more, on=keys, how="left")
    costs = ["flops", "params", "steps", "test_loss", "best_step", "seconds", "images_per_second"]
    costs = [column for column in costs if column in frame]
    if len(table) and costs:
        means = frame.groupby(keys)[costs].mean().reset_index()
        table = table.merge(means.astype({"size": int}), on=keys, how="left")
    whole = [c for c in ("flops", "params", "steps") if c in table and table[c].notna().all()]
    order = list(results.study.models)
    table = table.sort_values(
        keys, key=lambda c: c.map(order.index) if c.name == "model" else c
    ).reset_index(drop=True)
    return table.astype(dict.fromkeys(whole, int)).round(6)
