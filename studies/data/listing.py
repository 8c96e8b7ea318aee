"""Labelled image files as they lie there, before any of them is opened."""

from __future__ import annotations

import os
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from studies.errors import UsageError
from studies.shown import printable


@dataclass(frozen=True)
class Listing:
    """What a folder or a table says of its images.

    Args:
        name: "folder:PATH" or "csv:FILE".
        root: the folder that names are relative to.
        class_names: one a label, label 0 first.
        files: split -> absolute paths; "train" alone where there are no splits.
        names: split -> the files' paths from the root, fit to be printed.
        labels: split -> (N,) int64.
        groups: split -> (N,) int64, -1 for images on their own; None where nothing names groups.
        grouped_by: what does: "groups.csv", "--groups" or "the column group".
        left_out: kind of what was left alone -> how many.
        notes: what else one should know, as sentences.
    """

    name: str
    root: Path
    class_names: list[str]
    files: Mapping[str, Sequence[str]]
    names: dict[str, Sequence[str]]
    labels: dict[str, np.ndarray]
    groups: dict[str, np.ndarray] | None = None
    grouped_by: str = ""
    left_out: Counter[str] = field(default_factory=Counter)
    notes: tuple[str, ...] = ()

    def grouped(self, groups: dict[str, np.ndarray], by: str, *notes: str) -> Listing:
        """The listing with groups, and what gave them."""
        return replace(self, groups=groups, grouped_by=by, notes=(*self.notes, *notes))


class Paths(Sequence[str]):
    """Files' absolute paths, each made when it is asked for: one takes its name's bytes and twelve more.

    Args:
        paths: of files; those of one folder need not stand together.
    """

    def __init__(self, paths: Iterable[str] = ()) -> None:
        self._folders: dict[str, int] = {}  # and their numbers
        self._places: list[str] = []  # the same by number
        self._folder, self._ends = array("I"), array("Q")
        self._names = bytearray()
        self.extend(paths)

    def extend(self, paths: Iterable[str]) -> None:
        """Have more of them at the end."""
        for path in paths:
            folder, _, name = path.rpartition(os.sep)
            number = self._folders.setdefault(folder, len(self._folders))
            if number == len(self._places):
                self._places.append(folder)
            self._folder.append(number)
            self._names += os.fsencode(name)
            self._ends.append(len(self._names))

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[place] for place in range(len(self))[index]]
        place = range(len(self))[index]
        name = self._names[self._ends[place - 1] if place else 0 : self._ends[place]]
        return f"{self._places[self._folder[place]]}{os.sep}{os.fsdecode(bytes(name))}"


class Names(Sequence[str]):
    """Files' paths from a folder, fit to be printed; each is made when it is asked for.

    Args:
        files: absolute paths.
        root: the folder.
    """

    def __init__(self, files: Sequence[str], root: Path) -> None:
        self._files, self._root = files, root

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: Any) -> Any:
        return printable(relative(self._files[index], self._root))


def file_names(files: Mapping[str, Sequence[str]], root: Path) -> dict[str, Sequence[str]]:
    """split -> the files' paths from a folder, fit to be printed."""
    return {split: Names(paths, root) for split, paths in files.items()}


def numbered(groups: Mapping[str, Sequence[str | None]]) -> dict[str, np.ndarray]:
    """Names of groups -> numbers that hold for all splits: split -> (N,) int64, -1 for None."""
    names = sorted({name for split in groups.values() for name in split if name is not None})
    number = {name: n for n, name in enumerate(names)}
    return {
        split: np.array([-1 if n is None else number[n] for n in names], np.int64)
        for split, names in groups.items()
    }


def by_pattern(
    pattern: re.Pattern[str], files: Mapping[str, Sequence[str]], root: Path, name: str
) -> dict[str, np.ndarray]:
    """Groups of files by a regular expression; see `Options.groups`.

    Raises:
        UsageError: it fits no file.
    """

    def group(file: str) -> str | None:
        match = pattern.search(relative(file, root))
        return match[1] or None if match else None  # a bracket that holds nothing names no group

    found = {split: [group(file) for file in paths] for split, paths in files.items()}
    if all(g is None for groups in found.values() for g in groups):
        first = relative(next(file for paths in files.values() for file in paths), root)
        raise UsageError(
            f"The groups {pattern.pattern!r} fit no image of {name}: give a regular expression for "
            f"paths such as {printable(first)!r}, whose first bracket is the group."
        )
    return numbered(found)


def relative(file: str, root: Path) -> str:
    """A file's path from a folder, with slashes; with dots where it lies elsewhere."""
    above = f"{root}{os.sep}"
    path = file[len(above) :] if file.startswith(above) else os.path.relpath(file, root)
    return path.replace(os.sep, "/")


# Kinds of what is left alone, and what several of a kind are called where that is another word.
_SEVERAL = {
    "empty folder": "empty folders",
    "file without an ending": "files without an ending",
    "hidden file": "hidden files",
    "hidden folder": "hidden folders",
    "image outside the classes' folders": "images outside the classes' folders",
    "linked folder": "linked folders",
    "pipe or device": "pipes or devices",
}


def in_words(left_out: Mapping[str, int]) -> str:
    """What was left alone, by kind, the commonest first: "248 .svg, 1 linked folder"."""
    kinds = sorted(left_out.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{n:,} {kind if n == 1 else _SEVERAL.get(kind, kind)}" for kind, n in kinds)
