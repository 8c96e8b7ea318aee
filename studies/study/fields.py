"""Every field of a study file, with its default and what it means: read off the classes themselves."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from studies.evaluation import evaluation_names, get_evaluation
from studies.study.chain import Finetuning, Pretraining
from studies.study.entries import Architecture, ModelEntry, Reading
from studies.study.factors import Level
from studies.study.recipe import Evaluation, Recipe
from studies.study.resources import Resources
from studies.study.study import STANDARD, EvaluationEntry, Study

# The tables of a file, in its order; what is found or derived is not written by people.
TABLES: dict[str, type[BaseModel]] = {
    "": Study,
    "reading.": Reading,
    "recipe.": Recipe,
    "evaluation.": Evaluation,
    "evaluations.NAME.": EvaluationEntry,
    "models.NAME.": ModelEntry,
    "models.NAME.at.SIDE.": Architecture,
    "pretraining.": Pretraining,
    "finetuning.": Finetuning,
    "factors.FACTOR.LEVEL.": Level,
    "resources.": Resources,
}
_DERIVED = {
    *((Study, name) for name in ("data", "files", "other_data", "rounds")),
    *((ModelEntry, name) for name in ("name", "files")),
    (EvaluationEntry, "name"),
}
WIDTH = 100  # columns of a comment

EXAMPLE = """\
dataset = "shapes"  # or "folder:PATH", "csv:FILE", a name of TensorFlow Datasets
sizes = [250, 500, 1000, 2000]  # or "auto"
[recipe]
steps = 1000
[models.vit]
base = "ViT-Ti/4"
overrides = {hidden_size = 64, num_layers = 2, mlp_dim = 256, num_heads = 2}
[models.resnet]
base = "BiT-R50x1"
overrides = {stem = "small", block_counts = [1, 1, 1], width_factor = 0.1875, bottleneck = false, groups = 4}
"""


class FieldOfStudy(NamedTuple):
    """One field: its dotted name, its default as TOML has it (or nothing), and what it means."""

    name: str
    default: str
    meaning: str


def fields() -> Iterator[FieldOfStudy]:
    """All fields that a study file may have, in the order of the file."""
    for prefix, table in TABLES.items():
        meanings = _meanings(table)
        for name, field in table.model_fields.items():
            if name not in written(table) or _is_table(field.annotation):
                continue
            choices = _choices(field.annotation)
            meaning = meanings[name]
            if choices:
                meaning = f"{meaning} One of {', '.join(choices)}."
            yield FieldOfStudy(f"{prefix}{name}", _default(field), meaning)


def written(table: type[BaseModel]) -> list[str]:
    """The fields of a table that people may write; others are found or derived."""
    return [name for name in table.model_fields if (table, name) not in _DERIVED]


def markdown() -> str:
    """The fields as a table for README."""
    rows = [("field", "default", "meaning"), ("---", "---", "---")]
    rows += [(f"`{f.name}`", f"`{f.default}`" if f.default else "", f.meaning) for f in fields()]
    return "\n".join(" | ".join(("", *row, "")).strip() for row in rows)


def kinds() -> Iterator[FieldOfStudy]:
    """The options of every kind of further evaluation, headed by what it measures."""
    for kind in evaluation_names():
        if kind == STANDARD:
            continue
        evaluation = get_evaluation(kind)
        title = (inspect.getdoc(evaluation) or "").partition("\n\n")[0].rstrip(".")
        yield FieldOfStudy(kind, "", f"{title}.")
        meanings = _meanings(evaluation.Options)
        for name, field in evaluation.Options.model_fields.items():
            yield FieldOfStudy(f"{kind}.{name}", _default(field), meanings[name])


def kinds_markdown() -> str:
    """The kinds of further evaluations as a table for README."""
    rows = [("kind, option", "default", "meaning"), ("---", "---", "---")]
    rows += [(f"`{f.name}`", f"`{f.default}`" if f.default else "", f.meaning) for f in kinds()]
    return "\n".join(" | ".join(("", *row, "")).strip() for row in rows)


def template() -> str:
    """A study file to begin with: the example, and below it every field as a comment."""
    lines = [EXAMPLE, "# Every field there is, with its default."]
    table = None
    for field in fields():
        place, _, name = field.name.rpartition(".")
        if place != table:
            table = place
            lines += ["#", f"# In [{place}]:" if place else "# At the top of the file:"]
        lines.append(f"#   {name} = {field.default}" if field.default else f"#   {name}")
        indent = "#       "
        lines += textwrap.wrap(
            field.meaning, WIDTH, initial_indent=indent, subsequent_indent=indent
        )
    return "\n".join(lines) + "\n"


def _meanings(table: type[BaseModel]) -> dict[str, str]:
    """What a class's docstring says of each field, in its section Args."""
    text = inspect.getdoc(table) or ""
    section = re.search(r"^Args:\n((?:    .*\n|\n)*)", text + "\n", re.MULTILINE)
    found = {}
    for entry in re.split(r"\n(?=    \w)", "\n" + section[1]) if section else []:
        names, colon, meaning = entry.strip().partition(": ")
        if colon:
            sentence = " ".join(meaning.split())
            for name in names.split(", "):
                found[name] = sentence[:1].upper() + sentence[1:]
    return found


def _default(field: Any) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined or value is None:
        return ""
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple | list):
        return "[" + ", ".join(f'"{v}"' if isinstance(v, str) else str(v) for v in value) + "]"
    if isinstance(value, dict):
        return "{}"
    return str(value).lower() if isinstance(value, bool) else f"{value}"


def _choices(annotation: Any) -> list[str]:
    """The words that a field may be, where it can be nothing else."""
    if get_origin(annotation) is Literal:
        return [f'"{word}"' for word in get_args(annotation)]
    parts = [_choices(part) for part in get_args(annotation) if part not in (type(None), Ellipsis)]
    return parts[0] if len(parts) == 1 else []


def _is_table(annotation: Any) -> bool:
    """Whether a field is a table, or holds tables, whose own fields are listed."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return True
    return any(_is_table(part) for part in get_args(annotation))
