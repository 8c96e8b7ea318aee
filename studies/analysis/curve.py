"""A learning curve's observations, and new curves drawn from their scatter."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm as normal
from scipy.stats import t as student

# Ratio of variances from which a law's misses count as more than noise; F(4, 12) exceeds 3.3 in
# one case out of twenty.
_FAR = 3.0


@dataclass(frozen=True)
class Curve:
    """Log errors of one model, arranged by seed and size.

    Attributes:
        sizes: (I,) numbers of training images, ascending, each once.
        table: (S, I) log errors; NaN where a seed has no result at a size. Without seed labels a
            row is only a slot: its entries do not belong together.
        seeds: the rows' labels, or None when observations are independent of each other.
        notes: what had to be done to the data, in words.
    """

    sizes: np.ndarray
    table: np.ndarray
    seeds: tuple[Hashable, ...] | None
    notes: tuple[str, ...] = ()

    @property
    def present(self) -> np.ndarray:
        return np.isfinite(self.table)

    @property
    def counts(self) -> np.ndarray:
        return self.present.sum(axis=0)

    @property
    def means(self) -> np.ndarray:
        return np.nanmean(self.table, axis=0)

    @property
    def log_t(self) -> np.ndarray:
        """Logs of size / x0, x0 the geometric mean of the sizes."""
        logs = np.log(self.sizes)
        return logs - logs.mean()

    @property
    def log_x0(self) -> float:
        return float(np.log(self.sizes).mean())

    def noise(self) -> float:
        """Standard deviation of one log error around its size's mean (0.02 when unknown)."""
        freedom = int(self.counts.sum()) - len(self.sizes)
        if freedom < 1:
            return 0.02
        squares = np.nansum((self.table - self.means) ** 2)
        return max(math.sqrt(float(squares) / freedom), 1e-6)

    def same_design(self, other: Curve) -> bool:
        """Whether every observation has a partner of the same seed and size in the other curve."""
        return (
            self.seeds is not None
            and self.seeds == other.seeds
            and np.array_equal(self.sizes, other.sizes)
            and np.array_equal(self.present, other.present)
        )


def make_curve(sizes: ArrayLike, errors: ArrayLike, seeds: Sequence[Hashable] | None) -> Curve:
    """Arranges flat observations; see `fit_scaling_law` for what is allowed.

    Raises:
        ValueError: lengths differ, nothing is left, a size is not positive, an error is outside
            [0, inf) or all errors are zero.
    """
    x = np.asarray(sizes, dtype=float).ravel()
    e = np.asarray(errors, dtype=float).ravel()
    labels = None if seeds is None else list(np.asarray(seeds).ravel().tolist())
    if len(x) != len(e) or (labels is not None and len(labels) != len(x)):
        raise ValueError(
            f"sizes, errors and seeds must be equally long; got {len(x)}, {len(e)} and "
            f"{'none' if labels is None else len(labels)}."
        )
    notes: list[str] = []
    known = np.isfinite(e) & np.isfinite(x)
    if not known.all():
        notes.append(f"{int((~known).sum())} missing or infinite value(s) left out")
        x, e = x[known], e[known]
        labels = None if labels is None else [s for s, k in zip(labels, known, strict=True) if k]
    if len(x) == 0:
        raise ValueError("There is no finite error to fit a scaling law to.")
    if np.any(x <= 0):
        raise ValueError(f"Sizes must be positive; got {x.min():g}.")
    if np.any(e < 0):
        raise ValueError(f"Errors must not be negative; got {e.min():g} (error = 1 - accuracy).")
    if not np.any(e > 0):
        raise ValueError("All errors are zero: the test set is too easy or too small for a law.")
    if np.any(e == 0):
        # Zero mistakes in a finite test set mean "fewer than one", not "none ever".
        floor = 0.5 * float(e[e > 0].min())
        notes.append(f"{int((e == 0).sum())} error(s) of zero counted as {floor:.2g}")
        e = np.where(e == 0, floor, e)
    unique = np.unique(x)
    column = np.searchsorted(unique, x)
    log_e = np.log(e)
    if labels is None:
        row = np.zeros(len(x), dtype=int)
        for i in range(len(unique)):
            here = column == i
            row[here] = np.arange(here.sum())
        names = None
        num_rows = int(row.max()) + 1
    else:
        names = tuple(sorted(set(labels), key=lambda s: (str(type(s)), s)))
        row = np.array([names.index(s) for s in labels])
        num_rows = len(names)
    total = np.zeros((num_rows, len(unique)))
    number = np.zeros_like(total)
    np.add.at(total, (row, column), log_e)
    np.add.at(number, (row, column), 1.0)
    if np.any(number > 1):
        notes.append("repeated results of one size and seed averaged")
    table = np.where(number > 0, total / np.maximum(number, 1), np.nan)
    return Curve(unique, table, names, tuple(notes))


@dataclass(frozen=True)
class Draws:
    """The random numbers of a bootstrap, apart from the curve they are applied to.

    Two curves with matching seeds and sizes get the same draws, so that what moves both models
    together (an easy seed) cancels in their difference, as it does in the data.
    """

    picks: np.ndarray  # (B, S, I) which residual each observation gets
    seed_weights: np.ndarray  # (B, S)


