"""By how much a seed shifts its whole curve: the part of the scatter that all its sizes share."""

from __future__ import annotations

import numpy as np

from studies.analysis.curve import Curve
from studies.analysis.priors import Prior


def draw_shift(
    shifts: np.ndarray | None,
    curve: Curve,
    noise: np.ndarray,
    prior: Prior,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draws the standard deviation of seeds' shifts, given that of the noise.

    Args:
        shifts: (S,) measured shifts; None if there are none to compare.
        curve: of which they are.
        noise: (M,) standard deviation of one result.
        prior: of their ratio.
        rng: source of randomness.

    Returns:
        (M,).
    """
    grid = prior.shift.mean + prior.shift.sd * np.linspace(-3.0, 3.0, 49)
    candidates = noise[:, None] * np.exp(grid)  # (M, G)
    log_p = np.broadcast_to(
        -0.5 * ((grid - prior.shift.mean) / prior.shift.sd) ** 2, candidates.shape
    )
    if shifts is not None:
        results = curve.counts.sum() / len(shifts)  # of one seed
        variance = candidates**2 + noise[:, None] ** 2 / results
        squares = float(np.sum(shifts**2))
        log_p = log_p - 0.5 * ((len(shifts) - 1) * np.log(variance) + squares / variance)
    edges = np.cumsum(np.exp(log_p - log_p.max(axis=1, keepdims=True)), axis=1)
    picks = np.sum(edges < rng.random((len(noise), 1)) * edges[:, -1:], axis=1)
    return candidates[np.arange(len(noise)), picks]
