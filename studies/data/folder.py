"""``folder:PATH``: one's own images, one folder a class, with or without folders for the splits.

::

    PATH/cats/1.jpg                 PATH/train/cats/1.jpg    (or training)
    PATH/cats/more/2.png    or      PATH/val/cats/7.jpg      (or validation, valid, dev; may be missing)
    PATH/dogs/3.webp                PATH/test/dogs/9.jpg     (or testing, test_set; may be missing)

Classes are the folders' names in alphabetical order. Folders with images beside those of the splits
are refused. A file PATH/groups.csv (columns file,group) says which images belong together. Other
files are left alone and counted. A class or a split may be a link to a folder; links further down
are left alone, and one that leads to a folder above itself is refused.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from studies.data.images import is_image
from studies.data.listing import (
    Listing,
    Paths,
    by_pattern,
    file_names,
    in_words,
    numbered,
    relative,
)
from studies.data.options import Reading, group_pattern
from studies.data.rows import read_rows
from studies.data.splits import SPLITS, split_called
from studies.errors import UsageError
from studies.shown import printable

GROUPS_FILE = "groups.csv"
_FOREIGN = "__MACOSX"  # what macOS packs beside the files themselves

Classes = dict[str, int]  # class -> how many files


def list_folder(name: str, options: Reading) -> Listing:
    """Lists the images of a folder.

    Args:
        name: "folder:PATH".
        options: `groups` counts here.

    Raises:
        UsageError: the path is no readable folder, has no images or less than two classes, a
            class is empty, a split holds classes that are not trained, or it is not clear which
            folders are splits.
    """
    pattern = group_pattern(options)
    path = name.removeprefix("folder:")
    root = Path(path).expanduser().absolute()
    if not path or not root.is_dir():
        raise UsageError(
            f"The image folder {path!r} does not exist or is no folder: give folder:PATH, "
            f"where PATH holds one folder a class."
        )
    scan = _Scan(root)
    files: dict[str, Sequence[str]] = {}
    found = {}
    try:
        where = _splits(scan)
        for split, folder in where.items():
            found[split], files[split] = _classes(scan, folder)
    except OSError as error:
        raise UsageError(
            f"The image folder {printable(str(root))} cannot be read ({error.strerror}: "
            f"{printable(str(error.filename))}): check its permissions."
        ) from error
    _check(scan, found, where)
    classes = list(found["train"])
    labels = {
        split: np.repeat(np.arange(len(classes)), [counts.get(c, 0) for c in classes])
        for split, counts in found.items()
    }
    result = Listing(
        name=name,
        root=root,
        class_names=[printable(c) for c in classes],
        files=files,
        names=file_names(files, root),
        labels=labels,
        left_out=scan.left_out(found),
    )
    if pattern is not None:
        return result.grouped(by_pattern(pattern, files, root, name), "--groups")
    if (root / GROUPS_FILE).is_file():
        return _grouped_by_file(result)
    return result


@dataclass
class _Entries:
    """What lies in a folder itself."""

    folders: list[Path] = field(default_factory=list)  # in an order that no file system decides
    links: list[Path] = field(default_factory=list)  # those of them that are links
    images: Paths = field(default_factory=Paths)  # in alphabetical order
    left_out: Counter[str] = field(default_factory=Counter)


class _Scan:
    """Looks into each folder once, and remembers what it leaves alone there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.seen: dict[Path, _Entries] = {}

    def look(self, folder: Path) -> _Entries:
        if folder not in self.seen:
            self.seen[folder] = self._look(folder)
        return self.seen[folder]

    def images(self, folder: Path) -> list[str]:
        """The image files in a folder and all folders below it, in alphabetical order."""
        result: list[str] = []
        waiting = [folder]
        while waiting:
            entries = self.look(waiting.pop())
            result += entries.images
            waiting += [f for f in entries.folders if f not in entries.links]
        return sorted(result)

    def files(self, folder: Path) -> int:
        """How many files of any kind there are in a folder and all folders below it."""
        return sum(
            len(entries.images) + entries.left_out.total()
            for place, entries in self.seen.items()
            if place == folder or folder in place.parents
        )

    def left_out(self, found: dict[str, Classes]) -> Counter[str]:
        """Kinds of what is in none of the classes, and how many there are of each."""
        total: Counter[str] = Counter()
        used = sum(sum(classes.values()) for classes in found.values())
        for folder, entries in self.seen.items():
            total += entries.left_out
            if folder != self.root and not (entries.images or entries.left_out or entries.folders):
                total["empty folder"] += 1
            total["image outside the classes' folders"] += len(entries.images)
            # A link that was looked into is a class or a split.
            total["linked folder"] += sum(link not in self.seen for link in entries.links)
        total["image outside the classes' folders"] -= used
        return +total

    def _look(self, folder: Path) -> _Entries:
        result = _Entries()
        images = []
        with os.scandir(folder) as entries:
            for entry in entries:
                if _is_folder(entry):
                    if entry.name.startswith("."):
                        result.left_out["hidden folder"] += 1
                    elif entry.name == _FOREIGN:
                        result.left_out[_FOREIGN] += 1
                    else:
                        path = Path(entry.path)
                        result.folders.append(path)
                        if entry.is_symlink():
                            result.links.append(path)
                elif entry.name.startswith("."):
                    result.left_out["hidden file"] += 1
                elif entry.name == GROUPS_FILE and folder == self.root:
                    continue
                elif not is_image(entry.name):
                    ending = os.path.splitext(entry.name)[1].lower()
                    result.left_out[printable(ending) or "file without an ending"] += 1
                elif entry.is_symlink() or entry.is_file():  # a link to nowhere is a broken image
                    images.append(entry.name)
                else:
                    result.left_out["pipe or device"] += 1
        for paths in (result.folders, result.links):
            paths.sort(key=lambda path: path.name)
        for link in result.links:
            self._refuse_circle(link)
        result.images.extend(os.path.join(folder, name) for name in sorted(images))
        return result

    def _refuse_circle(self, link: Path) -> None:
        target, here = link.resolve(), link.parent.resolve()
        if target == here or target in here.parents:
            raise UsageError(
                f"The link {printable(relative(str(link), self.root))} in the image folder "
                f"{printable(str(self.root))} leads to a folder above itself: remove the link."
            )


