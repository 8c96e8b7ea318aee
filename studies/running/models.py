"""Trained models where one looks for them: RUN/models/, with what it takes to use each beside it.

A trial leaves its model among its checkpoints, whose folders have no names for people. From there it is
linked to `models/<model>-<size>-seed<n>-<backend>.keras` (of a fine-tuned one the size is that of both
trainings, such as 10000+500); a `.json` of the same name holds the class
names and how images are prepared. Which models are kept follows from the records alone, so that a run
that was killed before it had linked some does so when it goes on.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from studies.executors import file_stem
from studies.machine.files import remove_leftovers, replace, replaced
from studies.records.checkpoints import MODEL, checkpoint_folder, checkpoint_name
from studies.records.place import Place
from studies.records.store import Record
from studies.study.described import ResolvedData
from studies.study.study import Study
from studies.study.trial import Trial

FOLDER = "models"
WEIGHT = 4  # bytes
SPARE = 100_000  # bytes of a model's file that are not weights, about


def keep_models(
    study: Study,
    folder: Path,
    place: Place,
    trials: Iterable[Trial],
    records: Mapping[str, Record],
) -> list[Path]:
    """Link the models that a study keeps into its folder, and take out what they replace.

    Args:
        study: resolved; its `keep_models` says which.
        folder: of the study.
        place: where the checkpoints lie.
        trials: of the study, or some of them, which then are compared with each other alone.
        records: the latest of each trial, by trial_id.

    Returns:
        The models' files.
    """
    assert study.data is not None
    if study.keep_models == "none":
        return []
    done = (t for t in _models(trials) if records.get(t.trial_id, {}).get("status") == "done")
    chosen: dict[Any, Trial] = {}
    replaced: dict[Any, set[str]] = {}
    for trial in done:
        key = trial.trial_id if study.keep_models == "all" else _group(trial)
        rivals = [chosen[key], trial] if key in chosen else [trial]
        chosen[key] = max(rivals, key=lambda each: _rank(each, records[each.trial_id]))
        replaced.setdefault(key, set()).update(_name(t) for t in rivals if t is not chosen[key])
    kept = []
    paths = {key: folder / FOLDER / f"{_name(trial)}.keras" for key, trial in chosen.items()}
    sources = {key: checkpoint_folder(place.path, trial) / MODEL for key, trial in chosen.items()}
    lacking = [key for key in chosen if not paths[key].exists() and not sources[key].exists()]
    place.fetch(*(checkpoint_name(chosen[key], MODEL) for key in lacking))
    for key, trial in chosen.items():
        path, source = paths[key], sources[key]
        # Where its checkpoints were removed, what was linked before stays.
        if source.exists() and not _same(source, path):
            _write(path.with_suffix(".json"), _card(study.data, trial, records[trial.trial_id]))
            _link(source, path)
        if not path.exists():
            continue  # a former best is the best that there is
        kept.append(path)
        for name in replaced[key] - {path.stem}:
            former = folder / FOLDER / f"{name}.keras"
            former.unlink(missing_ok=True)
            former.with_suffix(".json").unlink(missing_ok=True)
    return kept


class ModelKeeper:
    """Keeps the models of a study whose trials end one after the other.

    Each is compared with the best one so far, not with all that there are.

    Args:
        study, folder, place, records: as of `keep_models`, as a run finds them, who alone writes there.
    """

    def __init__(
        self, study: Study, folder: Path, place: Place, records: Mapping[str, Record]
    ) -> None:
        assert study.data is not None
        self._place = (study, folder, place)
        self._best: dict[tuple[str, str], tuple[Trial, Record]] = {}
        remove_leftovers(folder / FOLDER)
        keep_models(*self._place, self._compared(study.each_trial(study.data), records), records)

    def ended(self, trial: Trial, record: Record) -> None:
        """Take note of the record that a trial has left."""
        before = self._best.get(_group(trial))
        both = [(trial, record), *([before] if before else [])]
        keep_models(*self._place, [each for each, _ in both], {t.trial_id: r for t, r in both})
        self._compare(trial, record)

    def _compared(self, trials: Iterable[Trial], records: Mapping[str, Record]) -> Iterator[Trial]:
        for trial in trials:
            self._compare(trial, records.get(trial.trial_id, {}))
            yield trial

    def _compare(self, trial: Trial, record: Record) -> None:
        if trial.extra is None and record.get("status") == "done":
            before = self._best.get(_group(trial))
            if before is None or _rank(trial, record) > _rank(*before):
                self._best[_group(trial)] = (trial, record)


def number_kept(study: Study, trials: Sequence[Trial]) -> dict[str, int]:
    """How many models of each name a study keeps once it is done."""
    kept = {"none": [], "all": list(_models(trials))}.get(study.keep_models or "best")
    if kept is None:
        kept = list({(t.model.name, t.backend): t for t in _models(trials)}.values())
    return {name: sum(t.model.name == name for t in kept) for name in study.arms}


def model_bytes(params: int) -> int:
    """Bytes of one model's file, about."""
    return WEIGHT * params + SPARE


