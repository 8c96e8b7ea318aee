"""From a source to a prepared folder: written, checked, and without what cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from studies.data.checks import Facts, Watched, facts
from studies.data.decoded import Chosen, image_name
from studies.data.images import Advance
from studies.data.prepare import write
from studies.data.progress import progress
from studies.errors import UsageError

FACTS = "facts"  # of the description

Shown = Callable[[str, int], AbstractContextManager[Advance]]


def build(folder: Path, source: Any, shown: Shown = progress) -> dict[str, Any]:
    """Writes a source's images into a folder, and finds out what should be known of them.

    Images that cannot be read are left out, and listed in the facts: whether they are refused is
    decided when the data are opened.

    Args:
        folder: empty.
        source: as of `prepare.Source`; one with `broken` and `sizes` may have images that cannot be
            read (see `DecodedSource`).
        shown: shows the progress.

    Returns:
        the description, as of `DatasetInfo.to_dict`, and the facts besides.

    Raises:
        UsageError: a class or a split has no image that can be read.
    """
    written, hashes = _written(folder, source, shown)
    broken = getattr(source, "broken", {})
    if not any(broken.values()):
        found = facts(source, hashes, getattr(source, "sizes", ()))
        return {**written, FACTS: found.to_dict()}
    # How many images there are must be known before they are written: so they are written again.
    reasons = [
        (image_name(source, split, index), reason)
        for split, of_split in broken.items()
        for index, reason in of_split.items()
    ]
    kept = {
        split: np.array([i for i in range(len(labels)) if i not in broken.get(split, {})], np.int64)
        for split, labels in source.labels.items()
    }
    rest = Chosen(source, kept)
    _check_left(rest, min(reasons))
    for path in folder.iterdir():
        path.unlink()
    source.sizes.clear()
    written, hashes = _written(folder, rest, shown)
    return {**written, FACTS: facts(rest, hashes, source.sizes, reasons).to_dict()}


def facts_of(description: dict[str, Any]) -> Facts:
    """The facts that a description holds."""
    return Facts.from_dict(description[FACTS])


def _written(folder: Path, source: Any, shown: Shown) -> tuple[dict[str, Any], Any]:
    total = sum(len(labels) for labels in source.labels.values())
    with shown(f"preparing {source.name}", total) as advance:
        watched = Watched(source, advance)
        return write(folder, watched), watched.hashes


def _check_left(source: Chosen, example: tuple[str, str]) -> None:
    counts = np.bincount(source.labels["train"], minlength=len(source.class_names))
    empty = [f"class {source.class_names[c]!r}" for c in np.flatnonzero(counts == 0)]
    empty += [f"split {split}" for split, labels in source.labels.items() if not len(labels)]
    if empty:
        raise UsageError(
            f"The {empty[0]} of {source.name} has no image to train on that can be read "
            f"({example[0]}: {example[1]}): repair its files or remove it."
        )
