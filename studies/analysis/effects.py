"""What a level of a factor changes, and whether it changes one model more than another.

An effect is the difference of an arm and its base, the same model under the factor's first level. A
contrast is the difference of two models' effects: what the change is worth to the one beyond what it is
worth to the other. Both are linear contrasts of accuracies, of two and of four arms, with the intervals of
the verdict: paired image by image and seed by seed (`studies.analysis.variance`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from studies.analysis.by_size import Source, contrast_estimates, rows_of
from studies.analysis.estimate import Estimate

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Change:
    """An arm that differs from another in the level of one factor.

    Attributes:
        factor, level: what differs.
        arm, base: names; the base has the factor's first level.
        model: name of the model.
    """

    factor: str
    level: str
    arm: str
    base: str
    model: str


@dataclass(frozen=True)
class Effect:
    """What changes do at one size: one of them alone, or a first one less a second one.

    Attributes:
        change: the change.
        less: the same change of another model, whose effect is subtracted; None: nothing is.
        size: number of training images.
        estimate: of the effect, in accuracy.
        barred: why nothing is said about an arm, by name: "learned nothing", "undertrained".
    """

    change: Change
    less: Change | None
    size: int
    estimate: Estimate
    barred: Mapping[str, Sequence[str]]

    @property
    def sign(self) -> int:
        """1 or -1 where the effect is told apart from none; 0 where it is not, or must not be.

        From one seed nothing is told: it may have been a lucky one.
        """
        if self.barred or self.estimate.seeds < 2:
            return 0
        return int(self.estimate.low > 0.0) - int(self.estimate.high < 0.0)

    @property
    def bounded(self) -> bool:
        """Whether its interval holds the chance in seeds and in test images: the effect is not beyond it."""
        found = self.estimate
        return found.seeds > 1 and found.variance is not None and not math.isnan(found.low)


def find_effects(
    frame: pd.DataFrame,
    changes: Sequence[tuple[Change, Change | None]],
    metric: str,
    barred: Mapping[tuple[str, int], Sequence[str]],
    level: float = 0.9,
    source: Source | None = None,
    images: int | None = None,
) -> list[Effect]:
    """The effects of changes at every size that their arms have.

    Args:
        frame: one row a finished trial of one backend, with columns model (the arm), size, seed, backend
            and the metric.
        changes: each by itself, or with another whose effect is subtracted.
        metric: a column of accuracies, or "test_balanced".
        barred: why nothing is said about an arm, by name and size.
        level: confidence.
        source: outcomes of single test images; without them intervals are over seeds alone.
        images: number of test images, where there are no outcomes.
    """
    found, rows = [], rows_of(frame, metric)
    for change, less in changes:
        weights = {change.arm: 1.0, change.base: -1.0}
        if less is not None:
            weights |= {less.arm: -1.0, less.base: 1.0}
        known = contrast_estimates(rows(weights), weights, metric, level, source, images)
        for size, estimate in known.items():
            wrong = {arm: barred[arm, size] for arm in weights if barred.get((arm, size))}
            found.append(Effect(change, less, size, estimate, wrong))
    return found
