"""Members of the family of scaling laws, drawn in proportion to how well they explain a curve.

The mean log error at size x is a member's log error, plus a misfit, plus noise. The misfit is 0 at
the largest size, and away from it its slope wanders like a Brownian motion in log x: a member has to
describe the curve near its end, from where one forecasts, best; and a forecast's doubt grows with
its reach by as much as the curve has been seen to leave the family. Where there are many sizes the
slope may also have jumped once, at a size that the curve decides: a break.

Members are drawn by adaptive importance sampling (Cappé et al., "Adaptive importance sampling in
general mixture classes", 2008, arXiv 0710.4242), tempered as long as few members carry all weight.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import logit

from studies.analysis import family
from studies.analysis.curve import Curve
from studies.analysis.family import COORDINATES, LIMIT, MISFIT, NOISE
from studies.analysis.priors import Prior

_ROUNDS = (6, 24)  # at least, at most
_KEPT = 4  # latest rounds that members are drawn from
_FREEDOM = 5.0  # of the Student proposals: heavier tails than any posterior here

_SIZES_FOR_A_BREAK = 10  # fewer do not tell a break from a bend
_BREAK = 0.2  # how probable a break is beforehand
_JUMP = 0.3  # standard deviation of the slope's jump: about as much as slopes differ


@dataclass(frozen=True)
class Posterior:
    """Equally likely members with their misfits.

    Attributes:
        members: (M, 6).
        mode: (6,) the most probable one that was met.
        knots: (K,) ascending log sizes, in units of the largest size.
        misfit: (M, K) each member's misfit there; 0 at the largest size.
        broken: (M,) index of the size at which the slope jumps; -1 where it does not.
        chance_error: error of guessing.
        evidence: log of the probability of the curve, up to a constant that depends on it alone.
    """

    members: np.ndarray
    mode: np.ndarray
    knots: np.ndarray
    misfit: np.ndarray
    broken: np.ndarray
    chance_error: float
    evidence: float

    def log_error(self, log_x: np.ndarray) -> np.ndarray:
        """Mean log errors (M, N) at N log sizes, in units of the largest size, at most 0.

        Beyond the largest size none rises: more images are not expected to harm.
        """
        return self._wandering(log_x, self._of_family(log_x))

    def log_centre(self, log_x: np.ndarray) -> np.ndarray:
        """Mean over members (N,) of their log errors; beyond the largest size without misfits.

        There their mean is zero, and would only add noise.
        """
        return self._centre(log_x, self._of_family(log_x))

    def log_centre_and_error(self, log_x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`log_centre` and `log_error`, in the time of one."""
        value = self._of_family(log_x)
        return self._centre(log_x, value), self._wandering(log_x, value)

    def _of_family(self, log_x: np.ndarray) -> np.ndarray:
        return family.log_error(self.members, log_x, self.chance_error)

    def _centre(self, log_x: np.ndarray, value: np.ndarray) -> np.ndarray:
        inside = np.interp(log_x, self.knots, np.where(self.knots < 0, self.misfit.mean(axis=0), 0))
        return np.minimum(value.mean(axis=0) + inside, 0.0)

    def _wandering(self, log_x: np.ndarray, value: np.ndarray) -> np.ndarray:
        value = value + self._misfit_at(log_x)
        ahead = self.knots[self.knots >= 0.0]
        passed = np.searchsorted(ahead, log_x, side="right")  # knots at or below each size
        value[:, passed > 0] = np.minimum(
            value[:, passed > 0], self._lowest_so_far[:, passed[passed > 0] - 1]
        )
        return np.minimum(value, 0.0)

    @cached_property
    def _lowest_so_far(self) -> np.ndarray:
        """(M, K) the lowest log error from the largest size up to each knot beyond it."""
        ahead = self.knots[self.knots >= 0.0]
        value = self._of_family(ahead) + self._misfit_at(ahead)
        return np.minimum.accumulate(value, axis=1)

    def _misfit_at(self, log_x: np.ndarray) -> np.ndarray:
        right = np.clip(np.searchsorted(self.knots, log_x), 1, len(self.knots) - 1)
        left = right - 1
        part = (log_x - self.knots[left]) / (self.knots[right] - self.knots[left])
        part = np.clip(part, 0.0, 1.0)
        return self.misfit[:, left] * (1.0 - part) + self.misfit[:, right] * part


