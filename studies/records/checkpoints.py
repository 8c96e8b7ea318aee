"""Where trained weights lie among the results: `.checkpoints/<training_id>/`, for all studies."""

from __future__ import annotations

from pathlib import Path

from studies.study.trial import Training

FOLDER = ".checkpoints"
FINAL = "final.ckpt"  # is there once a training has come to its end
MODEL = "best.keras"  # of a trial that is done
THREADS = "threads.json"  # with how many it began
ENDED = "ended"  # the event with which a trial's process waits until a training's end is in storage
STORED = ".stored"  # is there then, beside the end that counts; it means nothing on other machines


def checkpoint_folder(results: Path, training: Training) -> Path:
    """Where a training's checkpoints lie; trials that differ in their evaluation alone share it.

    Args:
        results: the folder of all studies.
        training: or a trial, for the last training of its chain.
    """
    return Path(results) / FOLDER / training.training_id


def checkpoint_name(training: Training, file: str = "") -> str:
    """The same, or that of a file in it, relative to the folder of all studies."""
    return (checkpoint_folder(Path(), training) / file).as_posix()


def is_trained(results: Path, training: Training) -> bool:
    """Whether nothing is left to train: it has come to its end, or only takes given weights."""
    done = training.objective == "none"
    return done or (checkpoint_folder(results, training) / FINAL).exists()


def untrained(results: Path, training: Training) -> list[Training]:
    """The trainings of a chain that are still to be done, from the first on.

    What comes before one that is trained is not needed any more.
    """
    found: list[Training] = []
    for each in reversed(training.chain):
        if is_trained(results, each):
            break
        found.insert(0, each)
    return found


def claimed(results: Path, training: Training) -> set[str]:
    """Ids whose folders a trial writes to: two trials that share one cannot run at the same time.

    That of the last training is always among them, since its evaluations take turns.
    """
    ids = {each.training_id for each in untrained(results, training)}
    return ids | {training.training_id}
