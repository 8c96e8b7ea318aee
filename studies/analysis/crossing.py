"""At how many training images does one model overtake another?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from studies.analysis.family import NOISE
from studies.analysis.scaling_law import ScalingLaw
from studies.analysis.shift import draw_shift

# How far beyond the measured sizes a crossing is looked for. A law fitted over two decades says
# little about two more; a crossing further out is as good as none.
_REACH_UP = 100.0
_REACH_DOWN = 10.0
_GRID = 120  # points over the searched sizes, in log size

_ONE_SEED = "one seed only: where two curves cross takes more"


@dataclass(frozen=True)
class Crossing:
    """Where two learning curves cross.

    Attributes:
        size: number of training images; None if the curves do not cross, or if the data cannot tell
            where.
        low, high: the interval. 0 or inf: open on that side (the data do not exclude that one
            model leads all the way). Both None: no interval can be given, or, for kind "none", no
            crossing is compatible with the data anywhere in the searched sizes. For kind "none"
            with numbers: where a crossing is still possible.
        kind: "measured" (within the sizes measured for both), "extrapolated" (outside them: a
            forecast), or "none".
        better_below: "a", "b" or None: who has the lower error just below the crossing (for kind
            "none": at the largest measured size). The other one leads above it.
        others: further crossings in the measured sizes.
        level: the interval's confidence.
        note: what else must be said.
    """

    size: float | None
    low: float | None
    high: float | None
    kind: str
    better_below: str | None = None
    others: tuple[float, ...] = ()
    level: float = 0.9
    note: str = ""


def crossing(
    law_a: ScalingLaw, law_b: ScalingLaw, level: float = 0.9, common_error: float | None = None
) -> Crossing:
    """Finds where two fitted laws cross.

    Where both laws were fitted to the same seeds and sizes, what shifts both models alike cancels.
    A draw without a crossing is not thrown away: it says that one model leads everywhere, and so
    opens the interval on that side.

    Args:
        law_a, law_b: fitted laws.
        level: confidence of the interval.
        common_error: standard error of the difference of the two errors, at the largest common
            size, that all results share because they were tested on the same images. None: that
            of both laws, as if they were independent.

    Returns:
        A `Crossing`. Of several crossings in the measured sizes, the last one is taken (beyond it
        the order stays); the rest are in `others`. Outside, the one nearest to the data.

    Raises:
        ValueError: level is not between 0 and 1.

    Example:
        >>> found = crossing(vit_law, resnet_law)
        >>> found.kind, found.size
        ('extrapolated', 212000.0)
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1; got {level}.")
    sizes_a, sizes_b = law_a.curve.sizes, law_b.curve.sizes
    first, last = max(sizes_a[0], sizes_b[0]), min(sizes_a[-1], sizes_b[-1])
    if first > last:  # the two were measured at different sizes: nothing is measured for both
        first = last = math.sqrt(first * last)
    grid = np.geomspace(max(1.0, first / _REACH_DOWN), last * _REACH_UP, _GRID)
    grid = np.unique(np.concatenate([grid, [first, last]]))
    (log_a, curves_a), (log_b, curves_b) = (
        law.log_prediction_and_curves(grid) for law in (law_a, law_b)
    )
    # Positive where b has the lower error. Differences below rounding are none: equal laws must not
    # "cross" at every point.
    gap = np.where(np.abs(log_a - log_b) < 1e-9, 0.0, log_a - log_b)
    leader = _leader(float(np.interp(math.log(last), np.log(grid), gap)))
    if any(_one_seed(law) for law in (law_a, law_b)):
        return Crossing(None, None, None, "none", leader, (), level, _ONE_SEED)
    ahead = _share_b_ahead(law_a, law_b, curves_a, curves_b, common_error)
    roots = [_refine(law_a, law_b, *pair) for pair in _sign_changes(grid, gap)]
    if not roots:
        low, high = _possible(grid, gap, ahead, level)
        note = "the two laws coincide" if leader is None else ""
        return Crossing(None, low, high, "none", leader, (), level, note)
    inside = [root for root in roots if first <= root <= last]
    if inside:
        size, kind = inside[-1], "measured"
    else:
        size = min(roots, key=lambda root: max(first / root, root / last))
        kind = "extrapolated"
    before = grid < size
    below = _leader(gap[before][-1]) if before.any() else None
    low, high = _interval(grid, ahead, size, below, level)
    if low == 0.0 and high == math.inf:
        note = "the data cannot tell the two apart"
        return Crossing(None, low, high, "none", leader, (), level, note)
    others = tuple(root for root in inside if root != size)
    return Crossing(size, low, high, kind, below, others, level)


def _leader(gap: float) -> str | None:
    return None if gap == 0 or math.isnan(gap) else ("b" if gap > 0 else "a")


def _sign_changes(x: np.ndarray, gap: np.ndarray) -> list[tuple[float, float]]:
    """Neighbouring points between which the sign changes; a mere touch is no crossing."""
    signed = np.flatnonzero(gap != 0)
    changes = np.flatnonzero(np.sign(gap[signed[1:]]) != np.sign(gap[signed[:-1]]))
    return [(float(x[signed[i]]), float(x[signed[i + 1]])) for i in changes]


