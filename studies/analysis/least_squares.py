"""Bounded nonlinear least squares for thousands of small problems at once.

A bootstrap refits the same curve a thousand times. One Levenberg-Marquardt iteration over all
replicates together costs about as much as one call of a general solver for a single replicate.
"""

from __future__ import annotations

import numpy as np

from studies.analysis.forms import Form


def fit_many(
    form: Form,
    log_t: np.ndarray,
    log_errors: np.ndarray,
    weights: np.ndarray,
    noise: float,
    starts: np.ndarray,
    iterations: int = 60,
) -> tuple[np.ndarray, np.ndarray]:
    """Fits one form to many curves, each from several starting points.

    Minimises sum_i w_i (y_i - log e(t_i))^2 + noise^2 * sum_p ((theta_p - centre_p)/spread_p)^2
    within the form's bounds.

    Args:
        form: the scaling-law form.
        log_t: (I,) logs of the scaled sizes.
        log_errors: (B, I) one curve a row.
        weights: (I,) number of observations behind each size.
        noise: standard deviation of one log error; sets how much the prior counts.
        starts: (K, P), tried for every curve, or (B, K, P).
        iterations: at most this many steps.

    Returns:
        Parameters (B, P) and the cost (B,) of the best start.
    """
    count, num_starts = log_errors.shape[0], starts.shape[-2]
    parameters = starts.shape[-1]
    theta = np.broadcast_to(starts, (count, num_starts, parameters)).reshape(-1, parameters)
    theta = np.clip(theta, form.lower, form.upper)
    target = np.repeat(log_errors, num_starts, axis=0)  # (B*K, I)
    root = np.sqrt(weights)
    pull = noise / form.spread  # (P,), zero where there is no prior

    def cost_of(theta: np.ndarray, target: np.ndarray) -> np.ndarray:
        residual = root * (form.log_error(theta, log_t) - target)
        return np.sum(residual**2, -1) + np.sum((pull * (theta - form.centre)) ** 2, -1)

    cost = cost_of(theta, target)
    damping = np.full(len(theta), 1e-2)
    active = np.arange(len(theta))  # rows still moving
    for _ in range(iterations):
        here, goal = theta[active], target[active]
        value, jacobian = form.log_error_and_jacobian(here, log_t)
        jacobian = root[:, None] * jacobian  # (A, I, P)
        residual = root * (value - goal)
        gradient = np.einsum("aip,ai->ap", jacobian, residual) + pull**2 * (here - form.centre)
        hessian = np.einsum("aip,aiq->apq", jacobian, jacobian)
        diagonal = np.arange(parameters)
        hessian[:, diagonal, diagonal] += pull**2
        # A parameter at its bound whose descent direction points outwards is held there.
        held = ((here <= form.lower) & (gradient > 0)) | ((here >= form.upper) & (gradient < 0))
        gradient[held] = 0.0
        free = ~held
        hessian *= free[:, :, None] & free[:, None, :]
        scale = hessian[:, diagonal, diagonal]
        hessian[:, diagonal, diagonal] += damping[active, None] * scale + np.where(held, 1.0, 1e-12)
        step = -np.linalg.solve(hessian, gradient[..., None])[..., 0]
        trial = np.clip(here + step, form.lower, form.upper)
        trial_cost = cost_of(trial, goal)
        better = trial_cost <= cost[active]
        gain = cost[active] - trial_cost
        rows = active[better]
        theta[rows], cost[rows] = trial[better], trial_cost[better]
        damping[active] = np.clip(
            np.where(better, damping[active] * 0.2, damping[active] * 6.0), 1e-10, 1e10
        )
        still = np.where(better, gain > 1e-9 * cost[active] + 1e-16, damping[active] < 1e8)
        active = active[still]
        if active.size == 0:
            break
    cost = cost.reshape(count, num_starts)
    best = np.argmin(cost, axis=1)
    chosen = np.arange(count)
    return theta.reshape(count, num_starts, parameters)[chosen, best], cost[chosen, best]
