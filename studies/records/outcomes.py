"""What every trial said about every test image: RUN/outcomes/<trial_id>.npz, one file a trial.

The file is there before its record's line, and whole or not at all. Arrays are those of
`studies.analysis.outcomes.Outcomes`, in small types: class numbers in as few bytes as they need,
probabilities in half precision (to 0.0005).
"""

from __future__ import annotations

import io
import os
import sys
import zipfile
from pathlib import Path

import numpy as np

from studies.analysis.outcomes import FIELDS, Outcomes
from studies.machine.files import file_bytes
from studies.shown import printable

FOLDER = "outcomes"
_MOST = 2**30  # bytes of all arrays: test sets of tens of millions of images
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
        content = io.BytesIO(file_bytes(path))
        with zipfile.ZipFile(content) as archive:
            if sum(member.file_size for member in archive.infolist()) > _MOST:
                raise ValueError("it says that it holds more than any test set has")
        with np.load(content, allow_pickle=False) as file:
            arrays = {name: file[name] for name in FIELDS}
            found = {n: array.astype(_WIDE[array.dtype.kind]) for n, array in arrays.items()}
            return _sound(Outcomes(seed=int(file["seed"]), **found))
    except FileNotFoundError:
        return None
    except Exception as error:  # of many types, from the readers of archives and of arrays
        told = printable(" ".join(str(error).split()) or type(error).__name__)
        print(f"{path} is damaged and passed over ({told}).", file=sys.stderr)
        return None


def _sound(outcomes: Outcomes) -> Outcomes:
    """The same outcomes; raises ValueError where no model can have said so."""
    for name in ("label", "predicted"):
        numbers = getattr(outcomes, name)
        if numbers.dtype.kind == "f" or numbers.min() < 0:
            raise ValueError(f"{name} holds what is no number of a class")
    for name in ("confidence", "label_probability"):
        shares = getattr(outcomes, name)
        if not ((shares >= 0) & (shares <= 1)).all():
            raise ValueError(f"{name} holds what is no probability")
    return outcomes
