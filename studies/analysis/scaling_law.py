"""Scaling laws: how a model's error falls with the number of training images.

No single form is chosen: a law is an average over a family that holds the usual ones
(`studies.analysis.family`), every member weighted by how well it explains the measurements and by
how often learning curves have looked like it (`studies.analysis.priors`). As in the reference, what
counts is how a law extrapolates: `python -m studies.bench.forecasts` measures it.

Reference: Alabdulmohsin, Neyshabur, Zhai, "Revisiting Neural Scaling Laws in Language and Vision",
NeurIPS 2022, arXiv 2209.06640.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri, stdtrit

from studies.analysis import family
from studies.analysis.curve import Curve, make_curve
from studies.analysis.posterior import Posterior, draw
from studies.analysis.priors import Prior, published
from studies.analysis.shift import draw_shift
from studies.analysis.trend import require_a_fall

_REACH = 1000.0  # how many times the largest size is looked at


@dataclass(frozen=True)
class Gain:
    """What more images buy: by how much the expected error falls, with its interval."""

    drop: float
    low: float
    high: float


def fit_scaling_law(
    sizes: ArrayLike,
    errors: ArrayLike,
    seeds: Sequence[Hashable] | None = None,
    rng: np.random.Generator | None = None,
    chance_error: float = 1.0,
    common_error: ArrayLike | None = None,
    beside: tuple[float, float] | None = None,
    prior: Prior | None = None,
    members: int = 1000,
) -> ScalingLaw:
    """Fits a scaling law to one model's errors.

    Args:
        sizes: numbers of training images, one entry a result; any order, repeats allowed.
        errors: 1 - accuracy, same length. NaN entries are left out; zeros are counted as half the
            smallest positive error. Both are told in `notes`.
        seeds: labels that say which results belong to one seed. A seed is taken to shift its whole
            curve. None: all results are independent of each other.
        rng: source of randomness; equal generators give equal laws. None means
            `numpy.random.default_rng(0)`.
        chance_error: error of guessing, 1 - 1/classes; laws bend towards it at small sizes.
        common_error: standard error, in units of error, that all results share because they were
            tested on the same images: one number for the largest size, or one for every different
            size in ascending order.
        beside: 90 % interval of the expected error at the largest size, by which forecasts stand in a
            report: beyond that size none is narrower, relative to the error. None takes the one that
            these results alone give there (Student's t, and `common_error`).
        prior: what is known of learning curves beforehand; None means `priors.published()`.
        members: number of members drawn. A fit takes time in proportion; a hundred are enough where
            only the average over many fits counts.

    Returns:
        The fitted `ScalingLaw`.

    Raises:
        NoLaw: fewer than four different sizes, or errors that do not fall.
        ValueError: unusable values.

    Example:
        >>> sizes = [500, 1000, 2000, 4000, 8000] * 3
        >>> seeds = [seed for seed in range(3) for _ in range(5)]
        >>> noise = np.random.default_rng(1).normal(0, 0.02, 15)
        >>> errors = 5 * np.array(sizes, float) ** -0.4 * np.exp(noise)
        >>> law = fit_scaling_law(sizes, errors, seeds, np.random.default_rng(0), chance_error=0.9)
        >>> low, high = law.mean_interval([16000])

    Reference:
        arXiv 2209.06640.
    """
    if not 0.0 < chance_error <= 1.0:
        raise ValueError(f"chance_error must be in (0, 1]; got {chance_error}.")
    curve = make_curve(sizes, errors, seeds)
    common = _relative(common_error, curve)
    require_a_fall(curve)
    prior = published() if prior is None else prior
    rng = np.random.default_rng(0) if rng is None else rng
    posterior = draw(curve, chance_error, prior, rng, members)
    noise = np.exp(posterior.members[:, family.NOISE])
    shift = np.zeros(members)
    fresh = np.ones(members)
    if curve.seeds is not None:
        shift = draw_shift(curve.shifts, curve, noise, prior, rng)
    elif curve.scatter[1] < 1:
        fresh = np.exp(prior.fresh.mean + prior.fresh.sd * rng.standard_normal(members))
    normals = rng.standard_normal((4, members))
    law = ScalingLaw(curve, posterior, prior, common, shift, fresh, normals)
    return law if beside is None else replace(law, beside=_half_width(*beside))


@dataclass(frozen=True, eq=False)
class ScalingLaw:
    """A fitted law; made by `fit_scaling_law`.

    Attributes:
        curve: the observations it was fitted to.
        posterior: members of the family that may have produced them, equally likely.
        prior: what was known before.
        common: (I,) standard error of log error that all results share, at the measured sizes.
        shift: (M,) standard deviation of the seeds' shifts of their whole curves.
        fresh: (M,) how many times as noisy as the measured ones a new measurement is.
        normals: (4, M) standard normal numbers, for what is not in the posterior.
        beside: half the width, in log error, of the 90 % interval that a report has at the largest
            size; None for that of these results.
    """

    curve: Curve
    posterior: Posterior
    prior: Prior
    common: np.ndarray
    shift: np.ndarray
    fresh: np.ndarray
    normals: np.ndarray
    beside: float | None = None

    @property
    def parameters(self) -> dict[str, float]:
        """Parameters as the paper writes them (x in images, so that the exponent c is negative).

        They are those of one member, the one that is nearest to the mean of all from the smallest
        measured size to four times the largest.
        """
        found = family.parameters(self._typical[None], self.posterior.chance_error)
        p = {name: float(value[0]) for name, value in found.items()}
        b = math.exp(p["log_b"] + p["c"] * math.log(self.curve.sizes[-1]))
        e_0 = self.posterior.chance_error
        return {"b": b, "c": -p["c"], "e_inf": p["e_inf"], "a": p["a"], "e_0": e_0}

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know about the data: what was left out or is taken from elsewhere."""
        notes = self.curve.notes
        if self.curve.seeds is not None and len(self.curve.seeds) < 2:
            notes += ("one seed only: how much seeds scatter is taken from other studies",)
        broken = self.posterior.broken[self.posterior.broken >= 0]
        if len(broken) > 0.5 * len(self.posterior.broken):
            size = self.curve.sizes[int(np.median(broken))]
            notes += (f"the slope seems to change near {size:,.0f} images: the law is that above",)
        return notes

    @property
    def residual(self) -> float:
        """Root mean square difference between the family's mean and the measured, in log error."""
        log_x = self.curve.log_x
        value = family.log_error(self.posterior.members, log_x, self.posterior.chance_error)
        return float(np.sqrt(np.mean((self.curve.means - value.mean(axis=0)) ** 2)))

    def predict(self, sizes: ArrayLike) -> np.ndarray:
        """Predicted errors.

        Args:
            sizes: numbers of training images.

        Returns:
            Array of the same shape, in (0, 1].
        """
        return np.exp(self.posterior.log_centre(self._scaled(sizes))).reshape(np.shape(sizes))

    def interval(self, sizes: ArrayLike, level: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        """Where one new measurement will lie, with the given confidence.

        It is that of a new seed, or of a new point of a curve without seeds.

        Args:
            sizes: numbers of training images.
            level: confidence.

        Returns:
            (low, high), arrays like `sizes`.
        """
        noise = np.exp(self.posterior.members[:, family.NOISE])
        own = np.sqrt((noise * self.fresh) ** 2 + self.shift**2) * self.normals[2]
        return self._interval(sizes, level, own[:, None])

    def mean_interval(self, sizes: ArrayLike, level: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        """Where the expected error lies, with the given confidence.

        Beyond the largest size it is, relative to the error, never narrower than what the results
        at the largest size alone would give.

        Args:
            sizes: numbers of training images.
            level: confidence.

        Returns:
            (low, high), arrays like `sizes`.
        """
        return self._interval(sizes, level, 0.0)

    def gain(self, size: float, factor: float = 2.0, level: float = 0.9) -> Gain:
        """By how much the expected error falls from one size to another.

        Args:
            size: number of training images to start from.
            factor: how many times as many there would be.
            level: confidence.

        Raises:
            ValueError: size is not positive, factor not above 1, or level not between 0 and 1.

        Example:
            >>> law.gain(10_000)
            Gain(drop=0.0213, low=0.0154, high=0.0270)
        """
        tail = _tail(level)
        if not factor > 1.0:
            raise ValueError(f"factor must be above 1; got {factor}.")
        both = np.array([size, factor * size])
        errors = np.exp(self.log_errors(both))
        low, high = np.quantile(errors[:, 0] - errors[:, 1], [tail, 1.0 - tail])
        before, after = self.predict(both)
        drop = float(before - after)
        return Gain(drop, min(float(low), drop), max(float(high), drop))

    def size_for(self, error: float, probability: float = 0.5) -> float:
        """How many images it takes until the expected error is at most this, with a probability.

        Args:
            error: the target.
            probability: with which it is to be reached.

        Returns:
            The size: at least the smallest measured one, `inf` beyond 1,000 times the largest.

        Raises:
            ValueError: error is not positive, or probability not between 0 and 1.
        """
        if not 0.0 < probability < 1.0:
            raise ValueError(f"probability must lie between 0 and 1; got {probability}.")
        if not error > 0.0:
            raise ValueError(f"error must be positive; got {error}.")
        target = math.log(error)

        def reached(log_x: float) -> bool:
            return float(np.mean(self._log_errors(np.array([log_x])) <= target)) >= probability

        low, high = float(self.curve.log_x[0]), math.log(_REACH)
        if reached(low):
            return float(self.curve.sizes[0])
        if not reached(high):
            return math.inf
        while high - low > 1e-3:
            middle = 0.5 * (low + high)
            low, high = (low, middle) if reached(middle) else (middle, high)
        return float(self.curve.sizes[-1] * math.exp(high))

    def summary(self) -> str:
        """The law as one line of text: the member of `parameters`."""
        text = "(error - {e_inf:.4f}) / ({e_0:.3g} - error)^{a:.2f} = {b:.4g} x^{c:.3f}"
        return text.format(**self.parameters)

    def log_errors(self, sizes: ArrayLike) -> np.ndarray:
        """Expected log errors (M, N) at N sizes, as likely as each other and joint over sizes."""
        return self._log_errors(self._scaled(sizes))

    def log_curves(self, sizes: ArrayLike) -> np.ndarray:
        """As `log_errors`, without what shifts all results alike."""
        return self.posterior.log_error(self._scaled(sizes))

    def log_prediction_and_curves(self, sizes: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Logs of `predict` (N,), and `log_curves` (M, N), in the time of one."""
        return self.posterior.log_centre_and_error(self._scaled(sizes))

    def _log_errors(self, log_x: np.ndarray) -> np.ndarray:
        log_error = self.posterior.log_error(log_x)
        return log_error + self._level(log_error, log_x)

    def _level(self, log_error: np.ndarray, log_x: np.ndarray) -> np.ndarray:
        """Errors of level (M, N): the seeds' common shift, and that of a shared test set."""
        num_seeds = 1 if self.curve.seeds is None else len(self.curve.seeds)
        level = (self.shift / math.sqrt(num_seeds) * self.normals[0])[:, None]
        if not self.common.any():
            return level
        common = np.interp(log_x, self.curve.log_x, self.common)[None]
        # Beyond the data a binomial's: of fewer errors, the relative error is larger.
        last = min(math.exp(self.curve.means[-1]), 0.999)
        error = np.minimum(np.exp(log_error), 0.999)
        odds = (1.0 - error) / error * last / (1.0 - last)
        common = np.where(log_x > 0, common * np.sqrt(np.clip(odds, 1.0, 100.0)), common)
        return level + common * self.normals[1][:, None]

    def _interval(
        self, sizes: ArrayLike, level: float, own: np.ndarray | float
    ) -> tuple[np.ndarray, np.ndarray]:
        tail = _tail(level)
        log_x = self._scaled(sizes)
        low, high = np.quantile(self._log_errors(log_x) + own, [tail, 1.0 - tail], axis=0)
        centre = self.posterior.log_centre(log_x)
        # Faded in over the last gap between sizes, for a band without a step.
        floor = self._floor(level) * np.interp(log_x, self.curve.log_x[-2:], [0.0, 1.0])
        low, high = np.minimum(low, centre - floor), np.maximum(high, centre + floor)
        shape = np.shape(sizes)
        return np.exp(low).reshape(shape), np.exp(np.minimum(high, 0.0)).reshape(shape)

    def _floor(self, level: float) -> float:
        """Half the width of the interval that the results at the largest size alone would give."""
        quantile = float(ndtri(0.5 + level / 2))
        if self.beside is not None:
            return self.beside * quantile / float(ndtri(0.95))
        count = int(self.curve.counts[-1])
        noise = np.exp(self.posterior.members[:, family.NOISE]) / math.sqrt(count)
        alone = self._level(self.curve.means[-1:, None], np.zeros(1))[:, 0]
        floor = float(np.quantile(np.abs(alone + noise * self.normals[3]), level))
        if count == 1:
            return floor
        last = self.curve.table[self.curve.present[:, -1], -1]
        own = stdtrit(count - 1, 0.5 + level / 2) * last.std(ddof=1) / math.sqrt(count)
        return max(floor, math.hypot(own, quantile * self.common[-1]))

    def _scaled(self, sizes: ArrayLike) -> np.ndarray:
        x = np.asarray(sizes, dtype=float).ravel()
        if np.any(~(x > 0)):
            raise ValueError("Sizes must be positive.")
        return np.log(x / self.curve.sizes[-1])

    @cached_property
    def _typical(self) -> np.ndarray:
        log_x = np.linspace(self.curve.log_x[0], math.log(4.0), 30)
        members, chance = self.posterior.members, self.posterior.chance_error
        value = family.log_error(members, log_x, chance)
        return members[np.argmin(np.sum((value - value.mean(axis=0)) ** 2, axis=1))]


def _relative(common_error: ArrayLike | None, curve: Curve) -> np.ndarray:
    """Shared standard errors of log error (I,) from those of the error."""
    errors = np.exp(curve.means)
    if common_error is None:
        return np.zeros(len(errors))
    common = np.asarray(common_error, dtype=float).ravel()
    if len(common) not in (1, len(errors)) or not np.all(common >= 0):
        raise ValueError(
            f"common_error must be one number or {len(errors)}, one a size, none negative; got "
            f"{common.tolist()}."
        )
    if len(common) == 1:  # a binomial's, as it would be at the other sizes
        part = np.sqrt(errors * np.maximum(1.0 - errors, 1e-3))
        common = common * part / part[-1]
    return common / errors


def _half_width(low: float, high: float) -> float:
    if not 0.0 < low <= high:
        raise ValueError(f"beside must be an interval of positive errors; got {low} to {high}.")
    return 0.5 * math.log(high / low)


def _tail(level: float) -> float:
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1; got {level}.")
    return (1.0 - level) / 2.0
