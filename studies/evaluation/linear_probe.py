"""A linear probe: multinomial logistic regression on frozen features.

Reference: Kornblith et al., "Do Better ImageNet Models Transfer Better?", arXiv 1805.08974, appendix
A.4: L-BFGS, the L2 penalty from a logarithmic grid, chosen on a part that is held back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field, field_validator

from studies.evaluation import EvaluationOptions, Inputs, Leads
from studies.evaluation.accuracy import balanced_accuracy, top1

READS = frozenset({"features"})
UNITS = {"probe_l2": "penalty", "probe": "accuracy (share)"}
LEADS = Leads("probe_top1", "accuracy of a linear probe")

_ITERATIONS = 500  # of L-BFGS
_EPSILON = 1e-5  # added to the features' standard deviations, as few-shot does

Positive = Annotated[float, Field(gt=0)]


class Options(EvaluationOptions):
    """A linear probe.

    Args:
        penalties: L2 penalties to choose from, each on half the sum of the squared weights, beside the
            mean cross-entropy.
        held: share of the support images on which the penalty is chosen.
        seed: draws the images that are held back.
    """

    penalties: Annotated[tuple[Positive, ...], Field(min_length=1)] = (
        *(1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0),
    )
    held: Annotated[float, Field(gt=0, lt=1)] = 0.2
    seed: Annotated[int, Field(ge=0)] = 0

    @field_validator("penalties")
    @classmethod
    def _ascending(cls, penalties: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted(set(penalties)))


def evaluate(inputs: Inputs, options: Options) -> dict[str, float]:
    """Accuracies on the test images of a probe that is fitted to the support images.

    Returns:
        `probe_top1` and `probe_balanced`, shares in [0, 1], and `probe_l2`, the chosen penalty.
    """
    features, labels = inputs.support
    query, answers = inputs.query
    mean, scale = features.mean(axis=0), features.std(axis=0) + _EPSILON
    x = np.asarray((features - mean) / scale, np.float64)
    l2 = choose_penalty(
        (x, labels), inputs.num_classes, options.penalties, options.held, options.seed
    )
    logits = (query - mean) / scale @ (fitted := fit(x, labels, inputs.num_classes, l2))[:-1]
    logits = logits + fitted[-1]
    return {
        "probe_top1": top1(logits, answers),
        "probe_balanced": balanced_accuracy(logits, answers),
        "probe_l2": l2,
    }


def choose_penalty(
    support: tuple[np.ndarray, np.ndarray],
    num_classes: int,
    penalties: Sequence[float],
    held: float = 0.2,
    seed: int = 0,
) -> float:
    """The penalty with the highest accuracy on images that are held back; of equals the strongest.

    Args:
        support: standardised features (N, D) and labels (N,).
        num_classes: C.
        penalties: to choose from.
        held: share of each class's images that is held back; at least one image of it is not.
        seed: draws the images that are held back.
    """
    features, labels = support
    back = held_back(labels, held, seed)
    best, chosen, weights = -1.0, max(penalties), None
    for l2 in sorted(penalties, reverse=True):  # from the simplest fit; each starts the next
        weights = fit(features[~back], labels[~back], num_classes, l2, weights)
        right = top1(features[back] @ weights[:-1] + weights[-1], labels[back]) if back.any() else 0
        if right > best:
            best, chosen = right, l2
    return chosen


def held_back(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """(N,) which images are held back: of each class about that share, never all."""
    back = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        number = min(round(share * len(members)), len(members) - 1)
        order = np.random.default_rng([seed, int(label)]).permutation(len(members))
        back[members[order[:number]]] = True
    return back


def fit(
    features: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    l2: float,
    start: np.ndarray | None = None,
) -> np.ndarray:
    """Multinomial logistic regression; the intercept is not penalised.

    Args:
        features: float64 (N, D).
        labels: integers (N,).
        num_classes: C.
        l2: penalty on half the sum of the squared weights, beside the mean cross-entropy.
        start: weights to begin with; zeros by default.

    Returns:
        Weights (D + 1, C), the intercept last.
    """
    from scipy.optimize import minimize

    rows, columns = features.shape
    targets = np.eye(num_classes)[labels]  # (N, C)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(columns + 1, num_classes)
        logits = features @ weights[:-1] + weights[-1]
        logits -= logits.max(axis=1, keepdims=True)
        log_sum = np.log(np.exp(logits).sum(axis=1, keepdims=True))
        error = (np.exp(logits - log_sum) - targets) / rows
        gradient = np.vstack([features.T @ error + l2 * weights[:-1], error.sum(axis=0)])
        value = np.sum(targets * (log_sum - logits)) / rows + l2 / 2 * np.sum(weights[:-1] ** 2)
        return float(value), gradient.ravel()

    first = np.zeros((columns + 1, num_classes)) if start is None else start
    found = minimize(
        loss,
        first.ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": _ITERATIONS, "ftol": 1e-10, "gtol": 1e-6},
    )
    return found.x.reshape(columns + 1, num_classes)
