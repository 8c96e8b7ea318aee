"""The results store: an append-only file with one JSON object a line, one line a trial and outcome.

A run may be killed in the middle of a write.  Appending therefore starts a new line first where the
last one is torn, and reading passes over lines that are not whole and says so.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from filelock import FileLock

from studies.errors import UsageError
from studies.machine.files import file_bytes, parsed_json
from studies.machine.versions import commit, versions
from studies.records.soundness import is_sound
from studies.study.chain import Finetuning
from studies.study.study import STANDARD
from studies.study.trial import Training, Trial

SCHEMA = 2  # 2: a seed draws its own training images and missing splits; outcomes are kept

Record = dict[str, Any]


class ResultsStore:
    """Records of trials in one file; the latest of a trial counts.

    Args:
        path: the trials.jsonl file; it need not exist yet.

    Example:
        >>> store = ResultsStore(Path("runs/data-scale/trials.jsonl"))
        >>> store.append({"trial_id": "ab", "status": "done", "metrics": {"test_top1": 0.9}})
        >>> store.records()[0]["status"]
        'done'
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.problems: list[str] = []  # of the latest reading: one sentence a line passed over

    def append(self, record: Record) -> None:
        """Add one record durably: it is on the disk when this returns."""
        if not isinstance(record.get("trial_id"), str):
            raise ValueError("a record needs a trial_id")
        line = json.dumps(_plain({"schema": SCHEMA, **record}), allow_nan=False).encode()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path.with_name(f".{self.path.name}.lock"))
        with lock, open(self.path, "a+b") as file:
            if file.seek(0, os.SEEK_END) and not self._ends_a_line(file):
                line = b"\n" + line
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def records(self) -> list[Record]:
        """The latest record of every trial, in the order in which trials first appeared.

        Raises:
            UsageError: a line was written by a newer version of the project, or the file cannot be
                read.
        """
        self.problems = []
        latest: dict[str, Record] = {}
        try:
            lines = file_bytes(self.path).split(b"\n")
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise UsageError(
                f"cannot read {self.path} ({error.strerror}): repair it, or choose another --results "
                f"or --name"
            ) from error
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            record = self._parse(line)
            if record is None:
                self.problems.append(f"{self.path}, line {number}: not a whole record, passed over")
                continue
            latest[record["trial_id"]] = record
        return list(latest.values())

    def _parse(self, line: bytes) -> Record | None:
        try:
            record = parsed_json(line)
        except ValueError:
            return None
        if not isinstance(record, dict) or not isinstance(record.get("trial_id"), str):
            return None
        schema = record.get("schema", SCHEMA)
        if isinstance(schema, int) and schema > SCHEMA:
            raise UsageError(
                f"{self.path} was written by a newer version (schema {schema}; this one reads up "
                f"to {SCHEMA}): update the checkout, or choose another --results or --name"
            )
        return record if is_sound(record) else None

    @staticmethod
    def _ends_a_line(file: Any) -> bool:
        file.seek(-1, os.SEEK_END)
        return bool(file.read(1) == b"\n")


def new_record(trial: Trial) -> Record:
    """What the record of a trial begins with, however the trial ends: which it is, what runs it."""
    return {
        "schema": SCHEMA,
        "trial_id": trial.trial_id,
        "pretrain_id": trial.pretrain_id,
        "study": trial.study,
        "dataset": trial.dataset,
        "image_shape": list(trial.image_shape),
        "num_classes": trial.num_classes,
        "model": trial.model.name,
        "base": trial.model.base,
        "base_model": trial.base_model or trial.model.name,
        "levels": dict(trial.levels),
        "evaluation": trial.extra.name if trial.extra else STANDARD,
        "objective": trial.objective,
        "pretraining": _pretraining(trial.start),
        "finetuning": _finetuning(trial.finetuning),
        "size": trial.size,
        "seed": trial.seed,
        "backend": trial.backend,
        "steps": trial.recipe.steps,
        "batch_size": trial.recipe.batch_size,
        "images_seen": images_seen(trial),
        "versions": versions(trial.backend),
        "commit": commit(),
    }


def images_seen(training: Training) -> int:
    """Images of a training's steps, at the learning rate that counts; no others that were tried."""
    if training.objective == "none":
        return 0
    return training.recipe.steps * training.recipe.batch_size


def _pretraining(start: Training | None) -> Record | None:
    if start is None:
        return None
    return {
        "training_id": start.training_id,
        "dataset": start.dataset,
        "size": start.size,
        "objective": start.objective,
        "weights": start.weights,
        "steps": 0 if start.objective == "none" else start.recipe.steps,
    }


def _finetuning(finetuning: Finetuning | None) -> Record | None:
    if finetuning is None:
        return None
    rank = finetuning.lora_rank if finetuning.method == "lora" else None
    return {"method": finetuning.method, "lora_rank": rank}


def _plain(value: Any) -> Any:
    """JSON's own types only: NumPy scalars become numbers, and NaN, which JSON has not, null."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
