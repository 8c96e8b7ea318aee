"""What a trained model is worth: one evaluation a file, found by its name; arrays in, numbers out.

A module of this package is an evaluation if it has

- `READS`: what it needs of the trained model, some of "logits", "features" (the representation that
  the head reads), "attention" and "filters" (both of ViTs alone);
- `Options`: its options, `EvaluationOptions` in which every field has a default;
- `UNITS`: of its numbers, by what their names begin with;
- `LEADS`: which of them a study about this evaluation answers with;
- `evaluate(inputs, options)`: numbers by name, of what `inputs` holds.

Others, such as `accuracy`, are measures that evaluations share. No module here loads a backend: who
has the model makes the arrays.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
from pydantic import BaseModel, ConfigDict

from studies.errors import UsageError

OF_VITS = frozenset({"attention", "filters"})  # which no ResNet has


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the trained model makes of images; None where an evaluation does not read it.

    Args:
        num_classes: of the data set whose images these are.
        labels: (M,) integers of the test images.
        logits: (M, C) of the test images.
        features: (M, D) of the test images.
        support_labels: (N,) integers of the images that a classifier may be fitted to.
        support_features: (N, D) of these.
        attention: weights of all blocks for test images, (L, B, heads, T, T) each, some images at a
            time: all of them at once may not fit into memory. Rows are queries; the T tokens are
            those before the patches and the patches, row by row.
        grid: rows and columns of the patches.
        patch_size: height and width of a patch in pixels of the image.
        position_embeddings: (rows * columns, D), what is added to the patches; None where nothing is.
        filters: (D, values of a patch) of the patch embedding.
    """

    num_classes: int
    labels: np.ndarray | None = None
    logits: np.ndarray | None = None
    features: np.ndarray | None = None
    support_labels: np.ndarray | None = None
    support_features: np.ndarray | None = None
    attention: Iterable[np.ndarray] | None = None
    grid: tuple[int, int] | None = None
    patch_size: tuple[float, float] | None = None
    position_embeddings: np.ndarray | None = None
    filters: np.ndarray | None = None

    @property
    def support(self) -> tuple[np.ndarray, np.ndarray]:
        """Features and labels that a classifier may be fitted to."""
        return _given(self.support_features), _given(self.support_labels)

    @property
    def query(self) -> tuple[np.ndarray, np.ndarray]:
        """Features and labels of the test images."""
        return _given(self.features), _given(self.labels)

    @property
    def classified(self) -> tuple[np.ndarray, np.ndarray]:
        """Logits and labels of the test images."""
        return _given(self.logits), _given(self.labels)


@dataclass(frozen=True)
class Leads:
    """The number that a report opens with, where its study is about this evaluation.

    Args:
        metric: its name.
        words: what it is.
        reference: name of a number of the same kind that it is held against; "": none.
        reference_words: what has that number.
        parts: where `metric_1`, `metric_2`, ... are those of the model's parts, one after the other: what a
            part is called; "": they are not.
    """

    metric: str
    words: str
    reference: str = ""
    reference_words: str = ""
    parts: str = ""


class EvaluationOptions(BaseModel):
    """Options of an evaluation: unknown ones are refused, and what is there does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Evaluation(Protocol):
    """What a module of this package offers."""

    READS: frozenset[str]
    Options: type[EvaluationOptions]
    UNITS: Mapping[str, str]
    LEADS: Leads

    def evaluate(self, inputs: Inputs, options: Any) -> dict[str, float]:
        """Numbers by name."""


def evaluation_names() -> tuple[str, ...]:
    """All evaluations' names."""
    modules = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name for name in modules if hasattr(_module(name), "READS")))


def get_evaluation(name: str) -> Evaluation:
    """The evaluation of a name.

    Raises:
        UsageError: there is none.

    Example:
        >>> knn = get_evaluation("nearest_neighbours")
        >>> knn.evaluate(inputs, knn.Options(k=5))["knn_top1"]
    """
    names = evaluation_names()
    if name not in names:
        raise UsageError(f"there is no evaluation {name!r}: choose among {', '.join(names)}")
    return cast(Evaluation, _module(name))


def unit_of(kind: str, metric: str) -> str:
    """The unit of an evaluation's number, for axes; "" where this version does not know it.

    Example:
        >>> unit_of("attention", "attention_distance_3")
        'pixels'
    """
    units = get_evaluation(kind).UNITS if kind in evaluation_names() else {}
    return next((unit for begin, unit in units.items() if metric.startswith(begin)), "")


def _module(name: str) -> Any:
    return importlib.import_module(f"{__name__}.{name}")


def _given(array: np.ndarray | None) -> np.ndarray:
    if array is None:
        raise ValueError("The inputs lack what the evaluation reads: fill what READS names.")
    return array
