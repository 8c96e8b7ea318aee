"""The four scaling-law forms, evaluated for many parameter sets at once.

Error e as a function of the number of training images x, written with t = x / x0 (x0 is the
geometric mean of the measured sizes, so that the parameters are of order one):

    M1   e = b t^-c
    M2   e = b t^-c + e_inf
    M3   e = b (1/t + g)^c
    M4   (e - e_inf) / (e_0 - e)^a = b t^-c        e_0: the error of guessing

Every form is fitted in log error, because a learning curve's noise is roughly proportional to it.

Reference: Alabdulmohsin, Neyshabur, Zhai, "Revisiting Neural Scaling Laws in Language and Vision",
NeurIPS 2022, arXiv 2209.06640.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

# More than this exponent has never been seen in a learning curve; without an upper bound, a fit to
# two noisy points runs away.
_LARGEST_EXPONENT = 5.0


@dataclass(frozen=True)
class Form:
    """One scaling-law form: its parameters, their bounds, its values and derivatives.

    Args:
        name: "M1" to "M4".
        parameters: names, in the order of the parameter vector; the first is always log b.
        lower, upper: bounds, same order.
        centre, spread: the weak Gaussian prior (in units where the noise of log error has
            standard deviation 1); an infinite spread means no prior.
    """

    name: str
    parameters: tuple[str, ...]
    lower: np.ndarray
    upper: np.ndarray
    centre: np.ndarray
    spread: np.ndarray
    chance_error: float = 1.0

    def log_error(self, theta: np.ndarray, log_t: np.ndarray) -> np.ndarray:
        """Log of the predicted error.

        Args:
            theta: (..., P) parameters.
            log_t: (I,) natural logs of size / x0.

        Returns:
            (..., I).
        """
        return self._evaluate(theta, log_t, derivatives=False)[0]

    def log_error_and_jacobian(
        self, theta: np.ndarray, log_t: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `log_error`, with its derivatives (..., I, P)."""
        value, jacobian = self._evaluate(theta, log_t, derivatives=True)
        assert jacobian is not None
        return value, jacobian

    def starts(self, log_t: np.ndarray, log_error: np.ndarray) -> np.ndarray:
        """Starting points (K, P) spread over the plausible shapes, each level with the data."""
        smallest = float(np.exp(np.min(log_error)))
        choices = {
            "c": (0.1, 0.3, 0.7, 1.5),
            "e_inf": tuple(f * min(smallest, 0.99 * self.chance_error) for f in (0.0, 0.5, 0.9)),
            "g": (0.0, 0.1, 1.0),
            "a": (0.3, 1.0),
        }
        rest = list(product(*(choices[name] for name in self.parameters[1:])))
        theta = np.array([(0.0, *values) for values in rest])
        # Two corrections of log b suffice to bring any shape to the data's level.
        for _ in range(2):
            shift = np.mean(log_error - self.log_error(theta, log_t), axis=-1)
            theta[:, 0] += shift
        return np.clip(theta, self.lower, self.upper)

    def _evaluate(
        self, theta: np.ndarray, log_t: np.ndarray, derivatives: bool
    ) -> tuple[np.ndarray, np.ndarray | None]:
        log_b, c = theta[..., 0:1], theta[..., 1:2]  # (..., 1)
        power = log_b - c * log_t  # (..., I)
        ones = np.ones_like(power)
        if self.name == "M1":
            return power, np.stack([ones, -ones * log_t], -1) if derivatives else None
        if self.name == "M2":
            b_t = np.exp(power)
            error = b_t + theta[..., 2:3]
            if not derivatives:
                return np.log(error), None
            share = b_t / error
            return np.log(error), np.stack([share, -share * log_t, 1.0 / error], -1)
        if self.name == "M3":
            base = np.exp(-log_t) + theta[..., 2:3]
            value = log_b + c * np.log(base)
            if not derivatives:
                return value, None
            return value, np.stack([ones, np.log(base), c / base], -1)
        e_inf, a = theta[..., 2:3], theta[..., 3:4]
        room = self.chance_error - e_inf
        # With e = e_inf + room * sigmoid(z) the equation is -softplus(-z) + a softplus(z) = target:
        # increasing, and convex or concave, so Newton's method cannot leave its basin.
        target = power - (1.0 - a) * np.log(room)
        z = np.where(target > 0, target / a, target)
        for _ in range(12):
            soft = np.logaddexp(0.0, z)  # softplus(z); softplus(-z) = softplus(z) - z
            sigma = np.exp(z - soft)
            step = (z - soft + a * soft - target) / ((1.0 - sigma) + a * sigma)
            z = z - step
            if np.max(np.abs(step), initial=0.0) < 1e-10:
                break
        soft = np.logaddexp(0.0, z)
        above, below = room * np.exp(z - soft), room * np.exp(-soft)  # e - e_inf, e_0 - e
        error = e_inf + above
        if not derivatives:
            return np.log(error), None
        # Implicit differentiation of log(e - e_inf) - a log(e_0 - e) - log b + c log t = 0. It is
        # multiplied through by (e - e_inf)(e_0 - e), so that nothing divides by a vanishing gap.
        slope = (above * below) / (below + a * above) / error
        at_e_inf = below / (below + a * above) / error
        log_below = np.log(room) - soft
        return np.log(error), np.stack([slope, -slope * log_t, at_e_inf, slope * log_below], -1)


def make_form(name: str, chance_error: float = 1.0) -> Form:
    """Builds a form by name.

    Args:
        name: "M1", "M2", "M3" or "M4".
        chance_error: error of guessing; only M4 uses it.

    Raises:
        ValueError: the name is none of the four.
    """
    inf = np.inf
    # name: (lower, upper, centre of the prior, its spread), for everything after log b
    table: dict[str, tuple[float, float, float, float]] = {
        "c": (0.0, _LARGEST_EXPONENT, 0.0, inf),
        "e_inf": (0.0, 0.999 * chance_error, 0.0, inf),
        "g": (0.0, 1e3, 0.0, inf),
        # a = 1 is the logistic between guessing and the limit. Short curves hardly say anything
        # about a: without the prior M4 overfits them.
        "a": (0.05, 4.0, 1.0, 0.5),
    }
    names = {
        "M1": ("c",),
        "M2": ("c", "e_inf"),
        "M3": ("c", "g"),
        "M4": ("c", "e_inf", "a"),
    }
    if name not in names:
        raise ValueError(f"Unknown scaling-law form {name!r}; choose one of {', '.join(names)}.")
    rows = [(-50.0, 50.0, 0.0, inf)] + [table[parameter] for parameter in names[name]]
    lower, upper, centre, spread = (np.array(column) for column in zip(*rows, strict=True))
    return Form(name, ("log_b", *names[name]), lower, upper, centre, spread, chance_error)
