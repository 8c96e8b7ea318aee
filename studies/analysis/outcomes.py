"""What each trained trial said of every test image: the raw material of intervals and verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

FIELDS = ("image", "group", "label", "predicted", "confidence", "label_probability")


@dataclass(frozen=True, eq=False)
class Outcomes:
    """One trial's predictions on its test set; every array has one entry an image, in any order.

    Args:
        seed: the trial's seed. Trials of one seed were tested on the same images.
        image: (n,) ids; the same id is the same image in all trials of a study. No id twice.
        group: (n,) ids of what belongs together (a burst of one scene, a patient); an image that
            stands alone is a group of its own.
        label, predicted: (n,) class numbers.
        confidence: (n,) probability that the model gave to the class it predicted.
        label_probability: (n,) probability that it gave to the label.

    Raises:
        ValueError: no image, arrays of different lengths, or an image twice.

    Example:
        >>> label, predicted = np.array([1, 0]), np.array([1, 1])
        >>> sure, right = np.array([0.9, 0.6]), np.array([0.9, 0.4])
        >>> Outcomes(0, np.array([7, 9]), np.array([7, 9]), label, predicted, sure, right).correct
        array([ True, False])
    """

    seed: int
    image: np.ndarray
    group: np.ndarray
    label: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    label_probability: np.ndarray

    def __post_init__(self) -> None:
        shapes = {name: np.shape(getattr(self, name)) for name in FIELDS}
        if len(set(shapes.values())) > 1 or len(shapes["image"]) != 1:
            raise ValueError(f"outcomes need flat arrays of one length; got {shapes}.")
        if not len(self):
            raise ValueError(f"the outcomes of seed {self.seed} hold no test image.")
        ascending = bool((self.image[1:] > self.image[:-1]).all())  # they mostly are
        if not ascending and len(np.unique(self.image)) < len(self):
            raise ValueError(f"the outcomes of seed {self.seed} hold an image more than once.")

    def __len__(self) -> int:
        return len(self.image)

    @property
    def correct(self) -> np.ndarray:
        """(n,) whether the predicted class is the label."""
        return self.predicted == self.label

    @property
    def tested(self) -> Tested:
        """The images."""
        return Tested(self.image, self.group, self.label)


@dataclass(frozen=True, eq=False)
class Tested:
    """Test images, as of `Outcomes`: trials of one seed share them, and often all trials of a study."""

    image: np.ndarray
    group: np.ndarray
    label: np.ndarray

    def __len__(self) -> int:
        return len(self.image)

    @cached_property
    def order(self) -> np.ndarray:
        """(n,) places of the images, by ascending id."""
        return np.argsort(self.image)

    @cached_property
    def in_order(self) -> Tested:
        """The same images by ascending id: these themselves, where they lie so."""
        if np.array_equal(self.order, np.arange(len(self))):
            return self
        return Tested(self.image[self.order], self.group[self.order], self.label[self.order])


@dataclass(frozen=True, eq=False)
class Marks:
    """Which test images one trial was right on: what means and differences need of its outcomes.

    Attributes:
        seed: the trial's seed.
        tested: the images.
        correct: (n,) whether the predicted class is the label.
    """

    seed: int
    tested: Tested
    correct: np.ndarray

    @property
    def image(self) -> np.ndarray:
        return self.tested.image

    @property
    def group(self) -> np.ndarray:
        return self.tested.group

    @property
    def label(self) -> np.ndarray:
        return self.tested.label


class Marked(Protocol):
    """What `Outcomes` and `Marks` have in common."""

    @property
    def seed(self) -> int: ...
    @property
    def tested(self) -> Tested: ...
    @property
    def label(self) -> np.ndarray: ...
    @property
    def correct(self) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class Scores:
    """What is averaged over a seed's test images: an accuracy's rights, or two models' differences.

    Attributes:
        seed: the seed.
        value: (n,) 0 or 1 for a model; -1, 0 or 1 for the difference of two; a sum of weights for a
            contrast of several.
        group, label: (n,) as in `Outcomes`.
    """

    seed: int
    value: np.ndarray
    group: np.ndarray
    label: np.ndarray


def right(outcomes: Sequence[Marked]) -> list[Scores]:
    """A model's scores, one entry a seed: 1 where the prediction is right."""
    _check_seeds(outcomes)
    found = ((each.seed, each.correct.astype(float), each.tested) for each in outcomes)
    return [Scores(seed, value, test.group, test.label) for seed, value, test in found]


def right_minus_right(a: Sequence[Marked], b: Sequence[Marked]) -> list[Scores]:
    """Two models' differences, image by image, for the seeds that both have, ascending.

    Raises:
        ValueError: within a seed the two were tested on different images or against other labels.
    """
    return weighted_rights((a, b), (1.0, -1.0))


def weighted_rights(models: Sequence[Sequence[Marked]], weights: Sequence[float]) -> list[Scores]:
    """A linear contrast of several models, image by image, for the seeds that all have, ascending.

    Args:
        models: outcomes of each, one entry a seed.
        weights: of each model's rights.

    Raises:
        ValueError: within a seed two were tested on different images or against other labels.
    """
    for model in models:
        _check_seeds(model)
    by_seed = [{outcomes.seed: outcomes for outcomes in model} for model in models]
    found = []
    for seed in sorted(set.intersection(*(set(each) for each in by_seed))):
        sides = [each[seed] for each in by_seed]
        tests = [side.tested for side in sides]
        first = tests[0].in_order
        for test in tests[1:]:
            if test is tests[0]:
                continue
            its = test.in_order
            same = np.array_equal(first.image, its.image)
            if not same or not np.array_equal(first.label, its.label):
                raise ValueError(
                    f"the models of seed {seed} were tested on different images or labels: they "
                    f"cannot be compared image by image."
                )
        value = np.zeros(len(first))
        for weight, side, test in zip(weights, sides, tests, strict=True):
            value += weight * (side.correct if test.in_order is test else side.correct[test.order])
        found.append(Scores(seed, value, first.group, first.label))
    return found


def _check_seeds(outcomes: Sequence[Marked]) -> None:
    seeds = [each.seed for each in outcomes]
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"outcomes of one model need a seed each; got seeds {seeds}.")
