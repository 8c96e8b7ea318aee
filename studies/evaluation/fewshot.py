"""Few-shot linear accuracy: what a representation is worth to a linear classifier of a few images.

Arrays in, numbers out; no backend is needed here.

Reference: big_vision's `evaluators/fewshot_lsr.py` describes the few-shot protocol; the measure is
the one of Dosovitskiy et al., arXiv 2010.11929, Fig. 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field, field_validator

from studies.evaluation import EvaluationOptions, Inputs, Leads

READS = frozenset({"features"})
UNITS = {"fewshot": "accuracy (share)"}
LEADS = Leads("fewshot_5", "accuracy from five images a class")

CONSTANT = 100.0  # appended to the features: an intercept which the ridge penalty hardly feels
EPSILON = 1e-5

Positive = Annotated[int, Field(ge=1)]


class Options(EvaluationOptions):
    """Few-shot linear accuracy.

    Args:
        shots: images a class; those beyond the smallest class are left out.
        fewshot_seeds: draws of them, over which the accuracy is averaged.
        l2: weight of the penalty of its ridge regression.
    """

    shots: tuple[Positive, ...] = (1, 5, 10, 25)
    fewshot_seeds: Positive = 3
    l2: Annotated[float, Field(gt=0)] = 1024.0

    @field_validator("shots")
    @classmethod
    def _ascending(cls, shots: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(shots)))


def evaluate(inputs: Inputs, options: Options) -> dict[str, float]:
    """Few-shot accuracies on the test images from the support images: `fewshot_5` and such.

    There is a number for each of the shots that the smallest class has.
    """
    found = fewshot_accuracies(
        inputs.support,
        inputs.query,
        inputs.num_classes,
        options.shots,
        options.fewshot_seeds,
        options.l2,
    )
    return {f"fewshot_{shots}": accuracy for shots, accuracy in found.items()}


def fewshot_accuracies(
    support: tuple[np.ndarray, np.ndarray],
    query: tuple[np.ndarray, np.ndarray],
    num_classes: int,
    shots: Sequence[int],
    seeds: int = 3,
    l2: float = 1024.0,
) -> dict[int, float]:
    """Few-shot linear accuracy for several numbers of shots, each the mean over `seeds` draws.

    Args:
        support: features (N, D) and labels (N,) from which the shots are drawn.
        query: features (M, D) and labels (M,) that are classified.
        num_classes: number of classes.
        shots: images a class; those above the smallest class's count in `support` are left out.
        seeds: number of draws.
        l2: ridge penalty.

    Returns:
        Accuracy in [0, 1] by number of shots.

    Example:
        >>> features = np.eye(2)[[0, 1, 0, 1]]
        >>> labels = np.array([0, 1, 0, 1])
        >>> fewshot_accuracies((features, labels), (features, labels), 2, [1, 5])
        {1: 1.0}
    """
    features, labels = support
    smallest = int(np.bincount(labels, minlength=num_classes).min())
    result = {}
    for shot in shots:
        if shot > smallest:
            continue
        accuracies = []
        for seed in range(seeds):
            chosen = draw_shots(labels, num_classes, shot, seed)
            weights = fewshot_fit(features[chosen], labels[chosen], num_classes, l2)
            accuracies.append(float(np.mean(fewshot_predict(weights, query[0]) == query[1])))
        result[int(shot)] = float(np.mean(accuracies))
    return result


def draw_shots(labels: np.ndarray, num_classes: int, shots: int, seed: int) -> np.ndarray:
    """Indices of `shots` images of every class, class after class.

    They depend on the labels and the seed alone, so every trial gets the same ones, and those of
    fewer shots are among those of more.
    """
    chosen = []
    for label in range(num_classes):
        members = np.flatnonzero(labels == label)
        order = np.random.default_rng([seed, label]).permutation(len(members))
        chosen.append(members[order[:shots]])
    return np.concatenate(chosen)


def fewshot_fit(
    features: np.ndarray, labels: np.ndarray, num_classes: int, l2: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ridge regression of standardised features onto targets of +1 (the class) and -1 (the others).

    Args:
        features: (N, D).
        labels: integers (N,).
        num_classes: C.
        l2: ridge penalty.

    Returns:
        The features' mean (D,) and scale (D,), and the weights (D + 1, C).
    """
    features = np.asarray(features, np.float64)
    mean = features.mean(axis=0)
    scale = features.std(axis=0) + EPSILON
    x = _with_constant((features - mean) / scale)  # (N, D + 1)
    y = 2.0 * np.eye(num_classes)[labels] - 1.0  # (N, C)
    rows, columns = x.shape
    # The smaller of the two equivalent systems.
    if rows >= columns:
        weights = np.linalg.solve(x.T @ x + l2 * np.eye(columns), x.T @ y)
    else:
        weights = x.T @ np.linalg.solve(x @ x.T + l2 * np.eye(rows), y)
    return mean, scale, weights


def fewshot_predict(
    model: tuple[np.ndarray, np.ndarray, np.ndarray], features: np.ndarray
) -> np.ndarray:
    """Classes (M,) that `fewshot_fit`'s result gives to features (M, D)."""
    mean, scale, weights = model
    x = _with_constant((np.asarray(features, np.float64) - mean) / scale)
    return np.argmax(x @ weights, axis=-1)


def _with_constant(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x, np.full((len(x), 1), CONSTANT)], axis=1)
