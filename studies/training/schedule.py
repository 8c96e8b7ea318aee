"""The learning rate over a training's steps, whose height may be a variable of the compiled step.

Reference: Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, arXiv 2010.11929, B.1.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

LINEAR_END = 1e-5  # where the paper's linear decay ends
_PREFIX = "rate_"  # of the variables' names


@keras.saving.register_keras_serializable(package="studies")
class WarmupDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate that rises linearly over the warmup and then decays until the last step.

    Step s counts from 0. Warmup over w steps: peak * (s + 1) / w. Then, with p = (s - w) / (steps - w):
    "cosine" gives peak * (1 + cos(pi p)) / 2, "linear" goes from the peak to 1e-5 (the paper's end).

    Args:
        peak: the highest learning rate.
        steps: number of training steps.
        warmup: number of warmup steps, below `steps`.
        kind: "cosine" or "linear".
    """

    def __init__(self, peak: float, steps: int, warmup: int, kind: str = "cosine") -> None:
        self.peak = peak
        self.steps = steps
        self.warmup = warmup
        self.kind = kind
        self._variables: list[keras.Variable] = []

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")  # whatever the model's policy: half precision cannot count
        progress = (step - self.warmup) / max(self.steps - self.warmup, 1)
        progress = ops.clip(progress, 0.0, 1.0)
        peak, fall = self._variables or self._constants()
        if self.kind == "cosine":
            decayed = 0.5 * peak * (1.0 + ops.cos(math.pi * progress))
        else:
            decayed = peak + fall * progress
        if self.warmup == 0:
            return decayed
        if self._variables and keras.backend.backend() != "torch":
            # Compilers multiply constants before all else: so must a variable, for the same bits.
            return ops.where(step < self.warmup, (peak / self.warmup) * (step + 1.0), decayed)
        return ops.where(step < self.warmup, peak * (step + 1.0) / self.warmup, decayed)

    def let_vary(self, model: keras.Model) -> None:
        """Make the peak a variable: one compiled step then serves trainings at several learning rates.

        Args:
            model: compiled with this schedule; its optimizer is built.
        """
        optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # of float16
        self._variables = [
            optimizer.add_variable((), dtype="float32", name=f"{_PREFIX}{name}")
            for name in ("peak", "fall")
        ]
        self.set_peak(self.peak)

    def set_peak(self, peak: float) -> None:
        """Have another highest learning rate from now on; `let_vary` comes before."""
        self.peak = peak
        # As constants these numbers are computed in double precision and rounded once.
        for variable, value in zip(self._variables, self._constants(), strict=True):
            variable.assign(value)

    def _constants(self) -> tuple[float, float]:
        return self.peak, min(LINEAR_END, self.peak) - self.peak

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "steps": self.steps,
            "warmup": self.warmup,
            "kind": self.kind,
        }


def state_of(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """An optimizer's variables, without a varying learning rate: that is the recipe's."""
    return [variable for variable in optimizer.variables if not variable.name.startswith(_PREFIX)]