def _refine(law_a: ScalingLaw, law_b: ScalingLaw, left: float, right: float) -> float:
    def gap(log_size: float) -> float:
        size = np.array([math.exp(log_size)])
        return float(np.log(law_a.predict(size)[0]) - np.log(law_b.predict(size)[0]))

    return math.exp(brentq(gap, math.log(left), math.log(right), xtol=1e-12))


def _one_seed(law: ScalingLaw) -> bool:
    return law.curve.seeds is not None and len(law.curve.seeds) < 2


def _share_b_ahead(
    law_a: ScalingLaw,
    law_b: ScalingLaw,
    curves_a: np.ndarray,
    curves_b: np.ndarray,
    common_error: float | None,
) -> np.ndarray:
    """Share of draws (M, N) in which b has the lower error, at each size (ties count half)."""
    rng = np.random.default_rng(0)
    count = min(len(law.posterior.members) for law in (law_a, law_b))
    # Shuffled, for laws that were drawn by equal generators to be independent.
    rows_a, rows_b = (rng.permutation(len(law.posterior.members))[:count] for law in (law_a, law_b))
    gap = curves_a[rows_a] - curves_b[rows_b]
    gap += _level_gap(law_a, law_b, rows_a, rows_b, rng)[:, None]
    if common_error is None:
        common = math.hypot(law_a.common[-1], law_b.common[-1])
    else:
        common = common_error / math.exp(0.5 * (law_a.curve.means[-1] + law_b.curve.means[-1]))
    gap += common * rng.standard_normal((count, 1))
    return np.mean(gap > 0, axis=0) + 0.5 * np.mean(gap == 0, axis=0)


def _level_gap(
    law_a: ScalingLaw,
    law_b: ScalingLaw,
    rows_a: np.ndarray,
    rows_b: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """What seeds add to the difference of log errors at all sizes: as much as differences show."""
    parts = [
        (law, law.shift[rows], np.exp(law.posterior.members[rows, NOISE]))
        for law, rows in ((law_a, rows_a), (law_b, rows_b))
    ]
    shifts_a, shifts_b = law_a.curve.shifts, law_b.curve.shifts
    if law_a.curve.same_design(law_b.curve) and shifts_a is not None and shifts_b is not None:
        noise = np.hypot(parts[0][2], parts[1][2])
        shift = draw_shift(shifts_a - shifts_b, law_a.curve, noise, law_a.prior, rng)
        return shift / math.sqrt(len(shifts_a)) * rng.standard_normal(len(noise))
    total = np.zeros(len(rows_a))
    for law, shift, _ in parts:
        num_seeds = 1 if law.curve.seeds is None else len(law.curve.seeds)
        total += shift / math.sqrt(num_seeds) * rng.standard_normal(len(shift))
    return total


def _interval(
    grid: np.ndarray, ahead: np.ndarray, size: float, leader: str | None, level: float
) -> tuple[float, float]:
    """Going out from the crossing, the first sizes at which it is clear who leads."""
    tail = (1.0 - level) / 2.0
    above = 1.0 - ahead if leader == "b" else ahead  # share in which the order above holds already
    low, high = 0.0, math.inf
    below_points = np.flatnonzero((grid < size) & (above <= tail))
    if len(below_points):
        low = _between(grid, above, below_points[-1], tail, size)
    above_points = np.flatnonzero((grid > size) & (above >= 1.0 - tail))
    if len(above_points):
        high = _between(grid, above, above_points[0] - 1, 1.0 - tail, size)
    return min(low, size), max(high, size)


def _between(grid: np.ndarray, share: np.ndarray, i: int, value: float, size: float) -> float:
    """Size between grid points i and i+1 at which the share reaches the value."""
    if i < 0 or i + 1 >= len(grid) or share[i] == share[i + 1]:
        return float(grid[min(max(i, 0), len(grid) - 1)])
    part = float(np.clip((value - share[i]) / (share[i + 1] - share[i]), 0.0, 1.0))
    return float(grid[i] * (grid[i + 1] / grid[i]) ** part)


def _possible(
    grid: np.ndarray, gap: np.ndarray, ahead: np.ndarray, level: float
) -> tuple[float | None, float | None]:
    """Without a crossing: the sizes at which the data do not exclude the opposite order."""
    tail = (1.0 - level) / 2.0
    opposite = np.where(gap > 0, 1.0 - ahead, ahead)
    return _run(np.log(grid), opposite > tail)


def _run(logs: np.ndarray, unclear: np.ndarray) -> tuple[float | None, float | None]:
    """The ends of the last unclear stretch, 0 or inf where open; None where there is none."""
    points = np.flatnonzero(unclear)
    if len(points) == 0:
        return None, None
    last = int(points[-1])
    clear = np.flatnonzero(~unclear[:last])
    first = int(clear[-1]) + 1 if len(clear) else 0
    low = 0.0 if first == 0 else math.exp(logs[first])
    high = math.inf if last == len(logs) - 1 else math.exp(logs[last])
    return low, high
