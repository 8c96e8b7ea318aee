"""Text of others as a terminal or a spreadsheet may have it: it shows, and does nothing.

Names of files, classes, models and studies may hold what moves a cursor, turns the direction of writing,
begins another line or a formula.
"""

from __future__ import annotations

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def printable(text: str) -> str:
    """Text in one line that any terminal takes: what cannot be printed is spelled out.

    Example:
        >>> printable("two\\nlines.jpg")
        'two\\\\nlines.jpg'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def printable_lines(text: str) -> str:
    """The same of a text of several lines, which stay lines."""
    return "\n".join(map(printable, text.split("\n")))


def cell(text: str) -> str:
    """A name as a cell of a CSV file, which no spreadsheet takes for a formula.

    Example:
        >>> cell("=1+1")
        "'=1+1"
    """
    return f"'{text}" if text.startswith(_FORMULA) else text
