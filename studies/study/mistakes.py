"""What is wrong in a study's content, in one sentence that names the field and what it may be."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from studies.machine.backends import BACKENDS
from studies.study.chain import Finetuning, Pretraining
from studies.study.described import ResolvedData
from studies.study.entries import Architecture, ModelEntry, Reading
from studies.study.factors import Level
from studies.study.fields import written
from studies.study.recipe import Evaluation, Recipe
from studies.study.resources import Resources
from studies.study.study import EvaluationEntry, Study
from studies.study.suggestion import suggestion

_SINGLE = (
    "recipe",
    "evaluation",
    "reading",
    "pretraining",
    "finetuning",
    "resources",
)  # tables of which there is one
# Of each table its class, and how many names come before its fields.
_TABLES: dict[str, tuple[type[BaseModel], int]] = {
    "recipe": (Recipe, 0),
    "evaluation": (Evaluation, 0),
    "reading": (Reading, 0),
    "models": (ModelEntry, 1),
    "at": (Architecture, 1),
    "evaluations": (EvaluationEntry, 1),
    "pretraining": (Pretraining, 0),
    "finetuning": (Finetuning, 0),
    "factors": (Level, 2),
    "resources": (Resources, 0),
    "data": (ResolvedData, 0),
}
# By the beginning of pydantic's error types, such as float_parsing and float_type.
_KINDS = {
    "float": "a number",
    "int": "a whole number",
    "int_from": "a whole number",
    "model": "a table",
    "dict": "a table",
    "string": "text",
    "tuple": "a list",
}


def sentence(errors: Sequence[ErrorDetails]) -> str:
    """The first of pydantic's errors in one sentence: which field, what it may be, what it is."""
    error = errors[0]
    # Of a value that may also be "auto", pydantic names the alternative that it tried.
    location = [part for part in error["loc"] if not re.search(r"^constrained-|\[", str(part))]
    place = ".".join(part for part in location if isinstance(part, str)) or "the study"
    if error["type"] == "value_error":  # our own sentence
        return error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        return _unknown_field([str(part) for part in location])
    if location[0] == "pairs" and error["type"] in ("missing", "too_long"):
        return "pairs: each must be a list of two names"
    if error["type"] == "missing":
        return f"{place} is missing"
    if location[0] == "backends" and error["type"] == "literal_error":
        hint = suggestion(str(error["input"]), BACKENDS)
        return f"unknown backend {error['input']!r}{hint}; allowed: {', '.join(BACKENDS)}"
    if error["type"] == "too_short":
        return f"{place} is empty; give at least one"
    if isinstance(location[-1], int):  # a place in a list tells nobody anything
        place += ": each"
    kind = _KINDS.get(error["type"].rsplit("_", 1)[0])
    if kind:
        whole = not isinstance(location[-1], int)
        auto = whole and any(_is_auto(e) and e["loc"][0] == location[0] for e in errors)
        return f"{place} must be {kind}{' or auto' if auto else ''}, not {error['input']!r}"
    if place == "name":
        return (
            f"name {error['input']!r} cannot be a folder's: use letters, digits and . _ + -, "
            f"beginning with a letter or digit"
        )
    message = error["msg"].replace("Input should be", "must be")
    message = message.replace("greater than or equal to", "at least")
    message = message.replace("less than or equal to", "at most")
    return f"{place} {message[0].lower() + message[1:]}, not {error['input']!r}"


def _is_auto(error: ErrorDetails) -> bool:
    return error["type"] == "literal_error" and error["ctx"]["expected"] == "'auto'"


def _unknown_field(location: list[str]) -> str:
    """The sentence on a field that is not there; a field of another table may be meant."""
    name, fields = location[-1], written(_table_at(location[:-1]))
    elsewhere = {f: f for f in written(Study)}
    elsewhere |= {f"{table}.{f}": f for table in _SINGLE for f in written(_TABLES[table][0])}
    same = [dotted for dotted, field in elsewhere.items() if field == name]
    hint = suggestion(name, fields)
    if same or not hint:
        close = difflib.get_close_matches(name, elsewhere.values(), n=1, cutoff=0.75)
        same = same or [dotted for dotted, field in elsewhere.items() if field in close]
        hint = f" (did you mean {same[0]!r}?)" if same else hint
    return f"unknown field {'.'.join(location)}{hint}; allowed here: {', '.join(fields)}"


def _table_at(place: Sequence[str]) -> type[BaseModel]:
    """The class of the table at a place of the file."""
    table: type[BaseModel] = Study
    keys = iter(place)
    for key in keys:
        table, names = _TABLES.get(key, (Study, 0))
        for _ in range(names):  # of models, factors and levels, which may be called anything
            next(keys, None)
    return table
