"""Was a model trained long enough to be judged? From its training curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtri

# A model is undertrained where its validation accuracy still gained more than GAIN in the last
# quarter of its steps, beyond noise, while its training loss fell by more than FALL; or where it
# began with drawn weights and saw every training image fewer than EPOCHS times (trained ones need far
# fewer steps). Tried on the committed results: at 50,000 images of Fashion-MNIST the ViTs gained 1.1
# points in their last quarter, 0.3 of them noise, and twice the steps bought 0.7 points: not
# undertrained; the ResNet of `quick` gained 2 to 3 points: undertrained.
GAIN = 0.01
FALL = 0.01  # nats
EPOCHS = 5.0
LAST = 0.25  # part of the steps that is looked at
CONFIDENCE = 0.95  # one-sided, with which the gain exceeds GAIN
FEW = 8  # with fewer validations a curve's own jitter cannot be told from its bend


@dataclass(frozen=True)
class Training:
    """How far a model's training had come at one size, over its seeds.

    Attributes:
        undertrained: whether longer training is likely to change the answer.
        reason: why, in words; empty where it is not undertrained.
        gain: validation accuracy gained in the last quarter of the steps; NaN without a curve.
        noise: standard error of the gain; NaN where nothing shows it.
        fall: fall of the training loss over the same steps, in nats.
        epochs: how often each training image was seen.
    """

    undertrained: bool
    reason: str
    gain: float
    noise: float
    fall: float
    epochs: float


class Course(NamedTuple):
    """What tells of one training whether it had ended: its curve over the last quarter of its steps.

    Attributes:
        gain: change of validation accuracy.
        fall: fall of the training loss, in nats.
        jitter: variance of a gain by the curve's own jitter; NaN with too few validations.
    """

    gain: float
    fall: float
    jitter: float


def judge_training(
    histories: Sequence[Sequence[Mapping[str, Any]]],
    size: int,
    steps: int,
    batch_size: int,
    from_scratch: bool = True,
) -> Training:
    """Judges one model's training at one size.

    The noise of the mean gain is the scatter of the gain over the seeds, or, where that is larger,
    the jitter of the curves themselves, from their second differences.

    Args:
        histories: one a seed, a list of entries with step, loss and val_top1.
        size: number of training images.
        steps, batch_size: of the recipe.
        from_scratch: whether it began with drawn weights, not with trained ones.

    Example:
        >>> judge_training([r["history"] for r in records], 2000, 800, 64).undertrained
        True
    """
    courses = [course(history) for history in histories]
    return judge_courses(courses, size, steps, batch_size, from_scratch)


def judge_courses(
    courses: Sequence[Course | None],
    size: int,
    steps: int,
    batch_size: int,
    from_scratch: bool = True,
) -> Training:
    """`judge_training` of what `course` has made of each seed's history."""
    epochs = steps * batch_size / size
    known = [found for found in courses if found is not None]
    if known:
        gains = np.array([each.gain for each in known])
        gain = float(gains.mean())
        fall = float(np.mean([each.fall for each in known]))
        noise = _noise(gains, [each.jitter for each in known if not math.isnan(each.jitter)])
    else:
        gain = fall = noise = math.nan
    reasons = []
    beyond = gain - float(ndtri(CONFIDENCE)) * noise  # NaN says nothing, and compares as False
    if beyond > GAIN and fall > FALL:
        reasons.append(
            f"still gained {100 * gain:.1f} points of validation accuracy in the last "
            f"{100 * LAST:.0f} % of its steps"
        )
    if from_scratch and epochs < EPOCHS:
        reasons.append(f"saw each training image only {epochs:.1f} times")
    return Training(bool(reasons), " and ".join(reasons), gain, noise, fall, epochs)


def course(history: Sequence[Mapping[str, Any]]) -> Course | None:
    """The course of one training; None where its last quarter holds no curve."""
    rows = [(entry.get("step"), entry.get("loss"), entry.get("val_top1")) for entry in history]
    known = np.array([row for row in rows if None not in row], dtype=float).reshape(-1, 3)
    finite = np.isfinite(known)
    if not finite.all():
        known = known[finite.all(axis=1)]
    if not len(known) or known[0, 0] > (1.0 - LAST) * known[-1, 0]:
        return None
    step, loss, value = known.T
    jitter = math.nan
    if len(value) >= FEW:
        # The second half alone: in the first one the curve itself bends. A second difference of
        # independent errors has 1 + 4 + 1 times their variance, a gain twice.
        once = np.subtract(value[len(value) // 2 + 1 :], value[len(value) // 2 : -1])
        jitter = float(((once[1:] - once[:-1]) ** 2).mean() / 3)
    return Course(_at_end(step, value), -_at_end(step, loss), jitter)


def _at_end(step: np.ndarray, value: np.ndarray) -> float:
    """Change over the last quarter of the steps."""
    return float(value[-1] - np.interp((1.0 - LAST) * step[-1], step, value))


def _noise(gains: np.ndarray, jitters: Sequence[float]) -> float:
    variances = [float(gains.var(ddof=1))] if len(gains) > 1 else []
    if jitters:
        variances.append(float(np.mean(jitters)))
    return math.sqrt(max(variances) / len(gains)) if variances else math.nan