def draw(
    curve: Curve, chance_error: float, prior: Prior, rng: np.random.Generator, count: int = 1000
) -> Posterior:
    """Draws members for a curve.

    Args:
        curve: observations.
        chance_error: error of guessing.
        prior: of the members' coordinates.
        rng: source of randomness.
        count: number of members.
    """
    centre, root = _start(curve, chance_error, prior)
    rounds: list[tuple[np.ndarray, np.ndarray]] = []
    proposals: list[tuple[np.ndarray, np.ndarray]] = []
    per_round = max(count // 2, 100)
    enough = 0.25 * count
    for number in range(_ROUNDS[1]):
        members = _propose(rng, centre, root, per_round)
        rounds.append((members, _log_posterior(members, curve, chance_error, prior)))
        proposals.append((centre, root))
        rounds, proposals = rounds[-_KEPT:], proposals[-_KEPT:]
        members, log_p = (np.concatenate(part) for part in zip(*rounds, strict=True))
        log_q = np.logaddexp.reduce([_log_proposal(members, *each) for each in proposals], axis=0)
        log_ratio = log_p - log_q + np.log(len(proposals))
        weights = _weights(log_ratio)
        effective = 1.0 / np.sum(weights**2)
        if number + 1 >= _ROUNDS[0] and effective >= enough:
            break
        tempered = weights if effective >= 0.1 * count else _tempered(log_ratio, 0.1 * count)
        centre = tempered @ members
        off = members - centre
        spread = (off * tempered[:, None]).T @ off * 1.1
        root = np.linalg.cholesky(spread + 1e-8 * np.eye(COORDINATES))
    evidence = float(np.logaddexp.reduce(log_ratio) - np.log(len(log_ratio)))
    # Systematic resampling: every member as often as its weight says, to within one.
    edges = np.cumsum(weights)
    picks = np.searchsorted(edges / edges[-1], (np.arange(count) + rng.random()) / count)
    mode = members[np.argmax(log_p)]
    members = members[rng.permutation(picks)]
    knots = _knots(curve.log_x)
    residual = curve.means - family.log_error(members, curve.log_x, chance_error)
    broken = _draw_break(members, residual, curve, rng)
    misfit = _draw_misfit(members, residual, broken, curve, knots, rng)
    return Posterior(members, mode, knots, misfit, broken, chance_error, evidence)


def _start(curve: Curve, chance_error: float, prior: Prior) -> tuple[np.ndarray, np.ndarray]:
    """A first proposal: the prior, around the level and slope of the curve's larger half."""
    mean, sd = prior.shape
    half = len(curve.sizes) // 2
    slope = -np.polyfit(curve.log_x[half:], curve.means[half:], 1)[0] if half else 0.3
    last = min(float(np.exp(curve.means[-1])) / chance_error, 0.97)
    centre = np.concatenate([[logit(last), np.log(np.clip(slope, 0.03, 2.0))], mean[1:]])
    return centre, np.diag(np.concatenate([[0.2 / (1.0 - last), 0.7], sd[1:]]))


def _log_posterior(
    members: np.ndarray, curve: Curve, chance_error: float, prior: Prior
) -> np.ndarray:
    """(M,) up to a constant; the prior of the error at the largest size is flat in LEVEL."""
    mean, sd = prior.shape
    values = np.column_stack([family.log_exponent(members), members[:, LIMIT:]])
    log_prior = -0.5 * np.sum(((values - mean) / sd) ** 2 + 2.0 * np.log(sd), axis=1)
    inside = np.all((members > family.LOWER) & (members < family.UPPER), axis=1)
    members = np.clip(members, family.LOWER, family.UPPER)
    residual = curve.means - family.log_error(members, curve.log_x, chance_error)
    log_likelihood = np.logaddexp.reduce(_log_likelihoods(members, residual, curve), axis=0)
    squares, freedom = curve.scatter
    if freedom > 0:
        log_likelihood -= freedom * members[:, NOISE]
        log_likelihood -= 0.5 * squares * np.exp(-2.0 * members[:, NOISE])
    return np.where(inside, log_prior + log_likelihood, -np.inf)


def _breaks(curve: Curve) -> np.ndarray:
    """Sizes, by index, at which the slope may jump: three and more below, four and more above."""
    count = len(curve.sizes)
    return np.arange(4, count - 3) if count >= _SIZES_FOR_A_BREAK else np.arange(0)


def _log_likelihoods(members: np.ndarray, residual: np.ndarray, curve: Curve) -> np.ndarray:
    """(1 + breaks, M): of the means, without a break and with one at each place, times its prior.

    A Kalman filter from the largest size downwards; its state is the misfit and its slope.
    """
    breaks = _breaks(curve)
    variance = np.exp(2.0 * members[:, NOISE])
    wander = np.exp(2.0 * members[:, MISFIT])
    shape = (1 + len(breaks), len(members))
    misfit, slope, doubt, both, doubt_slope, log_p = (np.zeros(shape) for _ in range(6))
    for i in range(len(curve.sizes) - 1, -1, -1):
        if i + 1 < len(curve.sizes):
            doubt_slope[1:][breaks == i + 1] += _JUMP**2
            step = curve.log_x[i + 1] - curve.log_x[i]
            misfit = misfit + step * slope
            doubt = doubt + step * (2.0 * both + step * doubt_slope) + wander * step**3 / 3.0
            both = both + step * doubt_slope + wander * step**2 / 2.0
            doubt_slope = doubt_slope + wander * step
        total = doubt + variance / curve.counts[i]
        surprise = residual[:, i] - misfit
        log_p -= 0.5 * (np.log(total) + surprise**2 / total)
        gain, gain_slope = doubt / total, both / total
        misfit, slope = misfit + gain * surprise, slope + gain_slope * surprise
        doubt_slope = doubt_slope - gain_slope * both
        doubt, both = doubt * (1.0 - gain), both * (1.0 - gain)
    if len(breaks):
        log_p[0] += np.log(1.0 - _BREAK)
        log_p[1:] += np.log(_BREAK / len(breaks))
    return log_p


def _draw_break(
    members: np.ndarray, residual: np.ndarray, curve: Curve, rng: np.random.Generator
) -> np.ndarray:
    """(M,) index of the size at which each member's slope jumps, -1 for none."""
    log_p = _log_likelihoods(members, residual, curve)
    edges = np.cumsum(np.exp(log_p - log_p.max(axis=0)), axis=0)
    picks = np.sum(edges < rng.random(len(members)) * edges[-1], axis=0)
    return np.append(-1, _breaks(curve))[picks]


def _propose(
    rng: np.random.Generator, centre: np.ndarray, root: np.ndarray, count: int
) -> np.ndarray:
    scale = np.sqrt(rng.chisquare(_FREEDOM, count) / _FREEDOM)
    return centre + (rng.standard_normal((count, COORDINATES)) / scale[:, None]) @ root.T


def _log_proposal(members: np.ndarray, centre: np.ndarray, root: np.ndarray) -> np.ndarray:
    z = np.linalg.solve(root, (members - centre).T)
    square = np.sum(z**2, axis=0) / _FREEDOM
    constant = np.sum(np.log(np.diag(root)))
    return -0.5 * (_FREEDOM + COORDINATES) * np.log1p(square) - constant


def _weights(log_ratio: np.ndarray) -> np.ndarray:
    weights = np.exp(log_ratio - log_ratio.max())
    return weights / weights.sum()


def _tempered(log_ratio: np.ndarray, effective: float) -> np.ndarray:
    """Weights to a power at which this many members carry them."""
    low, high = 0.0, 1.0
    for _ in range(20):
        middle = 0.5 * (low + high)
        weights = _weights(middle * log_ratio)
        low, high = (middle, high) if 1.0 / np.sum(weights**2) > effective else (low, middle)
    return _weights(low * log_ratio)


def _knots(log_x: np.ndarray) -> np.ndarray:
    """The measured sizes, and between and beyond them points at which the misfit is drawn."""
    below = log_x[0] - np.arange(1, 8) * 0.5
    beyond = np.arange(1, 22) * 0.35
    between = [
        np.linspace(a, b, int(np.ceil((b - a) / 0.5)), endpoint=False)[1:]
        for a, b in itertools.pairwise(log_x)
    ]
    return np.sort(np.concatenate([below, log_x, *between, beyond]))


def _draw_misfit(
    members: np.ndarray,
    residual: np.ndarray,
    broken: np.ndarray,
    curve: Curve,
    knots: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Each member's misfit at the knots, drawn given the observations: (M, K).

    A path is drawn without looking at the observations, and then moved by what their distances
    from it say (Matheron's rule).
    """
    count, last = len(members), int(np.searchsorted(knots, 0.0))
    wander = np.exp(members[:, MISFIT])[:, None]
    variance = np.exp(2.0 * members[:, NOISE])[:, None] / curve.counts  # (M, I)
    below = -knots[last::-1]  # distances from the largest size, ascending, the first is 0
    path = wander * _integrated_walk(rng, count, below)
    where = np.searchsorted(below, -curve.log_x)  # of the measured sizes
    distance = -curve.log_x[broken]  # of the break
    jump = np.where(broken >= 0, _JUMP, 0.0)[:, None]
    tail = jump * np.maximum(below - distance[:, None], 0.0)  # (M, K'), of a unit jump
    path += tail * rng.standard_normal((count, 1))
    shared = wander[:, :, None] ** 2 * _covariance(below, below[where])
    shared = shared + tail[:, :, None] * tail[:, None, where]  # (M, K', I)
    total = shared[:, where] + variance[:, :, None] * np.eye(len(where))
    noise = np.sqrt(variance) * rng.standard_normal(variance.shape)
    off = np.linalg.solve(total, (residual - path[:, where] - noise)[:, :, None])
    path += (shared @ off)[:, :, 0]
    beyond = wander * _integrated_walk(rng, count, knots[last:])
    return np.concatenate([path[:, :0:-1], beyond], axis=1)


def _integrated_walk(rng: np.random.Generator, count: int, at: np.ndarray) -> np.ndarray:
    """Integrals (count, K) of Brownian motions from at[0], where they and their slopes are 0."""
    steps = np.diff(at)
    one, two = rng.standard_normal((2, count, len(steps)))
    slope = np.cumsum(np.sqrt(steps) * one, axis=1)
    before = np.concatenate([np.zeros((count, 1)), slope[:, :-1]], axis=1)
    rise = steps * before + steps**1.5 * (one / 2.0 + two / np.sqrt(12.0))
    return np.concatenate([np.zeros((count, 1)), np.cumsum(rise, axis=1)], axis=1)


def _covariance(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Of the integral of a Brownian motion at distances u and v: (U, V)."""
    small, large = np.minimum(u[:, None], v), np.maximum(u[:, None], v)
    return small**2 * (3.0 * large - small) / 6.0
