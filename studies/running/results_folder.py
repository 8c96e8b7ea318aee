"""A results folder: what may be written to it, by whom, and which studies belong together.

Layout: study.toml, trials.jsonl (raw); summary.csv, report.md, report.html, figures/ (derived);
outcomes/; models/; logs/; running.json and .lease/ while a run is at work.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from studies.errors import UsageError
from studies.machine.files import replace
from studies.records.place import unwritable
from studies.study.chain import Pretraining
from studies.study.entries import ModelEntry
from studies.study.factors import Level
from studies.study.file import to_toml
from studies.study.study import EvaluationEntry, Study

_OWN = ("figures", "logs", "models", "outcomes")
# Settings that all trials of a folder share, with their names for people.
_ONE_OF_ALL = {
    "design": "design",
    "number of devices": "devices",
    "model_parallel": "model_parallel",
    "device_processes": "device_processes",
}
_ADVICE = "choose another folder with --results or another name with --name"


def continued(old: Study, new: Study, folder: Path) -> Study:
    """A study that goes on in a results folder: what it leaves open is what the folder has.

    Args:
        old: the folder's.
        new: from `studies.study.file.resolve`, which tells what was named.
        folder: of the results.

    Raises:
        UsageError: it is of another data set or image size than the folder's.
    """
    _refuse_other_data_set(old, new, folder)
    given = new.reading.model_dump(exclude_unset=True)
    unasked = [module for module in old.reading.imports if module not in new.reading.imports]
    if unasked and "imports" not in given:  # a results folder, too, may be anybody's
        raise UsageError(
            f"the results in {folder} were made with the module {unasked[0]!r}, whose code would run: if "
            f"you trust it, say so with --import {unasked[0]}"
        )
    new = new.model_copy(update={"reading": old.reading.model_copy(update=given)})
    if new.keep_models is None:
        new = new.model_copy(update={"keep_models": old.keep_models})
    if old.data is None:
        return new
    height, width, channels = old.data.image_shape
    if new.image_size and (new.image_size, new.image_size) != (height, width):
        asked = _times((new.image_size, new.image_size, channels))
        _refuse("image size", _times(old.data.image_shape), asked, folder)
    update: dict[str, Any] = {"image_size": old.image_size}
    for field in ("sizes", "seeds", "backends"):
        if field not in new.model_fields_set or getattr(new, field) == "auto":
            update[field] = getattr(old, field)
    if old.pretraining and new.pretraining and "pretraining" not in new.model_fields_set:
        sizes = {"sizes": old.pretraining.sizes}
        update["pretraining"] = new.pretraining.model_copy(update=sizes)
    return _with_models(old, new, folder).model_copy(update=update)


def _with_models(old: Study, new: Study, folder: Path) -> Study:
    """The new study with the folder's models, where none are named; what is set of one holds for it.

    Raises:
        UsageError: pairs are named of models that are not among them.
    """
    if "models" in new.model_fields_set:
        return new
    models = {name: new.models.get(name, entry) for name, entry in old.models.items()}
    models |= {name: entry for name, entry in new.models.items() if entry.model_fields_set}
    if models.keys() == new.models.keys():
        return new
    # What is asked of the study's own models, and which of them are compared, is not said of these.
    others = {"question": "", "expected": "", "pairs": old.pairs}
    update = {field: v for field, v in others.items() if field not in new.model_fields_set}
    kept = new.model_copy(update={**update, "models": models})
    for name in (name for pair in kept.pairs for name in pair):
        if (
            name not in kept.arms and name not in old.arms
        ):  # or nobody could read the folder's study
            raise UsageError(
                f"pairs: {name!r} is not among the results in {folder}, which go on with their own models: "
                f"add its model with --models"
            )
    return kept


def merge(old: Study, new: Study, folder: Path) -> Study:
    """The study of a results folder, extended by more models, sizes, seeds, levels or evaluations.

    Its commands are all that were typed, one a line; they may differ in anything else.

    Raises:
        UsageError: data, recipe, evaluation, pre-training, fine-tuning, factors, or a model, level or
            evaluation of the same name differ.
    """
    _refuse_other_data_set(old, new, folder)
    if old.data and new.data:
        before, after = _times(old.data.image_shape), _times(new.data.image_shape)
        if before != after:
            _refuse("image size", before, after, folder)
    _refuse_difference("reading of the images", old.reading, new.reading, folder)
    if old.data and new.data and old.data.fingerprint != new.data.fingerprint:
        if old.dataset != new.dataset:
            _refuse("data set", old.dataset, new.dataset, folder)
        raise UsageError(
            f"the results in {folder} are of another version of {new.dataset}: its images have "
            f"changed; {_ADVICE}"
        )
    for what in ("recipe", "evaluation"):
        _refuse_difference(what, getattr(old, what), getattr(new, what), folder)
    for name in old.models.keys() & new.models.keys():
        _refuse_other_model(old.models[name], new.models[name], folder)
    for key in old.other_data.keys() & new.other_data.keys():
        if old.other_data[key].fingerprint != new.other_data[key].fingerprint:
            raise UsageError(
                f"the results in {folder} are of another version of {key}: its images have changed; "
                f"{_ADVICE}"
            )
    _refuse_difference("fine-tuning", old.finetuning, new.finetuning, folder)
    evaluations = _merged_evaluations(old, new, folder)
    for what, name in _ONE_OF_ALL.items():
        if getattr(old, name) != getattr(new, name):
            _refuse(what, getattr(old, name), getattr(new, name), folder)
    return new.model_copy(
        update={
            # The new run may be of some models alone, whose question is not the folder's.
            "question": new.question or old.question,
            "expected": new.expected or old.expected,
            "about": new.about or old.about,
            "command": "\n".join(
                dict.fromkeys([*old.command.splitlines(), *new.command.splitlines()])
            ),
            "models": {**old.models, **new.models},
            "pretraining": _merged_pretraining(old, new, folder),
            "factors": _merged_factors(old, new, folder),
            "evaluations": evaluations,
            "files": {**old.files, **new.files},
            "other_data": {**old.other_data, **new.other_data},
            "sizes": tuple(sorted({*_known(old.sizes), *_known(new.sizes)})) or "auto",
            "backends": tuple(dict.fromkeys([*old.backends, *new.backends])),
            "seeds": max([s for s in (old.seeds, new.seeds) if s != "auto"], default="auto"),
        }
    )


def make_folder(folder: Path) -> None:
    """Create a results folder; raise UsageError where nothing can be written to it."""
    for name in _OWN:
        if (folder / name).is_symlink():  # what is written there would come to lie elsewhere
            raise unwritable(str(folder), f"{name} in it is a link: make it a folder, or remove it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise unwritable(str(folder), str(error.strerror)) from error


def write_study(study: Study, folder: Path) -> None:
    """Replace a folder's study.toml, which records need; raise UsageError where that is impossible."""
    try:
        replace(folder / "study.toml", to_toml(study).encode(), durable=True)
    except OSError as error:
        raise unwritable(str(folder), str(error.strerror)) from error


