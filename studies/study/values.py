"""What a study may hold: the values that JSON has, in which its trials travel and of which ids are made."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator, Mapping
from typing import Any

from studies.machine.files import check_depth

_LARGEST = 2**63  # whole numbers of TOML are smaller


def check_values(content: Mapping[str, Any]) -> None:
    """Refuse what TOML or a command line can say and JSON cannot.

    Args:
        content: a study's raw content.

    Raises:
        ValueError: it holds a date or a time, a number that is not finite or has more than 64 bits, text
            that is no Unicode, or lists and tables in each other without end; one sentence.
    """
    check_depth(content)
    for mistake in _mistakes((), content):
        raise ValueError(mistake)


def _mistakes(place: tuple[str, ...], value: Any) -> Iterator[str]:
    """What is wrong, and where; a place in a list tells nobody anything."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _mistakes((*place, str(name)), each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _mistakes(place, each)
    elif wrong := _wrong(value):
        yield f"{'.'.join(place)} {wrong}"


def _wrong(value: Any) -> str:
    """What is wrong with a single value; nothing, if it may be."""
    if isinstance(value, datetime.date | datetime.time):
        kind = "date" if isinstance(value, datetime.date) else "time"
        return f"is the {kind} {value}, and a study has none: if it is text, put it in quotes"
    if isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
        return "must be a number of at most 64 bits"  # which it is may be too long to be told
    if isinstance(value, float) and not math.isfinite(value):
        return f"must be a finite number, not {value}"
    if isinstance(value, str) and not _is_text(value):
        return f"must be text, not {value!r}"
    return ""


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # bytes of a command line that mean no character
        return False
    return True
