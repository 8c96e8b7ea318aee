"""Outcomes of trials that nobody trained, for the tests of what is made of outcomes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from studies.analysis import Outcomes


def outcomes(
    correct: Sequence[float] | np.ndarray,
    seed: int = 0,
    image: Sequence[int] | np.ndarray | None = None,
    group: Sequence[int] | np.ndarray | None = None,
    label: Sequence[int] | np.ndarray | None = None,
) -> Outcomes:
    """Outcomes that are right where `correct` says so; wrong predictions are the next class."""
    correct = np.asarray(correct, dtype=bool)
    image = np.arange(len(correct)) if image is None else np.asarray(image)
    group = image if group is None else np.asarray(group)
    label = np.zeros(len(correct), dtype=int) if label is None else np.asarray(label)
    sure = np.full(len(correct), 0.9)
    return Outcomes(
        seed,
        image,
        group,
        label,
        np.where(correct, label, label + 1),
        sure,
        np.where(correct, 0.9, 0.1),
    )