def _refuse(what: str, old: Any, new: Any, folder: Path) -> NoReturn:
    raise UsageError(f"the results in {folder} are of another {what} ({old}, not {new}); {_ADVICE}")


def _refuse_other_data_set(old: Study, new: Study, folder: Path) -> None:
    # Folders and tables are known by what they hold, wherever they lie.
    paths = all(re.match("folder:|csv:", study.dataset) for study in (old, new))
    if old.dataset != new.dataset and not paths:
        _refuse("data set", old.dataset, new.dataset, folder)


def _refuse_difference(what: str, old: Any, new: Any, folder: Path) -> None:
    before, after = old.model_dump(mode="json"), new.model_dump(mode="json")
    for key in before:
        if before[key] != after[key]:
            was, now = ("none" if value == "" else value for value in (before[key], after[key]))
            _refuse(what, f"{key} {was}", now, folder)


def _refuse_other_model(old: ModelEntry, new: ModelEntry, folder: Path) -> None:
    # Files are known by what they hold, wherever they lie.
    for argument in old.files.keys() & new.files.keys():
        if old.files[argument] != new.files[argument]:
            raise UsageError(
                f"the results in {folder} are of other {argument} of model {new.name!r} than "
                f"{new.overrides[argument]} holds now; {_ADVICE}"
            )
    before, after = (
        e.model_copy(update={"overrides": {**e.overrides, **e.files}}) for e in (old, new)
    )
    _refuse_difference(f"model {new.name!r}", before, after, folder)