@dataclass(frozen=True)
class Noise:
    """Noise of a curve's mean log errors, as drawn.

    Attributes:
        total: (B, I).
        level: (B,) the part of it that shifts the whole curve.
        level_freedom, shape_freedom: degrees of freedom behind the variance of the shifts, and of
            everything else.
    """

    total: np.ndarray
    level: np.ndarray
    level_freedom: int
    shape_freedom: int


def make_draws(curve: Curve, count: int, rng: np.random.Generator) -> Draws:
    """Draws what `scatter` needs for `count` curves of this design."""
    num_rows, num_sizes = curve.table.shape
    return Draws(
        picks=rng.integers(0, int(curve.counts.sum()), size=(count, num_rows, num_sizes)),
        seed_weights=rng.standard_normal((count, num_rows)),
    )


def why_no_interval(curve: Curve, parameters: int) -> str | None:
    """Says why no interval can be given, or None when one can."""
    if curve.seeds is not None and len(curve.seeds) < 2:
        return "one seed only: the scatter between seeds is unknown, so there is no interval"
    if _shape_freedom(curve, parameters) < 1:
        return "as many parameters as results: the scatter is unknown, so there is no interval"
    return None


def scatter(curve: Curve, fitted: np.ndarray, parameters: int, draws: Draws) -> Noise:
    """Noise like that of the curve's mean log errors.

    A residual bootstrap pooled over sizes with seeds as blocks. Residuals are split into a seed's
    own shift (the same at all sizes) and the rest. The rest is drawn from the pool of all sizes;
    a shift stays with its seed, whose weight is drawn. Both parts are inflated for the degrees of
    freedom used up. That the variances themselves are uncertain, with three seeds above all that
    of the shifts, is left to `student_factor`.

    Args:
        curve: the observations.
        fitted: (I,) log errors of the fitted law.
        parameters: how many the law has.
        draws: from `make_draws` for a curve of the same design.
    """
    present, counts = curve.present, curve.counts
    num_rows, num_sizes = curve.table.shape
    observations = int(counts.sum())
    misfit = curve.means - fitted  # (I,)
    within = np.where(present, curve.table - curve.means, 0.0)  # (S, I)
    blocks = curve.seeds is not None and num_rows > 1
    shift = np.zeros(num_rows)
    if blocks:
        shift = within.sum(axis=1) / np.maximum(present.sum(axis=1), 1)
        rest = np.where(present, within - shift[:, None], 0.0)
    else:
        rest = within
    pure = observations - num_sizes - (num_rows - 1 if blocks else 0)
    lack = num_sizes - parameters
    lack_square = float(np.sum(counts * misfit**2))
    pure_square = float(np.sum(rest**2))
    if pure >= 1:
        variance = pure_square / pure
        if lack >= 1:
            # A law that misses the means by far more than the seeds explain (a wrong form, or an
            # unlucky subset that all seeds share) has the misses as its noise.
            missed = lack_square / lack
            far = missed > _FAR * variance
            variance = missed if far else (pure_square + lack_square) / (pure + lack)
        pool = rest[present]
    else:
        variance = lack_square / max(lack, 1)
        pool = np.where(present, curve.table - fitted, 0.0)[present]
        pool = pool - pool.mean()
    spread = math.sqrt(float(np.mean(pool**2)))
    pool = pool * (math.sqrt(variance) / spread if spread > 0 else 0.0)
    noise = np.where(present, pool[draws.picks], 0.0).sum(axis=1) / counts  # (B, I)
    if blocks:
        # The seeds' shifts carry the mean level; the rest must not count it twice.
        noise -= (noise @ counts / observations)[:, None]
    level = np.zeros(len(noise))
    if blocks:
        inflate = math.sqrt(num_rows / (num_rows - 1))
        shifts = draws.seed_weights * (shift * inflate) @ present / counts  # (B, I)
        noise += shifts
        level = shifts @ counts / observations
    return Noise(noise, level, max(num_rows - 1, 1), max(_shape_freedom(curve, parameters), 1))


def student_factor(
    variance: np.ndarray, parts: Sequence[tuple[float, int]], rest: int, level: float
) -> np.ndarray:
    """How much wider an interval must be because its variances are estimated from few seeds.

    The ratio of Student's t to the normal. Parts of the variance have different degrees of freedom;
    those of the sum are Welch's and Satterthwaite's.

    Args:
        variance: (N,) total variances of what the intervals are for.
        parts: variance and degrees of freedom of each part that is known separately.
        rest: degrees of freedom of the remainder.
        level: confidence.

    Returns:
        (N,) factors, at least 1.
    """
    known = sum(part for part, _ in parts)
    # Where the whole is less than its parts (they cancel), the parts are all there is.
    total = np.maximum(np.maximum(variance, known), 1e-300)
    squares = sum((part / total) ** 2 / freedom for part, freedom in parts)
    freedom = 1.0 / (squares + (1.0 - known / total) ** 2 / rest)
    tail = 0.5 + level / 2
    return student.ppf(tail, freedom) / normal.ppf(tail)


def _shape_freedom(curve: Curve, parameters: int) -> int:
    observations = int(curve.counts.sum())
    if curve.seeds is not None and len(curve.seeds) > 1:
        pure = observations - len(curve.sizes) - (len(curve.seeds) - 1)
    else:
        pure = observations - len(curve.sizes)
    return pure if pure >= 1 else observations - parameters
