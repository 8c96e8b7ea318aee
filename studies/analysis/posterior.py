"""Members of the family of scaling laws, drawn in proportion to how well they explain a curve.

The mean log error at size x is a member's log error plus a misfit, which wanders like a Brownian
motion in log x away from the largest size, plus noise. So a member has to describe the curve near
its end, from where one forecasts, best; and a forecast's doubt grows with its reach by as much as
the curve has been seen to leave the family.

Members are drawn by adaptive importance sampling (Cappé et al., "Adaptive importance sampling in
general mixture classes", 2008, arXiv 0710.4242), tempered as long as few members carry all weight.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy.special import logit

from studies.analysis import family
from studies.analysis.curve import Curve
from studies.analysis.family import COORDINATES, LIMIT, MISFIT, NOISE
from studies.analysis.priors import Prior

_ROUNDS = (6, 24)  # at least, at most
_KEPT = 4  # latest rounds that members are drawn from
_FREEDOM = 5.0  # of the Student proposals: heavier tails than any posterior here


@dataclass(frozen=True)
class Posterior:
    """Equally likely members with their misfits.

    Attributes:
        members: (M, 6).
        mode: (6,) the most probable one that was met.
        knots: (K,) ascending log sizes, in units of the largest size.
        misfit: (M, K) each member's misfit there; 0 at the largest size.
        chance_error: error of guessing.
        evidence: log of the probability of the curve, up to a constant that depends on it alone.
    """

    members: np.ndarray
    mode: np.ndarray
    knots: np.ndarray
    misfit: np.ndarray
    chance_error: float
    evidence: float

    def log_error(self, log_x: np.ndarray) -> np.ndarray:
        """Mean log errors (M, N) at N log sizes, in units of the largest size, at most 0."""
        value = family.log_error(self.members, log_x, self.chance_error)
        return np.minimum(value + self._misfit_at(log_x), 0.0)

    def log_centre(self, log_x: np.ndarray) -> np.ndarray:
        """Mean over members (N,) of their log errors; beyond the largest size without misfits.

        There their mean is zero, and would only add noise.
        """
        value = family.log_error(self.members, log_x, self.chance_error).mean(axis=0)
        inside = np.interp(log_x, self.knots, np.where(self.knots < 0, self.misfit.mean(axis=0), 0))
        return np.minimum(value + inside, 0.0)

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
    misfit = _misfits(members, curve, chance_error, knots, rng)
    return Posterior(members, mode, knots, misfit, chance_error, evidence)


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
    variance, misfit = np.exp(2.0 * members[:, NOISE]), np.exp(2.0 * members[:, MISFIT])
    log_likelihood = np.zeros(len(members))
    mean_misfit, doubt = np.zeros(len(members)), np.zeros(len(members))
    for i in range(len(curve.sizes) - 1, -1, -1):  # Kalman filter from the largest size downwards
        if i + 1 < len(curve.sizes):
            doubt = doubt + misfit * (curve.log_x[i + 1] - curve.log_x[i])
        total = doubt + variance / curve.counts[i]
        surprise = residual[:, i] - mean_misfit
        log_likelihood -= 0.5 * (np.log(total) + surprise**2 / total)
        mean_misfit = mean_misfit + doubt / total * surprise
        doubt = doubt * (1.0 - doubt / total)
    squares, freedom = curve.scatter
    if freedom > 0:
        log_likelihood -= freedom * members[:, NOISE] + 0.5 * squares / variance
    return np.where(inside, log_prior + log_likelihood, -np.inf)


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


def _misfits(
    members: np.ndarray,
    curve: Curve,
    chance_error: float,
    knots: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Each member's misfit at the knots, drawn given the observations: (M, K)."""
    residual = curve.means - family.log_error(members, curve.log_x, chance_error)
    variance, step = np.exp(2.0 * members[:, NOISE]), np.exp(2.0 * members[:, MISFIT])
    count, last = len(members), int(np.searchsorted(knots, 0.0))
    measured = {int(np.searchsorted(knots, x)): i for i, x in enumerate(curve.log_x)}
    normal = rng.standard_normal((count, len(knots)))
    out = np.zeros((count, len(knots)))
    gaps = np.diff(knots)
    out[:, last + 1 :] = np.cumsum(
        np.sqrt(step[:, None] * gaps[last:]) * normal[:, last + 1 :], axis=1
    )
    mean, doubt = np.zeros(count), np.zeros(count)
    filtered = {}
    for k in range(last, -1, -1):  # the filter of `_log_posterior`, with stops at every knot
        if k < last:
            doubt = doubt + step * gaps[k]
        if k in measured:
            i = measured[k]
            gain = doubt / (doubt + variance / curve.counts[i])
            mean, doubt = mean + gain * (residual[:, i] - mean), doubt * (1.0 - gain)
        filtered[k] = mean, doubt
    out[:, 0] = mean + np.sqrt(doubt) * normal[:, 0]
    for k in range(1, last):  # and back up, each knot given the one below it
        mean, doubt = filtered[k]
        gain = doubt / (doubt + step * gaps[k - 1])
        out[:, k] = mean + gain * (out[:, k - 1] - mean)
        out[:, k] += np.sqrt(doubt * (1.0 - gain)) * normal[:, k]
    return out
