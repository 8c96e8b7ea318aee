"""Study files: changing by options, validating and writing them.

A study is TOML.  Whatever is wrong in it, or in an option that changes it, is told in one sentence
that names the field and what it may be.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from studies.errors import UsageError
from studies.study.entries import Architecture, ModelEntry, Reading
from studies.study.mistakes import sentence
from studies.study.resources import Resources
from studies.study.scrambled import spell_out
from studies.study.sources import absolute
from studies.study.study import Study
from studies.study.suggestion import suggestion
from studies.study.toml_files import built_in, content_of, read
from studies.study.values import check_values

_OPTIONS = (
    *("command", "name", "dataset", "image_size", "sizes", "seeds", "backends", "devices"),
    "keep_models",
)
_OF_TABLES = {
    "recipe": ("steps",),
    "reading": Reading.model_fields,
    "resources": Resources.model_fields,
}
SCHEMA = 2  # of the study.toml that `run` writes; 1: it did not say which


def resolve(study: str, options: Mapping[str, Any], settings: Sequence[str] = ()) -> Study:
    """Read a study, apply the command line's options to it, and validate the outcome.

    Args:
        study: built-in name or path of a TOML file.
        options: replaces fields of the study: command, name, dataset, image_size, sizes, seeds,
            backends, devices, keep_models, steps (of the recipe), fit, skip_broken, groups and imports
            (of the reading), threads, gpus and memory (of the resources) and models (names); None and
            missing ones leave the file's value, but for its sizes, which another data set does not have.
        settings: `key=value` with dotted keys and TOML values, applied last. What is set of a model
            holds for images of every size, but for `models.NAME.at.SIDE`.

    Returns:
        The study. Its `model_fields_set`, and that of each model, has what was named: by an option or a
        setting, or in a file of one's own, as a results folder keeps the rest. What a built-in study says
        is a proposal to whoever begins with it, and names nothing.

    Raises:
        UsageError: anything is wrong; the sentence names the field and the allowed values.
    """
    file, raw = read(study), read(study)
    for field in _OPTIONS:
        if options.get(field) is not None:
            raw[field] = options[field]
    for table, fields in _OF_TABLES.items():
        for field in fields:
            if options.get(field) is not None:
                _assign(raw, [table, field], options[field], f"--{field}")
    _select_models(raw, options.get("models"))
    for setting in settings:
        key, value = _parse_setting(setting)
        if key[0] in ("data", "files", "other_data"):
            raise UsageError(f"--set {setting}: {key[0]} tells what was found, and is not set")
        entries = raw["models"]
        named = key[1] if key[0] == "models" and len(key) > 1 else None
        if named is not None and isinstance(entries, dict) and named not in entries:
            raise UsageError(
                f"--set {setting}: {named!r} is not among the models of this run "
                f"({', '.join(entries)})"
            )
        for place in _places(raw, key):
            _assign(raw, place, value, f"--set {setting}")
    _drop_unasked(raw, file)
    spell_out(raw)
    keys = [_parse_setting(setting)[0] for setting in settings]
    sized = options.get("sizes") is not None or ["sizes"] in keys
    if raw.get("dataset") != file.get("dataset") and not sized:
        raw.pop("sizes", None)  # the file's are for its own data
    if isinstance(raw.get("dataset"), str):
        # Trials are other processes, and results outlive the directory they were started in.
        raw["dataset"] = absolute(raw["dataset"])
    result = validate(raw, source=study)
    _refuse_unasked_code(file, options.get("imports") or (), study)
    _refuse_unknown_models(result, {**(file.get("models") or {}), **result.models}, study)
    if study in built_in():
        _keep_named(result, options, keys)
    for entry in result.models.values():
        check_base(entry)
    for factor, levels in result.factors.items():
        for name, level in levels.items():
            if level.base is not None:
                check_base(ModelEntry(name=name, base=level.base), f"factors.{factor}.{name}.base")
    return result


def _keep_named(study: Study, options: Mapping[str, Any], keys: Sequence[Sequence[str]]) -> None:
    """Leave in the sets of fields what options and settings name; a setting of one model names that alone."""
    named = {field for field in (*_OPTIONS, "models") if options.get(field) is not None}
    named |= {key[0] for key in keys if key[0] != "models" or len(key) == 1}
    study.model_fields_set.intersection_update(named)
    models = {key[1] for key in keys if key[0] == "models" and len(key) > 1}
    for name, entry in study.models.items():
        if "models" not in named and name not in models:
            entry.model_fields_set.clear()


def _refuse_unasked_code(file: Mapping[str, Any], imports: Sequence[str], study: str) -> None:
    """A file is somebody's: what it would have loaded is loaded once the command line says so too."""
    reading = file.get("reading")
    asked = reading.get("imports", ()) if isinstance(reading, dict) else ()
    unasked = [module for module in asked if module not in imports]
    if unasked:
        raise UsageError(
            f"{study}: reading.imports asks for the module {unasked[0]!r}, whose code would run: if you "
            f"trust it, say so with --import {unasked[0]}"
        )


def _refuse_unknown_models(study: Study, models: Iterable[str], source: str) -> None:
    """A level, or an evaluation, may be for some models: of the file, or of those that are chosen."""
    named = {f"evaluations.{name}": entry.models for name, entry in study.evaluations.items()}
    for factor, levels in study.factors.items():
        named |= {f"factors.{factor}.{name}": level.models for name, level in levels.items()}
    for place, names in named.items():
        for name in names:
            if name not in models:
                raise UsageError(
                    f"{source}: {place}.models: {name!r} is no model of the study"
                    f"{suggestion(name, models)}; choose among {', '.join(models)}"
                )


