"""From a source to a prepared folder: written, checked, and without what cannot be read."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from studies.data.checks import Facts, facts
from studies.data.decoded import Chosen, image_name
from studies.data.images import Advance
from studies.data.prepare import images_file, rows_of, write
from studies.data.progress import progress
from studies.data.twins import hashes_on_disk
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
    with _aside(folder) as aside:
        try:
            return _written(folder, aside, source, shown)
        except _Broken as end:  # how many images there are must be known before they are written
            last = end.with_traceback(None)  # which holds arrays that lie aside
        reasons = [
            (image_name(source, split, index), reason)
            for split, of_split in source.broken.items()
            for index, reason in of_split.items()
        ]
        kept = {
            split: np.array(
                [i for i in range(len(labels)) if i not in source.broken[split]], np.int64
            )
            for split, labels in source.labels.items()
        }
        _check_left(Chosen(source, kept), min(reasons))
        decoded = _Decoded(source, folder, aside, last)
        description = _written(folder, aside, Chosen(decoded, kept), _silent, reasons)
        decoded.close()
        return description


def facts_of(description: dict[str, Any]) -> Facts:
    """The facts that a description holds."""
    return Facts.from_dict(description[FACTS])


class _Broken(Exception):
    """All images have been decoded, and some cannot be read; it holds those that are not written yet."""

    def __init__(self, split: str, images: np.ndarray) -> None:
        super().__init__()
        self.split, self.images = split, images


class _Decoded:
    """A source whose images were decoded and written before: they are read back from there.

    Args:
        source: all else that it has.
        folder: where they were written.
        aside: an empty folder, where they are kept while other files are written.
        last: the images that were not written.
    """

    def __init__(self, source: Any, folder: Path, aside: Path, last: _Broken) -> None:
        self._source = source
        with open(folder / images_file(last.split), "ab") as file:
            file.write(np.ascontiguousarray(last.images).data)
        self._pixels = {}
        for split in source.labels:
            path = (folder / images_file(split)).rename(aside / images_file(split))
            self._pixels[split] = np.load(path, mmap_mode="r")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def images(self, split: str, indices: np.ndarray) -> np.ndarray:
        return self._pixels[split][indices]

    def close(self) -> None:
        """Let go of the files."""
        self._pixels.clear()


class _Watched:
    """A source whose images are counted as they pass."""

    def __init__(self, source: Any, advance: Advance) -> None:
        self._source, self._advance = source, advance
        self._left = _count(source)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def images(self, split: str, indices: np.ndarray) -> np.ndarray:
        images = self._source.images(split, indices)
        self._advance(len(indices))
        self._left -= len(indices)
        if not self._left and any(getattr(self._source, "broken", {}).values()):
            raise _Broken(split, images)
        return images


def _written(
    folder: Path, aside: Path, source: Any, shown: Shown, broken: Sequence[tuple[str, str]] = ()
) -> dict[str, Any]:
    hashes = hashes_on_disk(aside / "hashes", _count(source))
    with shown(f"preparing {source.name}", _count(source)) as advance:
        written = write(folder, _Watched(source, advance), hashes)
    found = facts(source, hashes, rows_of(source), written["class_counts"], broken)
    return {**written, FACTS: found.to_dict()}


@contextmanager
def _aside(folder: Path) -> Iterator[Path]:
    """An empty folder inside another for a while.

    When it goes no array may lie in its files any more: NFS keeps a file that is mapped, and its folder with
    it. Where an error holds arrays still, who hears of it removes what is left.
    """
    with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as aside:
        yield Path(aside)


@contextmanager
def _silent(what: str, total: int) -> Iterator[Advance]:
    yield lambda number: None


def _count(source: Any) -> int:
    return sum(len(labels) for labels in source.labels.values())


def _check_left(source: Chosen, example: tuple[str, str]) -> None:
    counts = np.bincount(source.labels["train"], minlength=len(source.class_names))
    empty = [f"class {source.class_names[c]!r}" for c in np.flatnonzero(counts == 0)]
    empty += [f"split {split}" for split, labels in source.labels.items() if not len(labels)]
    if empty:
        raise UsageError(
            f"The {empty[0]} of {source.name} has no image to train on that can be read "
            f"({example[0]}: {example[1]}): repair its files or remove it."
        )
