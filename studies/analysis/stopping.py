"""When more seeds can no longer change a verdict: a rule that is looked at after every seed.

Whoever looks after every seed and stops as soon as a 90 % interval leaves 0 names a winner far too
often. So a lead stops the seeds only where an interval of a much higher level leaves 0 (Haybittle 1971,
Peto et al. 1976); the verdict itself stays the 90 % interval's. Stopping because nothing will be told
(futility) names nobody, and costs no error. `studies.analysis.coverage` simulates studies that stop so.

Reference: Haybittle, "Repeated assessment of results in clinical trials of cancer treatment", British
Journal of Radiology 44, 1971; Lan, Simon, Halperin, "Stochastically curtailed tests in long-term clinical
trials", Sequential Analysis 1, 1982.
"""

from __future__ import annotations

import math
from typing import Literal

from scipy.special import ndtri

from studies.analysis.estimate import Estimate
from studies.analysis.verdict import POINT

MOST_SEEDS = (
    5  # for one verdict, looked at after 2 and more: with 10 looks the bars do not hold everywhere
)
EARLY = 0.999  # confidence with which one is ahead before the seeds are all run
FEWEST = 3  # seeds for that: two may agree by chance, and then look as if seeds did not matter
HOPE = 0.05  # a verdict that is less probable than this is out of reach

Stop = Literal["ahead", "as good", "out of reach"]


def settled(difference: Estimate, most: int = MOST_SEEDS) -> Stop | None:
    """Why more seeds at this size would not change the verdict; None where they may.

    Args:
        difference: of two models, from the outcomes of the seeds so far.
        most: seeds that there will be at most.

    Returns:
        "ahead": one is, at the level EARLY, after three seeds or more. "as good": they cannot be told
        apart, and differ by less than a point. "out of reach": as they scatter, `most` seeds would hardly
        tell them apart.

    Example:
        >>> settled(difference(vit_outcomes, resnet_outcomes))
        'ahead'
    """
    parts = difference.variance
    if parts is None or parts.seeds < 2:
        return None
    if parts.seeds >= FEWEST and abs(parts.mean) > parts.half_width(EARLY):
        return "ahead"
    if difference.low > 0.0 or difference.high < 0.0:
        return None  # told apart, but not beyond the doubt that looking again and again needs
    if difference.low > -POINT and difference.high < POINT:
        return "as good"
    total, half = parts.planned(difference.level, most)
    change = math.sqrt(max(0.0, parts.total - total))  # by which the mean may still move
    if abs(parts.mean) + float(ndtri(1.0 - HOPE)) * change < half:
        return "out of reach"
    return None
