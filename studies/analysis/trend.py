"""Does a curve fall, and are there sizes enough for a law? Otherwise there is none."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import stdtr

from studies.analysis.curve import Curve

FEWEST_SIZES = 4
# With a smaller share of flat curves called falling, short curves that do fall would be refused.
_FLAT_CALLED_FALLING = 0.05


class NoLaw(ValueError):
    """The results carry no scaling law; the message is one sentence that says why."""


def require_a_fall(curve: Curve) -> None:
    """Raises `NoLaw` unless there are sizes enough and the error falls.

    Where seeds show the noise, the slope is compared with it; otherwise only the order of the
    errors counts (Kendall's test, exact). Both are one-sided.
    """
    count = len(curve.sizes)
    if count < FEWEST_SIZES:
        raise NoLaw(
            f"A scaling law needs results at {FEWEST_SIZES} sizes or more; there "
            f"{'is only one' if count == 1 else f'are only {count}'}."
        )
    squares, freedom = curve.scatter
    if freedom >= 3:
        weights = curve.counts * (curve.log_x - np.average(curve.log_x, weights=curve.counts))
        slope = float(weights @ curve.means)
        error = math.sqrt(squares / freedom * float(np.sum(weights**2 / curve.counts)))
        chance = float(stdtr(freedom, slope / error)) if error > 0 else float(slope >= 0)
    else:
        from scipy.stats import kendalltau  # a second to load, and seldom wanted

        chance = float(kendalltau(curve.sizes, curve.means, alternative="less").pvalue)
    if not chance < _FLAT_CALLED_FALLING:
        first, last = np.exp(curve.means[[0, -1]])
        raise NoLaw(
            f"The error does not fall clearly with the number of images ({100 * first:.1f} % at "
            f"{curve.sizes[0]:,.0f}, {100 * last:.1f} % at {curve.sizes[-1]:,.0f}): there is no law."
        )