def _merged_pretraining(old: Study, new: Study, folder: Path) -> Pretraining | None:
    """With the sizes of both; anything else must be the same."""
    if old.pretraining is None or new.pretraining is None:
        if old.pretraining != new.pretraining:
            was, now = ("none" if each.pretraining is None else "one" for each in (old, new))
            _refuse("pre-training", was, now, folder)
        return new.pretraining
    before, after = (_by_content(each) for each in (old, new))
    _refuse_difference("pre-training", before, after, folder)
    sizes, others = old.pretraining.sizes, new.pretraining.sizes
    if sizes != others and "all" in (sizes, others):
        _refuse("pre-training", f"sizes {sizes}", f"sizes {others}", folder)
    both = others if isinstance(others, str) else tuple(sorted({*_known(sizes), *others}))
    return new.pretraining.model_copy(update={"sizes": both})


def _by_content(study: Study) -> Pretraining:
    """The pre-training but for its sizes, its weights told by what the file holds."""
    assert study.pretraining is not None
    weights = study.pretraining.weights
    known = study.files.get(weights or "", weights)
    return study.pretraining.model_copy(update={"weights": known, "sizes": "all"})


def _merged_evaluations(old: Study, new: Study, folder: Path) -> dict[str, EvaluationEntry]:
    """With the evaluations of both; those of the same name are of the models of both."""
    merged = {**old.evaluations, **new.evaluations}
    for name in old.evaluations.keys() & new.evaluations.keys():
        one, other = (each.evaluations[name] for each in (old, new))
        models = tuple(dict.fromkeys(one.models + other.models))
        if not (one.models and other.models):
            models = ()  # one of them is of all models
        before, merged[name] = (each.model_copy(update={"models": models}) for each in (one, other))
        _refuse_difference(f"evaluation {name!r}", before, merged[name], folder)
    return merged


def _merged_factors(old: Study, new: Study, folder: Path) -> dict[str, dict[str, Level]]:
    """With the levels of both; those of the same name must be the same."""
    if list(old.factors) != list(new.factors):
        was, now = (", ".join(each.factors) or "none" for each in (old, new))
        _refuse("factors", was, now, folder)
    merged = {}
    for factor, levels in old.factors.items():
        others = new.factors[factor]
        for name in levels.keys() & others.keys():
            what = f"level {name!r} of factor {factor!r}"
            before, after = _content_of(levels[name], old), _content_of(others[name], new)
            _refuse_difference(what, before, after, folder)
        if new.design == "one_at_a_time" and _first(levels) != _first(others):
            _refuse(f"first level of factor {factor!r}", _first(levels), _first(others), folder)
        merged[factor] = {**levels, **others}
    return merged


def _content_of(level: Level, study: Study) -> Level:
    """A level whose weights are told by what their files hold."""

    def known(table: Any) -> Any:
        weights = table.get("weights") if table else None
        return {**table, "weights": study.files[weights]} if weights in study.files else table

    update = {name: known(getattr(level, name)) for name in ("pretraining", "overrides")}
    return level.model_copy(update=update)


def _first(levels: Mapping[str, Level]) -> str:
    return next(iter(levels))


def _known(sizes: tuple[int, ...] | str) -> tuple[int, ...]:
    return () if isinstance(sizes, str) else sizes


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(str(length) for length in shape)
