"""``csv:FILE``: images whose labels stand in a table.

::

    file,label,split,group
    images/0001.jpg,cat,train,litter 3
    images/0002.jpg,dog,test,

The columns file and label must be there, split and group may be. Paths are relative to the table;
splits go by the names that those of a folder have; images of one group belong together. Classes are
the labels in alphabetical order.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from studies.data.listing import Listing, by_pattern, file_names, numbered
from studies.data.options import Reading, group_pattern
from studies.data.rows import read_rows
from studies.data.splits import NAMES, SPLITS, split_called
from studies.errors import UsageError
from studies.shown import printable


def list_table(name: str, options: Reading) -> Listing:
    """Lists the images of a table; whether they are there is found out when they are read.

    Args:
        name: "csv:FILE".
        options: `groups` counts here.

    Raises:
        UsageError: the table cannot be read, names less than two classes or an unknown split, no
            image to train on, or a class that is not trained.
    """
    pattern = group_pattern(options)
    path = Path(name.removeprefix("csv:")).expanduser().absolute()
    table = printable(str(path))
    rows = read_rows(path, ("file", "label"), ("split", "group"))
    if not rows:
        raise UsageError(f"The table {table} has no rows: give one row an image.")
    divided = any(row[2] for row in rows)
    by_split: dict[str, list[list[str]]] = {split: [] for split in SPLITS}
    for file, label, called, group in rows:
        split = split_called(called) if divided else "train"
        if split is None:
            raise UsageError(
                f"The table {table} gives {printable(file)} the split {called!r}: choose "
                f"{', '.join(names[0] for names in NAMES.values())}, or leave the column out."
            )
        by_split[split].append([file, label, group])
    found = {split: rows for split, rows in by_split.items() if rows}
    classes = sorted({label for _, label, _ in found.get("train", [])})
    _check(table, found, classes)
    number = {label: n for n, label in enumerate(classes)}
    root = path.parent
    files = {
        s: [os.path.normpath(os.path.join(root, file)) for file, _, _ in rows]
        for s, rows in found.items()
    }
    result = Listing(
        name=name,
        root=root,
        class_names=[printable(label) for label in classes],
        files=files,
        names=file_names(files, root),
        labels={s: np.array([number[row[1]] for row in r], np.int64) for s, r in found.items()},
    )
    if pattern is not None:
        return result.grouped(by_pattern(pattern, files, root, name), "--groups")
    if any(group for rows in found.values() for _, _, group in rows):
        named = numbered({s: [group or None for _, _, group in r] for s, r in found.items()})
        return result.grouped(named, "the column group")
    return result


def _check(table: str, found: dict[str, list[list[str]]], classes: list[str]) -> None:
    if "train" not in found:
        raise UsageError(
            f"The table {table} has no row whose split is train: add some, or leave the column out."
        )
    if len(classes) < 2:
        raise UsageError(
            f"The table {table} has only one label in train ({printable(classes[0])}): give at "
            f"least two."
        )
    for split, rows in found.items():
        other = next((label for _, label, _ in rows if label not in classes), None)
        if other is not None:
            raise UsageError(
                f"The label {other!r} in the split {split} of the table {table} is not among those "
                f"in train: add it there or remove it."
            )