def _models(trials: Iterable[Trial]) -> Iterator[Trial]:
    """One trial of each model: further evaluations are of the same."""
    return (trial for trial in trials if trial.extra is None)


def _group(trial: Trial) -> tuple[str, str]:
    """Trials of which the best one's model is kept have it in common."""
    return trial.model.name, trial.backend


def _rank(trial: Trial, record: Record) -> tuple[float, ...]:
    """The largest is the best: by size, then by validation accuracy.

    A model chosen by its test accuracy would look better than it is.
    """
    metrics = record.get("metrics") or {}
    accuracy, loss = metrics.get("val_top1") or 0.0, metrics.get("val_loss")
    before = trial.start.size if trial.start is not None else 0
    worse = loss if loss is not None else float("inf")
    return (before, trial.size, accuracy, -worse, -trial.seed)


def _card(data: ResolvedData, trial: Trial, record: Record) -> dict[str, Any]:
    """What one needs to use the model, and where it comes from."""
    return {
        "class_names": list(data.class_names),
        "image_shape": list(trial.image_shape),  # (H, W, C)
        "fit": trial.reading.fit,  # how images of other proportions are made to fit
        "scramble": trial.recipe.scramble,  # side in pixels of the cells that are permuted, by the seed
        "value_range": [-1, 1],  # of the pixels, for 0 to 255
        "output": "logits",
        "model": trial.model.name,
        "base": trial.model.base,
        "pretraining": record.get("pretraining"),
        "overrides": trial.model.overrides,
        "study": record["study"],
        "dataset": trial.dataset,
        "fingerprint": trial.data_fingerprint,
        "size": trial.size,
        "seed": trial.seed,
        "backend": trial.backend,
        "trial_id": trial.trial_id,
        "metrics": record.get("metrics") or {},
    }


def _name(trial: Trial) -> str:
    size = str(trial.size) if trial.start is None else f"{trial.start.size}+{trial.size}"
    return f"{file_stem(trial.model.name)}-{size}-seed{trial.seed}-{trial.backend}"


def _same(source: Path, path: Path) -> bool:
    """Whether a model is linked, or copied, already."""
    if not path.exists() or not path.with_suffix(".json").exists():
        return False
    there, here = source.stat(), path.stat()
    return (there.st_size, there.st_mtime_ns) == (here.st_size, here.st_mtime_ns)


def _link(source: Path, path: Path) -> None:
    """Give a file a second name, or copy it where that is impossible."""
    with replaced(path, durable=True) as beside:
        try:
            os.link(source, beside)
        except OSError:
            shutil.copy2(source, beside)


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    replace(path, json.dumps(content, indent=1).encode() + b"\n", durable=True)
