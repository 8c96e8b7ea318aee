"""Which class is taken for which: confusion matrix, recalls, balanced accuracy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from studies.analysis.outcomes import Marked, Outcomes


def confusion_matrix(outcomes: Sequence[Outcomes], num_classes: int) -> np.ndarray:
    """Counts of test images by label and predicted class, summed over seeds.

    Args:
        outcomes: one entry a seed.
        num_classes: K; class numbers are 0 to K - 1.

    Returns:
        (K, K), rows are labels.

    Raises:
        ValueError: a label or a prediction is no class number.
    """
    labels = np.concatenate([each.label for each in outcomes]).astype(int)
    predicted = np.concatenate([each.predicted for each in outcomes]).astype(int)
    for values in (labels, predicted):
        if values.min() < 0 or values.max() >= num_classes:
            raise ValueError(
                f"classes are numbered 0 to {num_classes - 1}; the outcomes hold "
                f"{values.min()} to {values.max()}."
            )
    flat = np.bincount(labels * num_classes + predicted, minlength=num_classes**2)
    return flat.reshape(num_classes, num_classes)


def recalls(confusion: np.ndarray) -> np.ndarray:
    """Share of each class's images that is recognised.

    Args:
        confusion: (K, K), rows are labels.

    Returns:
        (K,); NaN for a class without images.
    """
    total = confusion.sum(axis=1).astype(float)
    return np.divide(np.diag(confusion), total, out=np.full(len(total), np.nan), where=total > 0)


def balanced_accuracy(outcomes: Marked) -> float:
    """Mean recall of the classes that the test set has."""
    _, label = np.unique(outcomes.label, return_inverse=True)
    return float(np.mean(np.bincount(label, outcomes.correct) / np.bincount(label)))
