"""What a study asks of machines for each of its trials."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, field_validator

from studies.study.strict import Positive, Strict

_MOST = 10**18  # bytes
_UNITS = {"MB": 10**6, "GB": 10**9, "TB": 10**12, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


class Resources(Strict):
    """What each trial gets of a machine; no id has it, as a trial may go on where it gets another share.

    Args:
        threads: computing threads of each device, on as many cores; by default the cores are shared out
            evenly, and on a cluster it is one.
        gpus: GPUs of each device: 0, 1, or on one device a part of one, or several. By default
            those there are, shared out among trials at a time, and on a cluster none.
        memory: that a trial needs, such as 4GB or 512MiB: trials at a time for which there is not enough are
            refused, and a cluster may end one that takes more.
    """

    threads: Positive | None = None
    gpus: Annotated[float, Field(ge=0)] | None = None
    memory: str | None = None

    @field_validator("gpus")
    @classmethod
    def _whole_or_a_part(cls, gpus: float | None) -> float | None:
        if gpus is not None and gpus > 1 and gpus != int(gpus):
            raise ValueError(f"resources.gpus {gpus:g} must be 0, a part of 1, or a whole number")
        return gpus

    @field_validator("memory")
    @classmethod
    def _amount(cls, memory: str | None) -> str | None:
        if memory is not None:
            _bytes(memory)
        return memory

    @property
    def bytes(self) -> int | None:
        """The memory; None for no limit."""
        return None if self.memory is None else _bytes(self.memory)


def _bytes(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)", text.strip())
    if match is None or match[2].upper() not in _UNITS:
        raise ValueError(
            f"resources.memory {text} is no amount of memory: give one such as 4GB or 512MiB"
        )
    amount = float(match[1]) * _UNITS[match[2].upper()]
    if amount > _MOST:
        raise ValueError(f"resources.memory {text} is more than any machine has")
    return int(amount)
