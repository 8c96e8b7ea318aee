"""`scrambled-7:D` as a data set: D, and a recipe that scrambles its images in cells of 7 pixels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from studies.errors import UsageError


def spell_out(raw: dict[str, Any]) -> None:
    """Replace the short form in a study's raw content by what it stands for.

    Args:
        raw: changed in place; the study's own data set, its pre-training's and those of levels.

    Raises:
        UsageError: it is not of the form, or the recipe says something else.
    """
    for entry in _tables(raw.get("evaluations")):
        if is_scrambled(entry.get("dataset")):
            raise UsageError(
                f"the data set {entry['dataset']} of an evaluation: images are scrambled as those that "
                f"the model was trained on; name the data set without scrambled-"
            )
    for table in _places(raw):
        name = table.get("dataset")
        if not isinstance(name, str) or not is_scrambled(name):
            continue
        found = re.fullmatch(r"scrambled-([1-9]\d{0,7}):(.+)", name, re.DOTALL)
        if found is None or is_scrambled(found[2]):
            raise UsageError(
                f"the data set {name!r} is not of the form scrambled-CELL:D, with the side of the cells "
                f"in pixels and a data set, such as scrambled-7:fashion_mnist"
            )
        cell, recipe = int(found[1]), table.setdefault("recipe", {})
        if isinstance(recipe, dict):  # else it is refused where it is validated
            if recipe.get("scramble", cell) not in (0, cell):
                raise UsageError(
                    f"the data set {name} and recipe.scramble {recipe['scramble']} say two things: leave "
                    f"one of them out"
                )
            recipe["scramble"] = cell
        table["dataset"] = found[2]


def is_scrambled(name: object) -> bool:
    """Whether a data set's name is meant to be the short form."""
    return isinstance(name, str) and name.startswith(("scrambled-", "scrambled:"))


def _places(raw: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Tables that have a data set and a recipe."""
    yield raw
    yield from _tables({"": raw.get("pretraining")})
    for levels in _tables(raw.get("factors")):
        for level in _tables(levels):
            yield from _tables({"": level.get("pretraining")})


def _tables(content: Any) -> Iterator[dict[str, Any]]:
    values = content.values() if isinstance(content, dict) else ()
    yield from (value for value in values if isinstance(value, dict))
