"""k nearest neighbours on frozen features: what a representation is worth without any fitting.

Reference: the weighted vote of Wu et al., arXiv 1805.01978, section 3.4, as in Caron et al., "Emerging
Properties in Self-Supervised Vision Transformers", arXiv 2104.14294, appendix F.1.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from studies.evaluation import EvaluationOptions, Inputs, Leads
from studies.evaluation.accuracy import balanced_accuracy, top1

READS = frozenset({"features"})
UNITS = {"knn": "accuracy (share)"}
LEADS = Leads("knn_top1", "accuracy by nearest neighbours")

_QUERIES = 1000  # images whose similarities are held in memory at once


class Options(EvaluationOptions):
    """k nearest neighbours.

    Args:
        k: neighbours that vote; all of them where there are fewer images.
        temperature: of the votes: the smaller it is, the more the nearest ones count.
    """

    k: Annotated[int, Field(ge=1)] = 20
    temperature: Annotated[float, Field(gt=0)] = 0.07


def evaluate(inputs: Inputs, options: Options) -> dict[str, float]:
    """Accuracies on the test images of a vote of the nearest support images.

    Returns:
        `knn_top1` and `knn_balanced`, shares in [0, 1].
    """
    query, labels = inputs.query
    votes = neighbours_votes(
        inputs.support, query, inputs.num_classes, options.k, options.temperature
    )
    return {"knn_top1": top1(votes, labels), "knn_balanced": balanced_accuracy(votes, labels)}


def neighbours_votes(
    support: tuple[np.ndarray, np.ndarray],
    query: np.ndarray,
    num_classes: int,
    k: int,
    temperature: float,
) -> np.ndarray:
    """How much of the vote of its neighbours each class gets: exp(cosine / temperature) from each.

    Args:
        support: features (N, D) and labels (N,).
        query: features (M, D).
        num_classes: C.
        k: neighbours that vote.
        temperature: of the votes.

    Returns:
        (M, C); rows sum to 1.
    """
    features, labels = support
    features, k = _unit(features), min(k, len(labels))
    one_hot = np.eye(num_classes)
    votes = []
    for start in range(0, len(query), _QUERIES):
        cosines = _unit(query[start : start + _QUERIES]) @ features.T  # (Q, N)
        nearest = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
        found = np.take_along_axis(cosines, nearest, axis=1)
        # Relative to the nearest one, or a small temperature would overflow.
        weights = np.exp((found - found.max(axis=1, keepdims=True)) / temperature)
        vote = np.einsum("qk,qkc->qc", weights, one_hot[labels[nearest]])
        votes.append(vote / vote.sum(axis=1, keepdims=True))
    return np.concatenate(votes)


def _unit(features: np.ndarray) -> np.ndarray:
    features = np.asarray(features, np.float64)
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.maximum(length, np.finfo(np.float64).tiny)
