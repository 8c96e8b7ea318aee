"""Does a model know how sure it may be? Expected calibration error.

Reference: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017,
arXiv 1706.04599.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from studies.analysis.outcomes import Outcomes

BINS = 15


@dataclass(frozen=True, eq=False)
class Calibration:
    """Confidence against accuracy, in bins of equal width.

    Attributes:
        error: expected calibration error: mean over images of their bin's |accuracy - confidence|.
        edges: (B + 1,) of the bins; a bin holds its upper edge.
        count: (B,) images.
        confidence, accuracy: (B,) means; NaN in an empty bin.
    """

    error: float
    edges: np.ndarray
    count: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


def calibration(outcomes: Sequence[Outcomes], bins: int = BINS) -> Calibration:
    """Calibration of one model at one size; the error is the mean of its seeds' errors.

    A seed's model is what one would use: pooling the seeds first would let their errors cancel.
    Counts and means, for a picture, are those of all seeds together.

    Args:
        outcomes: one entry a seed.
        bins: number of bins.
    """
    edges = np.linspace(0.0, 1.0, bins + 1)
    number = len(outcomes)
    lengths = np.array([len(each) for each in outcomes])
    confidence = np.concatenate([each.confidence for each in outcomes]).astype(float)
    correct = np.concatenate([each.correct for each in outcomes]).astype(float)
    at = np.clip(np.searchsorted(edges, confidence) - 1, 0, bins - 1)
    own = np.repeat(np.arange(number), lengths) * bins + at  # a seed's own bins
    sums = [np.bincount(own, v, number * bins).reshape(number, bins) for v in (confidence, correct)]
    errors = np.abs(sums[0] - sums[1]).sum(axis=1) / lengths
    count = np.bincount(at, minlength=bins)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(at, values, bins) / count for values in (confidence, correct)]
    return Calibration(float(np.mean(errors)), edges, count, *means)
