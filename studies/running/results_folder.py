"""A results folder: what may be written to it, by whom, and which studies belong together.

Layout: study.toml, trials.jsonl (raw); summary.csv, report.md, figures/ (derived); logs/.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from studies.errors import UsageError
from studies.study.file import to_toml
from studies.study.study import Study


def merge(old: Study, new: Study, folder: Path) -> Study:
    """The study of a results folder, extended by more models, sizes, seeds or backends.

    Its commands are all that were typed, one a line; they may differ in anything else.

    Raises:
        UsageError: data, recipe, evaluation or a model of the same name differ.
    """
    other = f"the results in {folder} are of another"
    advice = "choose another folder with --results or another name with --name"
    if old.dataset != new.dataset:
        raise UsageError(f"{other} data set ({old.dataset}, not {new.dataset}); {advice}")
    if old.data and new.data and old.data.image_shape != new.data.image_shape:
        raise UsageError(
            f"{other} image size ({_times(old.data.image_shape)}, "
            f"not {_times(new.data.image_shape)}); {advice}"
        )
    if old.data and new.data and old.data.fingerprint != new.data.fingerprint:
        raise UsageError(f"{other} version of {new.dataset}: its images have changed; {advice}")
    for what in ("recipe", "evaluation"):
        difference = _difference(getattr(old, what), getattr(new, what))
        if difference:
            raise UsageError(f"{other} {what} ({difference}); {advice}")
    for name in old.models.keys() & new.models.keys():
        difference = _difference(old.models[name], new.models[name])
        if difference:
            raise UsageError(f"{other} model {name!r} ({difference}); {advice}")
    return new.model_copy(
        update={
            # The new run may be of some models alone, whose question is not the folder's.
            "question": new.question or old.question,
            "expected": new.expected or old.expected,
            "command": "\n".join(
                dict.fromkeys([*old.command.splitlines(), *new.command.splitlines()])
            ),
            "models": {**old.models, **new.models},
            "sizes": tuple(sorted({*old.sizes, *new.sizes})),
            "backends": tuple(dict.fromkeys([*old.backends, *new.backends])),
            "seeds": max(old.seeds, new.seeds),
        }
    )


def check_permitted(folder: Path) -> None:
    """Raise UsageError where a results folder cannot come to be; this writes nothing."""
    place = folder.expanduser().resolve()
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise _unwritable(folder, f"{place} is not a folder")
    if not os.access(place, os.W_OK | os.X_OK):
        raise _unwritable(folder, f"no permission to write to {place}")


def make_folder(folder: Path) -> None:
    """Create a results folder; raise UsageError where nothing can be written to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _unwritable(folder, str(error.strerror)) from error


def _unwritable(folder: Path, reason: str) -> UsageError:
    return UsageError(
        f"cannot write to the results folder {folder} ({reason}); choose another one with --results"
    )


@contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Hold a folder for one run; raise UsageError where another run holds it."""
    lock = FileLock(folder / ".run.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(
            f"another run is at work in {folder}; wait for it, or choose another --name"
        ) from None
    try:
        yield
    finally:
        lock.release()


def write_study(study: Study, folder: Path) -> None:
    """Replace a folder's study.toml in one step; raise UsageError where that is impossible."""
    path = folder / "study.toml"
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        temporary.write_text(to_toml(study), encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise _unwritable(folder, str(error.strerror)) from error


def _difference(old: Any, new: Any) -> str:
    before, after = old.model_dump(mode="json"), new.model_dump(mode="json")
    for key in before:
        if before[key] != after[key]:
            return f"{key} {before[key]}, not {after[key]}"
    return ""


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(str(length) for length in shape)
