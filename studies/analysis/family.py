"""The family of scaling laws that is averaged over, for many members at once.

Error e as a function of the number of training images x, with x_L the largest measured size and e_0
the error of guessing:

    (e - e_inf) / (e_0 - e)^a = b x^-c

It contains the usual forms: M4 as it stands, M2 (e = b x^-c + e_inf) where a goes to 0 or the error
is far below guessing, M1 (a power law) where e_inf goes to 0 too.

A member is a row of six coordinates that are independent of units and, nearly, of each other: the
error and the slope at x_L are what measurements fix best, the rest is what they leave open.

    LEVEL   logit of e(x_L) / e_0
    SLOPE   log of -d log e / d log x at x_L
    LIMIT   logit of e_inf / e(x_L)
    BEND    log a
    NOISE   log of the standard deviation of one result's log error
    MISFIT  log of the standard deviation by which the slope strays from a member's in an e-fold

Reference: Alabdulmohsin, Neyshabur, Zhai, "Revisiting Neural Scaling Laws in Language and Vision",
NeurIPS 2022, arXiv 2209.06640.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit, log_expit

LEVEL, SLOPE, LIMIT, BEND, NOISE, MISFIT = range(6)
COORDINATES = 6

# Far outside of what has been seen in any learning curve; keeps the arithmetic finite.
LOWER = np.array([-14.0, -7.0, -9.0, -5.0, -9.0, -9.0])
UPPER = np.array([14.0, 2.0, 9.0, 2.0, 1.0, 1.0])

_AT_ONCE = 8192  # errors


def log_error(members: np.ndarray, log_x: np.ndarray, chance_error: float) -> np.ndarray:
    """Log error of every member.

    Args:
        members: (M, 6) coordinates.
        log_x: (N,) natural logs of size / x_L, or (M, N), other sizes for every member.
        chance_error: e_0.

    Returns:
        (M, N).
    """
    p = parameters(members, chance_error)
    e_inf, a = p["e_inf"][:, None], p["a"][:, None]
    room = chance_error - e_inf
    target = p["log_b"][:, None] - p["c"][:, None] * log_x - (1.0 - a) * np.log(room)
    z = np.empty_like(target)
    rows = max(1, _AT_ONCE // max(1, target.shape[1]))
    for begin in range(0, len(z), rows):  # what is worked with stays in the processor's cache
        part = slice(begin, begin + rows)
        z[part] = _logit(target[part], a[part])
    return np.log(e_inf + room * expit(z))


def _logit(target: np.ndarray, a: np.ndarray) -> np.ndarray:
    """z (M, N) of e = e_inf + room * sigmoid(z): where log sigmoid(z) - a log sigmoid(-z) is the target.

    That is increasing, and convex or concave, so Newton's method cannot leave its basin.
    """
    z = np.where(target > 0, target / a, target)
    # Each stops by itself, so that an error does not depend on which others are asked for with it.
    moving = np.ones(z.shape, bool)
    for _ in range(12):
        small = np.exp(-np.abs(z))
        soft = np.maximum(z, 0.0) + np.log1p(small)  # log(1 + exp(z))
        sigma = np.where(z > 0, 1.0, small) / (1.0 + small)
        step = (z - soft + a * soft - target) / (1.0 - sigma + a * sigma)
        np.subtract(z, step, out=z, where=moving)
        moving &= np.abs(step) >= 1e-7
        if not moving.any():
            break
    return z


def parameters(members: np.ndarray, chance_error: float) -> dict[str, np.ndarray]:
    """The parameters as in the equation, with x in units of x_L: log_b, c, e_inf, a.

    Args:
        members: (M, 6) coordinates.
        chance_error: e_0.

    Returns:
        Arrays (M,) by name.
    """
    last = chance_error * expit(members[:, LEVEL])
    room = chance_error * expit(-members[:, LEVEL])  # e_0 - e(x_L)
    above = last * expit(-members[:, LIMIT])  # e(x_L) - e_inf
    a = np.exp(members[:, BEND])
    return {
        "log_b": np.log(above) - a * np.log(room),
        "c": np.exp(log_exponent(members)),
        "e_inf": last - above,
        "a": a,
    }


def log_exponent(members: np.ndarray) -> np.ndarray:
    """Log of c, (M,)."""
    # From the slope at x_L: d log e / d log x = -c (e - e_inf)(e_0 - e) / (e (e_0 - e + a (e - e_inf))).
    log_share = log_expit(-members[:, LIMIT])
    bent = np.exp(members[:, BEND] + members[:, LEVEL] + log_share)
    return members[:, SLOPE] + np.log1p(bent) - log_share
