"""Whether a record is one that a trial may have written: a line of a file is anybody's.

Fields may be missing, since earlier versions did not have them all, and others may be there.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from itertools import chain
from types import NoneType
from typing import Any

_LARGEST = 10**30  # of what is counted: FLOPs of a training are below it
_ID = re.compile(r"\w{1,64}", re.ASCII)  # it names files
_SHARE = re.compile(r"\w*(?:top1|balanced)|fewshot_\d+", re.ASCII)  # metrics between 0 and 1

_MOST = sys.float_info.max

Check = Callable[[Any], bool]


def is_sound(record: Mapping[str, Any]) -> bool:
    """Whether every field that is read has a value of its kind."""
    for field, value in record.items():
        check = _FIELDS.get(field)
        if check is not None and not check(value) and (value is not None or field in _NEEDED):
            return False
    return True


def is_share(metric: str) -> bool:
    """Whether a metric of this name is a share of images, between 0 and 1."""
    return _SHARE.fullmatch(metric) is not None


def _id(value: Any) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _number(value: Any) -> bool:
    # Not NaN, nor what no float holds; JSON gives these types themselves, and a bool is another.
    return type(value) in (int, float) and abs(value) <= _MOST


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _LARGEST


def _table(of: Check) -> Check:
    return lambda value: isinstance(value, dict) and all(map(of, value.values()))


def _metrics(value: Any) -> bool:
    return isinstance(value, dict) and all(
        number is None or (_number(number) and (0 <= number <= 1 or not is_share(name)))
        for name, number in value.items()
    )


def _history(value: Any) -> bool:
    # A hundred thousand records have millions of these numbers: they are looked at together.
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        return False
    numbers = list(chain.from_iterable(map(dict.values, value)))
    types = set(map(type, numbers))
    if NoneType in types:
        numbers = [number for number in numbers if number is not None]
    if not types <= {int, float, NoneType}:
        return False
    sound = not numbers or -_MOST <= min(numbers) <= max(numbers) <= _MOST
    return sound and sum(numbers) == sum(numbers) and all(_count(e.get("step")) for e in value)


def _part(value: Any) -> bool:
    """What a record says of another training of its chain."""
    return isinstance(value, dict) and _count(value.get("size", 0))


_NEEDED = {"trial_id", "schema", "status", "model", "base", "backend", "size", "seed"}  # not null
_FIELDS: dict[str, Check] = {
    "trial_id": _id,
    "pretrain_id": _id,
    **dict.fromkeys(("status", "model", "base", "backend", "base_model", "evaluation"), _text),
    **dict.fromkeys(("device", "commit", "log", "weights_sha256"), _text),
    **dict.fromkeys(("schema", "size", "seed", "steps", "batch_size", "best_step"), _count),
    **dict.fromkeys(("flops", "params", "threads", "cores", "processes", "images_seen"), _count),
    **dict.fromkeys(("seconds", "images_per_second", "waiting", "compute"), _number),
    **dict.fromkeys(("peak_memory", "learning_rate"), _number),
    "levels": _table(_text),
    "versions": _table(_text),
    "metrics": _metrics,
    "history": _history,
    "pretraining": _part,
}
