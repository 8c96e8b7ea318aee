"""Whether a study's steps are enough to judge its largest size by, before anything is trained."""

from __future__ import annotations

from math import ceil

from studies.analysis.undertrained import EPOCHS
from studies.running.runner import Plan


def advice(plan: Plan) -> str:
    """One sentence where the steps go through the images too few times for a verdict, else nothing."""
    # Of models that are trained from scratch: those that begin with trained weights need far fewer steps.
    scratch = [
        each
        for each in plan.trials
        if each.start is None and each.model.overrides.get("weights") is None and each.extra is None
    ]
    if not scratch:
        return ""
    trial = max(scratch, key=lambda trial: trial.size)
    seen = trial.recipe.steps * trial.recipe.batch_size / trial.size
    if seen >= EPOCHS:
        return ""
    enough = ceil(EPOCHS * trial.size / trial.recipe.batch_size)
    return (
        f"{trial.recipe.steps:,} steps go {seen:.1f} times through {trial.size:,} images, and a verdict "
        f"needs {EPOCHS:g} times: --steps {enough}, or fewer images by --sizes."
    )
