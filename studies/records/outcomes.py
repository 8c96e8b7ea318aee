"""What every trial said about every test image: RUN/outcomes/<trial_id>.npz, one file a trial.

The file is there before its record's line, and whole or not at all. Arrays are those of
`studies.analysis.outcomes.Outcomes`, in small types: class numbers in as few bytes as they need,
probabilities in half precision (to 0.0005).
"""

from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path

import numpy as np

from studies.analysis.outcomes import FIELDS, Outcomes

FOLDER = "outcomes"
_WIDE = {"i": np.int64, "u": np.int64, "f": np.float64}  # what arrays are read as, by dtype.kind


def outcomes_path(folder: Path, trial_id: str) -> Path:
    """Where the outcomes of a trial lie in a results folder."""
    return folder / FOLDER / f"{trial_id}.npz"


def outcomes_of(
    seed: int, logits: np.ndarray, labels: np.ndarray, ids: np.ndarray, groups: np.ndarray
) -> Outcomes:
    """What a trained model's logits say about the test images.

    Args:
        seed: of the trial.
        logits: (N, C).
        labels: (N,) integers.
        ids: (N,) each image's number in the data set.
        groups: (N,) integers, equal for images that belong together.
    """
    logits = np.asarray(logits, np.float64)
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities = shifted / shifted.sum(axis=-1, keepdims=True)
    predicted = np.argmax(logits, axis=-1)
    rows = np.arange(len(labels))
    return Outcomes(
        seed=seed,
        image=np.asarray(ids),
        group=np.asarray(groups),
        label=np.asarray(labels),
        predicted=predicted,
        confidence=probabilities[rows, predicted],
        label_probability=probabilities[rows, labels],
    )


def save_outcomes(path: Path, outcomes: Outcomes) -> None:
    """Write a file of outcomes in one step.

    Raises:
        OSError: it cannot be written; then `path` is as it was.
    """
    classes = int(max(outcomes.label.max(), outcomes.predicted.max()))
    arrays = {
        "image": outcomes.image.astype(np.int32),
        "group": outcomes.group.astype(np.int32),
        "label": outcomes.label.astype(np.min_scalar_type(classes)),
        "predicted": outcomes.predicted.astype(np.min_scalar_type(classes)),
        "confidence": outcomes.confidence.astype(np.float16),
        "label_probability": outcomes.label_probability.astype(np.float16),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, seed=np.int64(outcomes.seed), **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def load_outcomes(path: Path) -> Outcomes | None:
    """Read a file of outcomes; None where there is none, or, said on stderr, where it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name].astype(_WIDE[file[name].dtype.kind]) for name in FIELDS}
            return Outcomes(seed=int(file["seed"]), **arrays)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        print(f"{path} is damaged and passed over ({error}).", file=sys.stderr)
        return None