def read_resolved(folder: Path) -> Study:
    """Read the study.toml that `run` wrote into a results folder."""
    path = folder / "study.toml"
    try:
        return validate(content_of(path), source=str(path), results=True)
    except FileNotFoundError as error:
        raise UsageError(f"{folder} is not a results folder: it has no study.toml") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path}: {getattr(error, 'strerror', error)}") from error


def validate(raw: Mapping[str, Any], source: str, results: bool = False) -> Study:
    """Validate a study's raw content; the first mistake is told in one sentence.

    Args:
        raw: the content.
        source: where it is from, for people.
        results: whether it is that of results, whose names stay as they are.
    """
    try:
        check_values(raw)
    except ValueError as error:
        raise UsageError(f"{source}: {error}") from None
    content = dict(raw)
    schema = content.pop("schema", SCHEMA)
    if not isinstance(schema, int) or schema > SCHEMA:
        raise UsageError(
            f"{source} was written by a newer version (study files of schema {schema}; this one reads "
            f"up to {SCHEMA}): update keras-vit, or choose another --results or --name"
        )
    try:
        return Study.model_validate(content, context={"results": results})
    except ValidationError as error:
        raise UsageError(f"{source}: {sentence(error.errors())}") from None


def check_base(entry: ModelEntry, place: str | None = None) -> None:
    """Raise UsageError unless the table of variants knows the bases; this loads no backend."""
    from keras_vit.models import variants

    for base in (entry.base, *(other.base for other in entry.at.values())):
        try:
            variants.get_variant(base)
        except ValueError as error:
            place = place or ("" if entry.name == entry.base else f"models.{entry.name}.base")
            raise UsageError(f"{place}: {error}" if place else str(error)) from None


def to_toml(study: Study) -> str:
    """Write a study as TOML; `read_resolved` and `validate` read it back equal."""
    content = study.model_dump(mode="json", exclude_none=True)
    for entry in content["models"].values():
        del entry["name"]  # it is the table's key
        entry["at"] = {str(side): other for side, other in entry["at"].items()}
    for entry in content["evaluations"].values():
        del entry["name"]
    if study.pretraining is None and not study.factors:
        del content["finetuning"]  # nothing is fine-tuned
    return tomli_w.dumps({"schema": SCHEMA, **content})


def _drop_unasked(raw: dict[str, Any], file: Mapping[str, Any]) -> None:
    """Take out what a file asks and expects, where data or models are no longer the file's."""
    if all(raw.get(field) == file.get(field) for field in ("dataset", "models")):
        return
    for field in ("question", "expected"):
        if raw.get(field) == file.get(field):  # else it came with an option
            raw.pop(field, None)


def _select_models(raw: dict[str, Any], names: Iterable[str] | None) -> None:
    models = raw.setdefault("models", {})
    if not isinstance(models, dict):
        raise UsageError("models must be tables: [models.NAME] with base and overrides")
    if names is None:
        return
    chosen = {}
    for name in names:
        if name not in models:
            _check_known(name, models)
        chosen[name] = models.get(name, {"base": name})
    raw["models"] = chosen
    if isinstance(raw.get("pairs"), list):  # those of models that are left
        raw["pairs"] = [
            pair
            for pair in raw["pairs"]
            if not _is_pair(pair) or all(_is_of(arm, chosen) for arm in pair)
        ]


def _is_pair(pair: Any) -> bool:
    """Whether it is two names; anything else is refused where it is validated."""
    return isinstance(pair, list) and len(pair) == 2 and all(isinstance(name, str) for name in pair)


def _is_of(arm: str, models: Iterable[str]) -> bool:
    """Whether an arm's name is that of one of some models, with or without levels."""
    return any(arm == model or arm.startswith(f"{model} ") for model in models)


def _check_known(name: str, entries: Mapping[str, Any]) -> None:
    try:
        check_base(ModelEntry(name=name, base=name))
    except (UsageError, ValidationError) as error:
        hint = suggestion(name, entries)
        raise UsageError(
            f"unknown model {name!r}{hint}; choose an entry of the study ({', '.join(entries)}) "
            f"or a name that create_model knows, such as 'ViT-Ti/4' or 'BiT-R50x1'"
        ) from error


def _parse_setting(setting: str) -> tuple[list[str], Any]:
    key, equals, text = setting.partition("=")
    path = [quoted or bare for quoted, bare in re.findall(r'"([^"]*)"|([^."]+)', key.strip())]
    if not equals or not path:
        raise UsageError(f"--set {setting}: expected key=value, such as recipe.steps=400")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        value = text.strip()  # a bare word is text: recipe.schedule=linear
    except ValueError:  # of Python, which reads no more than some thousand digits
        raise UsageError(f"--set {key.strip()}: must be a number of at most 64 bits") from None
    return path, value


def _places(raw: Mapping[str, Any], key: list[str]) -> list[list[str]]:
    """Where a setting goes: that of a model's base or overrides to its forms for larger images too."""
    if key[0] != "models" or len(key) < 3 or key[2] not in Architecture.model_fields:
        return [key]
    entry = raw["models"][key[1]] if isinstance(raw["models"], dict) else None
    forms = entry.get("at") if isinstance(entry, dict) else None
    sides = list(forms) if isinstance(forms, dict) else []
    return [key, *([*key[:2], "at", side, *key[2:]] for side in sides)]


def _assign(raw: dict[str, Any], path: list[str], value: Any, source: str) -> None:
    table = raw
    for depth, key in enumerate(path[:-1]):
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise UsageError(f"{source}: {'.'.join(path[: depth + 1])} is a value, not a table")
    table[path[-1]] = value
