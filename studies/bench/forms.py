"""The usual forms of learning curves, fitted alone: what forecasts are compared with.

Reference: Alabdulmohsin, Neyshabur, Zhai, "Revisiting Neural Scaling Laws in Language and Vision",
NeurIPS 2022, arXiv 2209.06640.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import least_squares
from scipy.special import expit

FORMS = ("M1", "M2", "M4")


def fit_form(
    name: str, sizes: np.ndarray, errors: np.ndarray, chance_error: float
) -> Callable[[np.ndarray], np.ndarray]:
    """Fits M1, M2 or M4 by least squares in log error, from many starts.

    Args:
        name: "M1": b x^-c. "M2": b x^-c + e_inf. "M4": (e - e_inf) / (e_0 - e)^a = b x^-c.
        sizes, errors: the points.
        chance_error: e_0.

    Returns:
        The fitted form, a function of sizes.
    """
    centre, lowest = np.log(sizes).mean(), float(errors.min())

    def value(p: np.ndarray, x: np.ndarray) -> np.ndarray:  # p: log b, c, share e_inf / e_0, a
        power = p[0] - p[1] * (np.log(x) - centre)
        if name == "M1":
            return power
        e_inf = p[2] * chance_error
        if name == "M2":
            return np.logaddexp(power, np.log(e_inf))
        room, low, high = chance_error - e_inf, np.full(len(x), -60.0), np.full(len(x), 60.0)
        for _ in range(50):  # e = e_inf + room sigmoid(z); the left side increases with z
            z = 0.5 * (low + high)
            left = np.log(room * expit(z)) - p[3] * np.log(room * expit(-z))
            low, high = np.where(left < power, z, low), np.where(left < power, high, z)
        return np.log(e_inf + room * expit(z))

    bounds = ([-60.0, 0.0, 1e-9, 0.0], [60.0, 5.0, 0.99, 5.0])
    count = {"M1": 2, "M2": 3, "M4": 4}[name]
    fits = [
        least_squares(
            lambda p: value(p, sizes) - np.log(errors),
            [np.log(errors).mean() - 0.3, c, share * lowest / chance_error, a][:count],
            bounds=tuple(bound[:count] for bound in bounds),
        )
        for c in (0.2, 0.5, 1.0)
        for share in ((0.02, 0.5, 0.9) if count > 2 else (0.5,))
        for a in ((0.2, 1.0) if count > 3 else (1.0,))
    ]
    best = min(fits, key=lambda fit: fit.cost).x
    return lambda x: np.exp(value(best, x))
