"""The results store: an append-only file with one JSON object a line, one line a trial and outcome.

A run may be killed in the middle of a write.  Appending therefore starts a new line first where the
last one is torn, and reading passes over lines that are not whole and says so.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock
from pydantic_core import from_json

from studies.errors import UsageError
from studies.machine.files import TOO_DEEP, stamp
from studies.machine.versions import commit, versions
from studies.records.soundness import is_sound
from studies.study.chain import Finetuning
from studies.study.study import STANDARD
from studies.study.trial import Training, Trial

SCHEMA = 2  # 2: a seed draws its own training images and missing splits; outcomes are kept

Record = dict[str, Any]
HISTORY = "history"  # of a record: what each validation of its training found
_ALIKE = ("versions", "images", "levels", "image_shape", "devices", "pretraining", "finetuning")


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
        # Of the latest reading: one sentence a line passed over, and trials that were run again.
        self.problems: list[str] = []
        self.retried: set[str] = set()

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

    def records(
        self,
        fields: Collection[str] | None = None,
        digest: Callable[[Sequence[Record]], Any] | None = None,
    ) -> list[Record]:
        """The latest record of every trial, in the order in which trials first appeared.

        The file is gone through line by line. Histories, which are most of it, stay there until they are
        asked for, and tables that are equal in many records are one. Afterwards `problems` are of this
        reading, and so is `retried`, if status was asked for.

        Args:
            fields: what is wanted of each record, besides its trial_id; by default everything.
            digest: what is kept of each history, as its `digest`: it need not be read again for that.

        Raises:
            UsageError: a line was written by a newer version of the project, or the file cannot be
                read.
        """
        self.problems, self.retried = [], set()
        latest: dict[str, Record] = {}
        alike: dict[str, Any] = {}
        place = 0
        try:
            stamp(self.path)
            with open(self.path, "rb") as file:
                for number, line in enumerate(file, start=1):
                    begin, place = place, place + len(line)
                    if not line.strip():
                        continue
                    record = self._parse(line)
                    if record is None:
                        problem = f"{self.path}, line {number}: not a whole record, passed over"
                        self.problems.append(problem)
                        continue
                    if latest.get(record["trial_id"], {}).get("status") == "failed":
                        self.retried.add(record["trial_id"])
                    if fields is not None:
                        record = {k: v for k, v in record.items() if k in fields or k == "trial_id"}
                    history = record.get(HISTORY)
                    if isinstance(history, list):
                        kept = digest(history) if digest is not None else None
                        record[HISTORY] = History(self.path, begin, len(history), kept)
                    for name in _ALIKE:
                        if record.get(name) is not None:
                            record[name] = alike.setdefault(repr(record[name]), record[name])
                    latest[record["trial_id"]] = record
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise UsageError(
                f"cannot read {self.path} ({error.strerror}): repair it, or choose another --results "
                f"or --name"
            ) from error
        return list(latest.values())

    def _parse(self, line: bytes) -> Record | None:
        try:
            record = _json(line)
        except ValueError:
            return None
        if not isinstance(record, dict) or not isinstance(record.get("trial_id"), str):
            return None
        schema = record.get("schema", SCHEMA)
        if isinstance(schema, int) and schema > SCHEMA:
            raise UsageError(
                f"{self.path} was written by a newer version (records of schema {schema}; this one "
                f"reads up to {SCHEMA}): update keras-vit, or choose another --results or --name"
            )
        return record if is_sound(record) else None

    @staticmethod
    def _ends_a_line(file: Any) -> bool:
        file.seek(-1, os.SEEK_END)
        return bool(file.read(1) == b"\n")


class History(Sequence[Record]):
    """The validations of a record, read from its line whenever they are asked for.

    Args:
        path: of the store.
        place: where the line begins, in bytes.
        length: number of validations.
        digest: what was made of them when the line was read.
    """

    __slots__ = ("_length", "_path", "_place", "digest")

    def __init__(self, path: Path, place: int, length: int, digest: Any = None) -> None:
        self._path, self._place, self._length, self.digest = path, place, length, digest

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: Any) -> Any:
        return self._read()[index]

    def __iter__(self) -> Iterator[Record]:
        return iter(self._read())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def _read(self) -> list[Record]:
        with open(self._path, "rb") as file:  # lines are never changed, only added
            file.seek(self._place)
            found: list[Record] = _json(file.readline())[HISTORY]
        return found


def new_record(trial: Trial) -> Record:
    """What the record of a trial begins with, however the trial ends: which it is, what runs it."""
    return {**described(trial), "versions": versions(trial.backend), "commit": commit()}


def described(trial: Trial) -> Record:
    """Which trial a record is of."""
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
        "device_count": trial.devices,
        "model_parallel": trial.model_parallel,
        "device_processes": trial.device_processes,
        "steps": trial.recipe.steps,
        "batch_size": trial.recipe.batch_size,
        "images_seen": images_seen(trial),
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


def _json(line: bytes) -> Any:
    """What a line holds, as `json` reads it.

    Raises:
        ValueError: it is not JSON.
    """
    try:
        return from_json(line)  # twice as fast, and gives keys and short texts that are equal once
    except ValueError:
        try:
            return json.loads(line)  # knows half a surrogate pair, which a file's name may have
        except RecursionError:
            raise ValueError(TOO_DEEP) from None


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
