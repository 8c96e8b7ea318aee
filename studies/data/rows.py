"""Rows of a CSV file, checked."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from studies.errors import UsageError
from studies.machine.files import file_bytes
from studies.shown import printable

DELIMITERS = ",;\t"  # as spreadsheets of several languages write them


def read_rows(path: Path, needed: Sequence[str], further: Sequence[str] = ()) -> list[list[str]]:
    """Reads columns of a CSV file with a head, in UTF-8.

    Args:
        path: of the file.
        needed: columns that must be there, and hold something in every row.
        further: columns that may be there.

    Returns:
        for every row its cells of `needed` and `further`, those of missing columns empty.

    Raises:
        UsageError: the file cannot be read, lacks a column or a value.
    """
    try:
        text = file_bytes(path).decode("utf-8-sig")
        delimiter = max(DELIMITERS, key=text.partition("\n")[0].count)
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except (OSError, UnicodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not CSV in UTF-8"
        raise UsageError(
            f"The table {printable(str(path))} cannot be read ({reason}): give a CSV file with the "
            f"columns {','.join(needed)}."
        ) from error
    names = [name.strip().lower() for name in rows[0]] if rows else []
    missing = [name for name in needed if name not in names]
    if missing:
        raise UsageError(
            f"The table {printable(str(path))} has no column {' or '.join(missing)} "
            f"({printable(', '.join(names)) or 'it is empty'}): its first line must name the columns "
            f"{','.join(needed)}{' and may name ' + ','.join(further) if further else ''}."
        )
    places = [names.index(name) if name in names else None for name in (*needed, *further)]
    result = []
    for number, row in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue  # an empty line
        cells = [row[p].strip() if p is not None and p < len(row) else "" for p in places]
        empty = [name for name, cell in zip(needed, cells) if not cell]
        if empty:
            raise UsageError(
                f"Row {number} of the table {printable(str(path))} has no {empty[0]}: fill it in or "
                f"remove the row."
            )
        result.append(cells)
    return result
