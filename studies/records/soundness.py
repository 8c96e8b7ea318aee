"""Whether a record is one that a trial may have written: a line of a file is anybody's.

Fields may be missing, since earlier versions did not have them all, and others may be there.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

_LARGEST = 10**30  # of what is counted: FLOPs of a training are below it
_ID = re.compile(r"\w{1,64}", re.ASCII)  # it names files
_SHARE = re.compile(r"\w*(?:top1|balanced)|fewshot_\d+", re.ASCII)  # metrics between 0 and 1

_MOST = sys.float_info.max

Check = Callable[[Any], bool]


def is_sound(record: Mapping[str, Any]) -> bool:
    """Whether every field that is read has a value of its kind."""
    return all(check(record[field]) for field, check in _FIELDS.items() if field in record)


def _id(value: Any) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _number(value: Any) -> bool:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return plain and abs(value) <= _MOST  # NaN is not, nor what no float holds


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _table(of: Check) -> Check:
    return lambda value: isinstance(value, dict) and all(map(of, value.values()))


def _metrics(value: Any) -> bool:
    return isinstance(value, dict) and all(
        number is None or (_number(number) and (0 <= number <= 1 or not _SHARE.fullmatch(name)))
        for name, number in value.items()
    )


def _history(value: Any) -> bool:
    # A hundred thousand records have millions of these numbers: they are looked at together.
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        return False
    numbers = [number for entry in value for number in entry.values() if number is not None]
    if not {type(number) for number in numbers} <= {int, float}:
        return False
    sound = not numbers or -_MOST <= min(numbers) <= max(numbers) <= _MOST
    return sound and sum(numbers) == sum(numbers) and all(_count(e.get("step")) for e in value)


def _part(value: Any) -> bool:
    """What a record says of another training of its chain."""
    return isinstance(value, dict) and _count(value.get("size", 0))


_FIELDS: dict[str, Check] = {
    "trial_id": _id,
    "schema": _count,
    **dict.fromkeys(("status", "model", "base", "backend"), _text),
    **dict.fromkeys(("base_model", "evaluation", "device", "commit", "log"), _or_none(_text)),
    **dict.fromkeys(("size", "seed"), _count),
    **dict.fromkeys(("steps", "batch_size", "best_step", "flops", "params"), _or_none(_count)),
    **dict.fromkeys(("threads", "cores", "processes", "images_seen"), _or_none(_count)),
    **dict.fromkeys(("seconds", "images_per_second", "waiting"), _or_none(_number)),
    **dict.fromkeys(("compute", "peak_memory", "learning_rate"), _or_none(_number)),
    "levels": _or_none(_table(_text)),
    "versions": _or_none(_table(_text)),
    "metrics": _or_none(_metrics),
    "history": _or_none(_history),
    "pretraining": _or_none(_part),
}
