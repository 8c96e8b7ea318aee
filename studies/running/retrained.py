"""Whether a run trains again what it has trained before: its records are there, its weights are not."""

from __future__ import annotations

from collections.abc import Iterator

from studies.records.checkpoints import FINAL, FOLDER, is_trained
from studies.running.runner import Plan
from studies.study.trial import Training, Trial


def advice(plan: Plan, retry_failed: bool = False) -> str:
    """One sentence where weights of finished trainings are needed and gone, else nothing.

    Args:
        plan: whose missing trials need them.
        retry_failed: whether trials that failed are among those.
    """
    if not plan.records:
        return ""
    done = [t for t in plan.trials if plan.records.get(t.trial_id, {}).get("status") == "done"]
    finished = {part.training_id for trial in done for part in trial.chain}
    missing = [
        trial
        for trial in plan.missing(retry_failed)
        if any(part.training_id in finished for part in trial.chain)
    ]
    there = _ends(plan, missing) if missing else set()
    gone = {
        part.training_id
        for trial in missing
        for part in _left(trial, there)
        if part.training_id in finished
    }
    if not gone:
        return ""
    where = plan.place.address(plan.results / FOLDER)
    one = len(gone) == 1
    return (
        f"the weights of {len(gone):,} finished training{'' if one else 's'} are gone: "
        f"{'it is' if one else 'they are'} trained again, and what is measured then may be of other weights "
        f"than the records; if the former run's checkpoints are kept elsewhere, put them in {where} first."
    )


def _left(trial: Trial, there: set[str]) -> Iterator[Training]:
    """Trainings of a chain that are to be done, as `studies.records.checkpoints.untrained` gives them."""
    for part in reversed(trial.chain):
        if part.objective == "none" or part.training_id in there:
            return
        yield part


def _ends(plan: Plan, trials: list[Trial]) -> set[str]:
    """Ids of the trainings whose weights are in storage; what cannot be asked counts as there."""
    parts = {part.training_id: part for trial in trials for part in trial.chain}
    bucket = plan.place.bucket(FOLDER)
    if bucket is None:
        return {key for key, part in parts.items() if is_trained(plan.results, part)}
    try:
        names = bucket.stamps("")
    except OSError:  # the run will say so
        return set(parts)
    return {key for key in parts if f"{key}/{FINAL}" in names}