# Kaggle's data sets have training_set and test_set.
_OF_A_SPLIT = re.compile(r"(?<=.)[ _-]?(set|data|images)$", re.IGNORECASE)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _splits(scan: _Scan) -> dict[str, Path]:
    """split -> its folder; the root alone where the folders are those of the classes."""
    given: dict[str, list[Path]] = {}
    flat, others = [], []
    for folder in scan.look(scan.root).folders:
        # A class may be called "train" or "test"; a split is a folder of folders.
        split = split_called(_OF_A_SPLIT.sub("", folder.name))
        if split is None:
            others.append(folder)
        elif scan.look(folder).folders:
            given.setdefault(split, []).append(folder)
        else:
            flat.append(folder)
    root = printable(str(scan.root))
    if flat and (given or (len(flat) > 1 and not others)):
        # Else they would be taken for classes, and a study would learn to tell them apart.
        raise UsageError(
            f"The image folder {root} has {_names(flat)} without folders for the classes: "
            f"put the images into one folder a class in each split, or remove the split."
        )
    left = [folder for folder in others if given and scan.images(folder)]
    if left:
        splits = _names([folder for folders in given.values() for folder in folders])
        raise UsageError(
            f"The image folder {root} has images in {_names(left)} beside what look like "
            f"splits ({splits}): move {_names(left)} into train or elsewhere or, if all of them "
            f"are classes, rename {splits}."
        )
    for split, folders in given.items():
        if len(folders) > 1 or "train" not in given:
            raise UsageError(
                f"The image folder {root} has {_names(folders)} for the split {split}"
                f"{', but no train' if 'train' not in given else ''}: name the folders "
                f"train, val and test, each with one folder a class."
            )
    return {split: given[split][0] for split in SPLITS if split in given} or {"train": scan.root}


def _classes(scan: _Scan, folder: Path) -> tuple[Classes, Paths]:
    """How many images each class has, and the images, class by class; a folder with no file is none."""
    counts, files = {}, Paths()
    for each in scan.look(folder).folders:
        images = scan.images(each)
        if images or scan.files(each):
            counts[each.name] = len(images)
            files.extend(images)
    return counts, files


def _check(scan: _Scan, found: dict[str, Classes], where: dict[str, Path]) -> None:
    train, root = found["train"], printable(str(scan.root))
    if not any(train.values()):
        raise UsageError(
            f"The image folder {root} has no images in folders{_instead(scan, found)}: put the "
            f"images (.jpg, .png or whatever else Pillow reads) into one folder a class."
        )
    if len(train) < 2:
        raise UsageError(
            f"The image folder {root} has only one class ({printable(', '.join(train))}): put the "
            f"images into one folder a class, at least two."
        )
    if empty := [Path(name) for name, files in train.items() if not files]:
        raise UsageError(
            f"The image folder {root} has no images in {_names(empty)}{_instead(scan, found)}: add "
            f"some (.jpg, .png or whatever else Pillow reads) or remove what has none."
        )
    for split, classes in found.items():
        for name in classes:
            if name not in train:
                raise UsageError(
                    f"The class {name!r} of {printable(str(where[split]))} is not among those in "
                    f"train that have images: add it there or remove it."
                )


def _instead(scan: _Scan, found: dict[str, Classes]) -> str:
    """What there is where images are missed."""
    left_out = scan.left_out(found)
    return f" (but {in_words(left_out)})" if left_out else ""


def _grouped_by_file(listing: Listing) -> Listing:
    """Groups as groups.csv has them; images that it does not name are on their own."""
    path = listing.root / GROUPS_FILE
    named: dict[str, str] = {}
    for file, group in read_rows(path, ("file", "group")):
        if named.setdefault(os.path.normpath(file), group) != group:
            raise UsageError(
                f"The file {printable(str(path))} puts {printable(file)!r} into two groups "
                f"({printable(named[os.path.normpath(file)])!r} and {printable(group)!r}): give "
                f"both groups one name, since what shares an image belongs together."
            )
    known = {relative(file, listing.root) for files in listing.files.values() for file in files}
    if not known & named.keys():
        raise UsageError(
            f"The file {printable(str(path))} names none of the images: its column file must hold "
            f"paths from the folder, such as {printable(min(known))!r}."
        )
    groups = numbered(
        {
            split: [named.get(relative(file, listing.root)) for file in files]
            for split, files in listing.files.items()
        }
    )
    missing = sorted(f for f in named if not os.path.lexists(listing.root / f))
    notes = (
        [f"{len(missing):,} of its files are not there, such as {printable(missing[0])}"]
        if missing
        else []
    )
    return listing.grouped(groups, GROUPS_FILE, *(f"{GROUPS_FILE}: {note}" for note in notes))


def _names(folders: list[Path]) -> str:
    names = [printable(folder.name) for folder in folders]
    return " and ".join(names if len(names) < 5 else [*names[:3], f"{len(names) - 3} more"])
