"""Factors of a study, and the arms that they make: models under one level of each."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from studies.study.chain import FINETUNING, Finetuning, Pretraining, recipe_with
from studies.study.entries import ModelEntry
from studies.study.recipe import Recipe
from studies.study.strict import Strict, placed

Design = Literal["grid", "one_at_a_time"]


class Level(Strict):
    """What a level of a factor changes of a study; what it leaves out stays.

    Args:
        recipe: fields of the recipe.
        base: of every model.
        overrides: further arguments of `create_model` for every model.
        pretraining: fields of the pre-training; false: none, and the model is trained from scratch.
        finetuning: fields of the fine-tuning.
        models: names of the models that have this level; all by default.
    """

    recipe: dict[str, Any] = Field(default_factory=dict)
    base: Annotated[str, Field(min_length=1)] | None = None
    overrides: dict[str, Any] = Field(default_factory=dict)
    pretraining: Literal[False] | dict[str, Any] = Field(default_factory=dict)
    finetuning: dict[str, Any] = Field(default_factory=dict)
    models: tuple[str, ...] = ()


Factors = Mapping[str, Mapping[str, Level]]


@dataclass(frozen=True)
class Arm:
    """A model under one level of each factor: what a curve, a table's row or a verdict is of.

    Attributes:
        entry: the model as trained, named as the arm is.
        model: the study's entry that it comes from.
        levels: by factor; empty where the study has none.
        recipe: before the model's own learning rate and weight decay.
        pretraining: the training before; None: from scratch.
        finetuning: how the chain's last training goes, where there is one before.
    """

    entry: ModelEntry
    model: str
    levels: Mapping[str, str]
    recipe: Recipe
    pretraining: Pretraining | None
    finetuning: Finetuning

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def from_scratch(self) -> bool:
        """Whether its weights are drawn before they are trained on the study's images."""
        return self.pretraining is None and self.entry.overrides.get("weights") is None


def combinations(factors: Factors, design: Design) -> Iterator[tuple[dict[str, str], list[str]]]:
    """Levels by factor, and those of them that an arm's name tells.

    Of a grid all combinations, of each factor's level told. One at a time: first the base, the first
    level of every factor, which is told by the model's name alone; then each other level by itself.
    """
    if design == "grid":
        for chosen in itertools.product(*factors.values()):
            yield dict(zip(factors, chosen)), list(chosen)
        return
    base = {factor: next(iter(levels)) for factor, levels in factors.items()}
    yield base, []
    for factor, levels in factors.items():
        for level in list(levels)[1:]:
            yield {**base, factor: level}, [level]


def no_arms(models: Iterable[str], factors: Factors) -> str:
    """Why some models have no arm at all, in one sentence: levels are for others."""
    mine = set(models)

    def is_for_others(factor: str) -> bool:
        return all(
            level.models and not mine & {*level.models} for level in factors[factor].values()
        )

    limited = [name for name in factors if any(level.models for level in factors[name].values())]
    factor = next(filter(is_for_others, limited), limited[0])
    named = dict.fromkeys(name for level in factors[factor].values() for name in level.models)
    return (
        f"factors.{factor}: its levels are for {', '.join(named)}, and the models are "
        f"{', '.join(models)}, so that there is nothing to train: choose others with --models, or name "
        f"them in models of a level"
    )


def make_arm(
    entry: ModelEntry,
    chosen: Mapping[str, str],
    told: Sequence[str],
    factors: Factors,
    recipe: Recipe,
    pretraining: Pretraining | None,
    finetuning: Finetuning,
) -> Arm | None:
    """A model under some levels; None where one of them is not for this model.

    Raises:
        ValueError: the levels make a recipe or a pre-training that cannot be.
    """
    name = " ".join((entry.name, *told))
    model = entry.name
    _check_recipes((), recipe, pretraining, finetuning)
    for factor, level in chosen.items():
        change, place = factors[factor][level], ("factors", factor, level)
        if change.models and model not in change.models:
            return None
        with placed(*place, "recipe"):
            recipe = recipe_with(recipe, change.recipe)
        entry = _changed(entry, change)
        if change.pretraining is False:
            pretraining = None
        elif change.pretraining:
            before = pretraining.model_dump(exclude_unset=True) if pretraining else {}
            with placed(*place, "pretraining"):
                pretraining = Pretraining.model_validate(_merged(before, change.pretraining))
        before = finetuning.model_dump(exclude_unset=True)
        with placed(*place, "finetuning"):
            finetuning = Finetuning.model_validate(_merged(before, change.finetuning))
        _check_recipes(place, recipe, pretraining, finetuning)
    return Arm(
        entry.model_copy(update={"name": name}), model, chosen, recipe, pretraining, finetuning
    )


def _check_recipes(
    place: Sequence[str], recipe: Recipe, pretraining: Pretraining | None, finetuning: Finetuning
) -> None:
    """Find what is wrong in the recipes of a chain's trainings, which are made later."""
    if pretraining is not None:
        with placed(*place, "pretraining", "recipe"):
            recipe_with(recipe, pretraining.recipe)
    with placed(*place, "finetuning", "recipe"):
        recipe_with(recipe, FINETUNING, finetuning.recipe)


def _changed(entry: ModelEntry, change: Level) -> ModelEntry:
    """An entry with a level's base and overrides; what those replace is no file of the entry's."""
    files = {name: file for name, file in entry.files.items() if name not in change.overrides}
    return entry.model_copy(
        update={
            "base": change.base or entry.base,
            "overrides": {**entry.overrides, **change.overrides},
            "files": files,
        }
    )


def _merged(before: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    tables = {k: {**before.get(k, {}), **v} for k, v in change.items() if isinstance(v, dict)}
    return {**before, **change, **tables}
