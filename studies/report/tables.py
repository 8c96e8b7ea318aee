"""Tables in Markdown, for a terminal and for programs."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from studies.report.markup import Marked, inline
from studies.shown import cell

if TYPE_CHECKING:
    import pandas as pd

WIDTH = 60  # columns of a narrow terminal
_GLUE = "\u2060"


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as a Markdown table, the first one its header; plain text, unless `Marked`."""
    header, *body = [[_cell(cell) for cell in row] for row in rows]
    lines = [header, ["---"] * len(header), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def csv(table: pd.DataFrame) -> bytes:
    """A frame as a CSV file, whose names no spreadsheet takes for formulas."""
    names = table.select_dtypes(["object", "string"]).columns
    safe = {
        n: table[n].map(lambda value: cell(value) if isinstance(value, str) else value)
        for n in names
    }
    return table.assign(**safe).to_csv(index=False).encode()


def plain_table(rows: Sequence[Sequence[str]], width: int = WIDTH) -> list[str]:
    """Rows of cells as lines of a terminal, in blocks of columns where all of them are too wide.

    Args:
        rows: the first is the header; the first column stands in every block.
        width: no line is longer, unless a single column beside the first one is.
    """
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines: list[str] = []
    for block in _blocks(widths, width):
        if lines:
            lines.append("")
        for row in rows:
            first = row[0].rjust(widths[0])
            lines.append("  ".join([first, *(row[i].rjust(widths[i]) for i in block)]).rstrip())
    return lines


def wrapped(text: str, width: int = WIDTH) -> list[str]:
    """A sentence in lines of a terminal; a number stays with its percent sign."""
    glued = text.replace(" %", f"{_GLUE}%")
    lines = textwrap.wrap(glued, width, break_on_hyphens=False)
    return [line.replace(_GLUE, " ") for line in lines]


def _cell(text: str) -> str:
    return text.replace("|", "\\|") if isinstance(text, Marked) else inline(text)


def _blocks(widths: Sequence[int], width: int) -> list[list[int]]:
    """Columns after the first one, as many beside each other as there is room for."""
    blocks: list[list[int]] = []
    room = 0
    for column in range(1, len(widths)):
        needed = widths[column] + 2
        if not blocks or needed > room:
            blocks.append([])
            room = width - widths[0]
        blocks[-1].append(column)
        room -= needed
    return blocks or [[]]
