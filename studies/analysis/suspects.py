"""Test images whose label is probably wrong: confidently contradicted by most models that saw them.

A prediction contradicts a label with confidence as in confident learning: the model is at least as
sure of its class as it is, on average, of that class's own images. The threshold is each trial's
and class's own, so that a model that is sure of everything proves nothing.

Reference: Northcutt, Jiang, Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels",
Journal of Artificial Intelligence Research 70, 2021, arXiv 1911.00068.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from studies.analysis.outcomes import Outcomes

if TYPE_CHECKING:
    import pandas as pd

MOST = 0.5  # contradicted by more than this share of the trials that tested the image
TRIALS = 3  # with fewer trials "most of them" says little


def suspect_labels(outcomes: Sequence[Outcomes]) -> pd.DataFrame:
    """Lists images whose label is contradicted with confidence in most of the trials.

    Args:
        outcomes: of any seeds and models, at sizes where they are good.

    Returns:
        One row an image, the most suspect first: image, label, suggested (the class predicted most
        often among the contradictions), trials (that tested it), contradicted (by how many), margin
        (mean over trials of confidence - label_probability).
    """
    import pandas as pd

    parts = []
    for each in outcomes:
        parts.append(
            pd.DataFrame(
                {
                    "image": each.image,
                    "label": each.label,
                    "predicted": each.predicted,
                    "contradicted": _contradicts(each),
                    "margin": each.confidence.astype(float) - each.label_probability,
                }
            )
        )
    columns = ["image", "label", "suggested", "trials", "contradicted", "margin"]
    if not parts:
        return pd.DataFrame(columns=columns)
    rows = pd.concat(parts, ignore_index=True)
    table = rows.groupby("image").agg(
        label=("label", "first"),
        trials=("label", "size"),
        contradicted=("contradicted", "sum"),
        margin=("margin", "mean"),
    )
    table = table[(table["trials"] >= TRIALS) & (table["contradicted"] > MOST * table["trials"])]
    against = rows[rows["contradicted"] & rows["image"].isin(table.index)]
    table["suggested"] = against.groupby("image")["predicted"].agg(
        lambda c: c.value_counts().idxmax()
    )
    table["share"] = table["contradicted"] / table["trials"]
    table = table.reset_index().sort_values(
        ["share", "margin", "image"], ascending=[False, False, True]
    )
    return table[columns].reset_index(drop=True)


def _contradicts(outcomes: Outcomes) -> np.ndarray:
    """(n,) whether the model contradicts the label, as sure as of that class's own images."""
    classes, label = np.unique(outcomes.label, return_inverse=True)
    own = np.bincount(label, outcomes.label_probability) / np.bincount(label)
    at = np.clip(np.searchsorted(classes, outcomes.predicted), 0, len(classes) - 1)
    known = classes[at] == outcomes.predicted  # a class without test images has no threshold
    sure = outcomes.confidence >= own[at]
    return (outcomes.predicted != outcomes.label) & known & sure
