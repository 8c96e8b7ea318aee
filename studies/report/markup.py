"""Names and sentences in Markdown: they show as they are, whatever characters are in them.

Names of studies, models, classes and files are the users', and may hold what Markdown or HTML would
take for its own.
"""

from __future__ import annotations

import re

from studies.shown import printable

_SPECIAL = re.compile(r"[\\`*<>|~$]|\](?=[\[(:])|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])")
_HEAD = re.compile(r"[#+=\[-]|\d+(?=[.)](\s|$))")  # what begins a heading, a list or a rule


class Marked(str):
    """Text that is Markdown already: a table takes it as it is."""


def plain(text: str) -> str:
    """Text as Markdown that shows it, in one line, wherever it stands.

    Example:
        >>> print(plain("# a|b *c* d_e"))
        \\# a\\|b \\*c\\* d_e
    """
    line = inline(text)
    head = _HEAD.match(line)
    if head is None:
        return line
    at = head.end() if head[0].isdigit() else 0
    return f"{line[:at]}\\{line[at:]}"


def inline(text: str) -> str:
    """The same where nothing can begin a heading or a list: inside a line, or in a cell."""
    return _SPECIAL.sub(r"\\\g<0>", printable(" ".join(text.split())))


def code(text: str) -> Marked:
    """Text as it is typed, in one line: Markdown's code."""
    line = printable(" ".join(text.split()))
    fence = "`" * (max(map(len, re.findall("`+", line)), default=0) + 1)
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return Marked(f"{fence}{space}{line}{space}{fence}")
