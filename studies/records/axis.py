"""What curves are drawn over: images, images of the pre-training, compute, or the levels of a factor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from studies.records.arms import ReportedArm

if TYPE_CHECKING:
    from studies.study.factors import Level
    from studies.study.study import Study

IMAGES, BEFORE, COMPUTE = "images", "pretraining_images", "compute"
_LABELS = {
    IMAGES: "training images",
    BEFORE: "images of the pre-training",
    COMPUTE: "training compute (FLOPs)",
}
_LENGTHS = {"steps", "max_epochs"}  # fields of a recipe that say how long, and nothing else
_PASSES = 3  # forward ones, of a training step: a backward pass costs about two
_WIDE = 10.0  # from this ratio of the ends on an axis of numbers is a log one


@dataclass(frozen=True)
class Place:
    """Where a result stands in a figure.

    Attributes:
        curve: the name of the curve that it is a point of.
        x: a number, or of a level its place from 0; NaN: nowhere, the curve is a line across.
        panel: number of training images, where these are not the axis.
    """

    curve: str
    x: float
    panel: int | None


@dataclass(frozen=True)
class Axis:
    """A study's axis.

    Attributes:
        name: as the study's `x`.
        label: for people, with the unit.
        scale: of numbers "log" or "linear"; of words "levels".
        levels: names of the places 0, 1, ... of words.
    """

    study: Study
    name: str
    label: str
    scale: Literal["log", "linear", "levels"]
    levels: tuple[str, ...] = ()

    def place(self, arm: ReportedArm, size: int, compute: float | None = None) -> Place:
        """The place of an arm's results.

        Args:
            arm: as reported.
            size: number of training images.
            compute: FLOPs of the whole chain; None if unknown.
        """
        if self.name == IMAGES:
            return Place(arm.name, float(size), None)
        if self.name == BEFORE:
            return Place(arm.arm.name, math.nan if arm.start is None else float(arm.start), size)
        if self.name == COMPUTE:
            x = math.nan if compute is None else float(compute)
            return Place(self._curve(arm, lengths(self.study.factors)), x, size)
        level = arm.levels[self.name]
        x = float(self.levels.index(level)) if self.levels else float(level)
        return Place(self._curve(arm, {self.name}), x, size)

    def _curve(self, arm: ReportedArm, axis: set[str]) -> str:
        """The arm's name less the levels of the factors that are the axis."""
        one = self.study.design == "one_at_a_time"
        told = [
            level
            for factor, level in arm.levels.items()
            if factor not in axis and not (one and level == next(iter(self.study.factors[factor])))
        ]
        return " ".join((arm.model, *told)) + arm.name.removeprefix(arm.arm.name)


def compute_of(record: Mapping[str, Any]) -> float | None:
    """FLOPs of all trainings of a record's chain: 3 forward passes for each image seen; None if unknown."""
    if record.get("compute") is not None:
        return float(record["compute"])
    needed = [record.get(key) for key in ("flops", "steps", "batch_size")]
    if record.get("pretraining") or None in needed:
        return None
    return float(_PASSES * math.prod(n for n in needed if n is not None))


def axis_of(study: Study) -> Axis:
    """The axis of a study."""
    if study.x in _LABELS:
        return Axis(study, study.x, _LABELS[study.x], "log")
    levels = tuple(study.factors[study.x])
    numbers = [_number(level) for level in levels]
    if any(number is None for number in numbers):
        return Axis(study, study.x, study.x, "levels", levels)
    known = [number for number in numbers if number is not None]
    wide = min(known) > 0 and max(known) >= _WIDE * min(known)
    return Axis(study, study.x, study.x, "log" if wide else "linear")


def lengths(factors: Mapping[str, Mapping[str, Level]]) -> set[str]:
    """Factors that say how long is trained, and nothing else: on an axis of compute they make points."""
    return {
        factor
        for factor, levels in factors.items()
        if all(
            level.model_dump(exclude_defaults=True).keys() <= {"recipe"}
            and level.recipe.keys() <= _LENGTHS
            for level in levels.values()
        )
    }


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
