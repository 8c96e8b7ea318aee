"""Scaling laws: how a model's error falls with the number of training images.

Reference: Alabdulmohsin, Neyshabur, Zhai, "Revisiting Neural Scaling Laws in Language and Vision",
NeurIPS 2022, arXiv 2209.06640. As there, a form is judged by how it extrapolates, not by how well
it passes through the points it was fitted to.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from studies.analysis.curve import (
    Curve,
    Draws,
    make_curve,
    make_draws,
    scatter,
    student_factor,
    why_no_interval,
)
from studies.analysis.forms import Form, make_form
from studies.analysis.least_squares import fit_many

# Enough for the 5 % and 95 % points to be stable to a few per cent of the interval's width.
REPLICATES = 500


def fit_scaling_law(
    sizes: ArrayLike,
    errors: ArrayLike,
    seeds: Sequence[Hashable] | None = None,
    rng: np.random.Generator | None = None,
    chance_error: float = 1.0,
    form: str | None = None,
    replicates: int = REPLICATES,
) -> ScalingLaw:
    """Fits a scaling law to one model's errors, in log error, and chooses its form.

    The form (M2, which contains M1, or M4; see `studies.analysis.forms`) is the one that, fitted
    to the smaller sizes, comes closest to the larger ones. Fewer than five sizes leave too little
    tail to judge by: the choice is then among simpler forms, and `reason` says so.

    Args:
        sizes: numbers of training images, one entry a result; any order, repeats allowed.
        errors: 1 - accuracy, same length. NaN entries are left out; zeros are counted as half the
            smallest positive error. Both are told in `notes`.
        seeds: labels that say which results belong to one seed. A seed is taken to shift its whole
            curve. None: all results are independent of each other.
        rng: source of the bootstrap's randomness; equal generators give equal intervals. None
            means `numpy.random.default_rng(0)`.
        chance_error: error of guessing, 1 - 1/classes; M4 bends towards it at small sizes.
        form: take this form instead of choosing.
        replicates: number of bootstrap curves.

    Returns:
        The fitted `ScalingLaw`.

    Raises:
        ValueError: fewer than two different sizes, unusable values, or an unknown form.

    Example:
        >>> sizes = [500, 1000, 2000, 4000, 8000] * 3
        >>> seeds = [seed for seed in range(3) for _ in range(5)]
        >>> noise = np.random.default_rng(1).normal(0, 0.02, 15)
        >>> errors = 5 * np.array(sizes, float) ** -0.4 * np.exp(noise)
        >>> law = fit_scaling_law(sizes, errors, seeds, np.random.default_rng(0), chance_error=0.9)
        >>> low, high = law.interval([16000])

    Reference:
        arXiv 2209.06640.
    """
    if not 0.0 < chance_error <= 1.0:
        raise ValueError(f"chance_error must be in (0, 1]; got {chance_error}.")
    curve = make_curve(sizes, errors, seeds)
    if len(curve.sizes) < 2:
        raise ValueError(
            f"A scaling law needs results at two sizes or more; there is only one "
            f"({curve.sizes[0]:,.0f})."
        )
    rng = np.random.default_rng(0) if rng is None else rng
    key = int(rng.integers(2**63))
    names, reason = _candidates(len(curve.sizes)) if form is None else ((form,), "as asked")
    candidates = tuple(make_form(name, chance_error) for name in names)
    noise = curve.noise()
    chosen, scores = _choose(candidates, curve, curve.means[None], noise)
    best = candidates[int(chosen[0])]
    if len(candidates) > 1:
        told = ", ".join(f"{f.name} {s:.3f}" for f, s in zip(candidates, scores[0], strict=True))
        reason += f" (root mean square miss in log error: {told})"
    theta = _fit(best, curve, curve.means[None], noise)[0]
    return ScalingLaw(curve, best, theta, candidates, reason, key, replicates)


@dataclass(frozen=True, eq=False)
class ScalingLaw:
    """A fitted law; made by `fit_scaling_law`.

    Attributes:
        curve: the observations it was fitted to.
        shape: the fitted `Form`.
        theta: its internal parameters.
        candidates: the forms that were compared.
        reason: why this form, in words.
        key: seed of the bootstrap.
        replicates: number of bootstrap curves.
    """

    curve: Curve
    shape: Form
    theta: np.ndarray
    candidates: tuple[Form, ...]
    reason: str
    key: int
    replicates: int

    @property
    def form(self) -> str:
        """M1, M2, M3 or M4."""
        return self.shape.name

    @property
    def parameters(self) -> dict[str, float]:
        """The parameters as the paper writes them (x in images, so the exponent c is negative)."""
        log_b, c = float(self.theta[0]), -float(self.theta[1])
        named = dict(zip(self.shape.parameters[2:], map(float, self.theta[2:]), strict=True))
        if "g" in named:
            named["g"] *= math.exp(-self.curve.log_x0)
        result = {"b": math.exp(log_b - c * self.curve.log_x0), "c": c, **named}
        if self.form == "M4":
            result["e_0"] = self.shape.chance_error
        return result

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know: data left out, or why there is no interval."""
        why = why_no_interval(self.curve, len(self.theta))
        return self.curve.notes + ((why,) if why else ())

    @property
    def residual(self) -> float:
        """Root mean square difference between the law and the means, in log error."""
        fitted = self.shape.log_error(self.theta, self.curve.log_t)
        return float(np.sqrt(np.mean((self.curve.means - fitted) ** 2)))

    def predict(self, sizes: ArrayLike) -> np.ndarray:
        """Predicted errors.

        Args:
            sizes: numbers of training images.

        Returns:
            Array of the same shape, in (0, 1]: where a law rises above 1, far below the data, 1.
        """
        log_error = self.shape.log_error(self.theta, self._scaled(sizes))
        return np.exp(np.minimum(log_error, 0.0)).reshape(np.shape(sizes))

    def interval(self, sizes: ArrayLike, level: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        """Where the mean error lies, with the given confidence.

        It covers training seeds and the choice and fit of the law; not the draw of the training
        images or of the test set, which all results share.

        Args:
            sizes: numbers of training images.
            level: confidence.

        Returns:
            (low, high), arrays like `sizes`; NaN where there is no interval (`notes` says why).
        """
        tail = _tail(level)
        shape = np.shape(sizes)
        if why_no_interval(self.curve, len(self.theta)):
            return np.full(shape, np.nan), np.full(shape, np.nan)
        ensemble = self._ensemble
        values = ensemble.log_error(self._scaled(sizes))
        parts = [(float(np.var(ensemble.level)), ensemble.level_freedom)]
        factor = student_factor(np.var(values, axis=0), parts, ensemble.shape_freedom, level)
        low, middle, high = np.quantile(values, [tail, 0.5, 1 - tail], axis=0)
        low = np.exp(middle - factor * (middle - low))
        high = np.exp(middle + factor * (high - middle))
        low, high = np.minimum(low, 1.0), np.minimum(high, 1.0)
        return low.reshape(shape), high.reshape(shape)

    def summary(self) -> str:
        """The law as one line of text."""
        p = self.parameters
        if self.form == "M2" and p["e_inf"] < 5e-5:
            return f"error = {p['b']:.4g} x^{p['c']:.3f} (M2 without a limit)"
        text = {
            "M1": "error = {b:.4g} x^{c:.3f}",
            "M2": "error = {b:.4g} x^{c:.3f} + {e_inf:.4f}",
            "M3": "error = {b:.4g} (1/x + {g:.3g})^{minus_c:.3f}",
            "M4": "(error - {e_inf:.4f}) / ({e_0:.3g} - error)^{a:.2f} = {b:.4g} x^{c:.3f}",
        }[self.form]
        return text.format(**p, minus_c=-p["c"])

    def refit(self, draws: Draws) -> Ensemble:
        """Laws fitted to resampled curves, each with the form that its own tail prefers."""
        curve, sigma = self.curve, self.curve.noise()
        fitted = self.shape.log_error(self.theta, curve.log_t)
        noise = scatter(curve, fitted, len(self.theta), draws)
        # The noise is put on the measured means, not on the fitted law: a law that is a little
        # too stiff would otherwise breed replicates that all prefer it.
        curves = curve.means + noise.total
        chosen, _ = _choose(self.candidates, curve, curves, sigma)
        members = []
        for number, form in enumerate(self.candidates):
            rows = np.flatnonzero(chosen == number)
            if len(rows):
                members.append((form, rows, _fit(form, curve, curves[rows], sigma)))
        return Ensemble(
            curve.log_x0, noise.level, noise.level_freedom, noise.shape_freedom, members
        )

    def draws(self, rng: np.random.Generator | None = None) -> Draws:
        """The bootstrap's random numbers; without a generator, those of `interval`."""
        rng = np.random.default_rng(self.key) if rng is None else rng
        return make_draws(self.curve, self.replicates, rng)

    def _scaled(self, sizes: ArrayLike) -> np.ndarray:
        x = np.asarray(sizes, dtype=float).ravel()
        if np.any(~(x > 0)):
            raise ValueError("Sizes must be positive.")
        return np.log(x) - self.curve.log_x0

    @cached_property
    def _ensemble(self) -> Ensemble:
        return self.refit(self.draws())


@dataclass(frozen=True)
class Ensemble:
    """Laws refitted to resampled curves, grouped by form.

    Attributes:
        log_x0: log of the size that t is measured in.
        level: (B,) how far each curve was shifted as a whole, in log error.
        level_freedom, shape_freedom: degrees of freedom behind the shifts, and behind the rest.
        members: form, rows of the replicates that have it, their parameters (rows, P).
    """

    log_x0: float
    level: np.ndarray
    level_freedom: int
    shape_freedom: int
    members: list[tuple[Form, np.ndarray, np.ndarray]]

    def log_error(self, log_t: np.ndarray) -> np.ndarray:
        """Log errors (B, N) at N scaled sizes."""
        values = np.empty((len(self.level), len(log_t)))
        for form, rows, theta in self.members:
            values[rows] = form.log_error(theta, log_t)
        return values

    def log_error_at(self, sizes: np.ndarray) -> np.ndarray:
        """Log errors (B, N) at N numbers of images, at most 0 (an error of 1)."""
        return np.minimum(self.log_error(np.log(sizes) - self.log_x0), 0.0)


def _candidates(num_sizes: int) -> tuple[tuple[str, ...], str]:
    if num_sizes < 4:
        return ("M1",), f"only {num_sizes} sizes: a straight line in log-log is all they carry"
    if num_sizes == 4:
        return ("M1", "M2"), "only 4 sizes: M1 or M2, by how they predict the largest"
    # M1 is left out on purpose: M2 contains it (e_inf = 0), and a law without any limit forecasts
    # with far too much confidence when it is wrong.
    return ("M2", "M4"), "best at predicting the larger sizes from the smaller"


def _cuts(num_sizes: int) -> list[int]:
    """How many of the smaller sizes to fit to; the rest of the curve is the tail to predict."""
    return [cut for cut in (num_sizes - 2, num_sizes - 1) if cut >= 3]


def _choose(
    candidates: tuple[Form, ...], curve: Curve, curves: np.ndarray, noise: float
) -> tuple[np.ndarray, np.ndarray]:
    """For every curve (B, I) the number of the form that extrapolates best, and all misses."""
    if len(candidates) == 1:
        return np.zeros(len(curves), dtype=int), np.zeros((len(curves), 1))
    scores = np.zeros((len(curves), len(candidates)))
    points = 0
    for cut in _cuts(len(curve.sizes)):
        points += len(curve.sizes) - cut
        for number, form in enumerate(candidates):
            theta = _fit(form, curve, curves, noise, cut)
            ahead = form.log_error(theta, curve.log_t[cut:])
            scores[:, number] += np.sum((ahead - curves[:, cut:]) ** 2, axis=1)
    scores = np.sqrt(scores / points)
    # argmin takes the first, which is the simplest, of equals.
    return np.argmin(np.round(scores, 6), axis=1), scores


def _fit(
    form: Form, curve: Curve, curves: np.ndarray, noise: float, cut: int | None = None
) -> np.ndarray:
    """Parameters (B, P) fitted to the first `cut` sizes of each curve."""
    log_t, weights = curve.log_t[:cut], curve.counts[:cut].astype(float)
    curves = curves[:, :cut]
    typical = np.median(curves, axis=0)
    starts = form.starts(log_t, typical)
    if len(curves) > 1:
        # Replicates resemble each other: started where the typical one ends, they reach the same
        # minimum as from all starts (compared on nine simulated curves, to 1e-3 of the noise).
        starts, _ = fit_many(form, log_t, typical[None], weights, noise, starts)
    return fit_many(form, log_t, curves, weights, noise, starts)[0]


def _tail(level: float) -> float:
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1; got {level}.")
    return (1.0 - level) / 2.0
