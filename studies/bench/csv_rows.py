"""Rows of measurements in a CSV file, which a bench that goes on later finds whole."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from studies.errors import UsageError
from studies.machine.files import replaced


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file, every value as text; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Replace a file in one step: what was measured before survives a kill.

    Args:
        path: of the file; its folder is made where it is missing.
        columns: in their order.
        rows: one value a column each.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def end_with(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> int:
    """Write the file that a bench ends with and say where it lies, or why not; gives the exit code."""
    try:
        write_rows(path, columns, rows)
    except OSError as error:
        sentence = f"cannot write to {path.parent} ({error.strerror}): choose another --output"
        print(f"error: {UsageError(sentence)}", file=sys.stderr)
        return 2
    print(path)
    return 0
