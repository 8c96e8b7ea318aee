"""What every trial gets of a machine."""

from __future__ import annotations

import re
from dataclasses import dataclass

from studies.errors import UsageError

_UNITS = {"MB": 10**6, "GB": 10**9, "TB": 10**12, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


@dataclass(frozen=True)
class Resources:
    """What every trial gets of a machine.

    Args:
        threads: computing threads, each on a core of its own.
        gpus: accelerators, or a part of one.
        memory: bytes; None for no limit.

    Raises:
        UsageError: a number makes no sense.
    """

    threads: int = 1
    gpus: float = 0
    memory: int | None = None

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise UsageError("--threads must be at least 1")
        if self.gpus < 0 or (self.gpus > 1 and self.gpus != int(self.gpus)):
            raise UsageError(f"--gpus {self.gpus:g} must be 0, a part of 1, or a whole number")

    def __str__(self) -> str:
        parts = [amount(self.threads, "CPU")]
        parts += [amount(self.gpus, "GPU")] if self.gpus else []
        parts += [f"{self.memory / 1e9:.1f} GB"] if self.memory else []
        return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def amount(number: float, what: str) -> str:
    """A number and its noun."""
    return f"{number:g} {what}{'' if number == 1 else 's'}"


def bytes_of(text: str) -> int:
    """Bytes of an amount of memory such as 4GB or 512MiB.

    Raises:
        UsageError: it is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)", text.strip())
    if match is None or match[2].upper() not in _UNITS:
        raise UsageError(f"--memory {text} is no amount of memory: give one such as 4GB or 512MiB")
    return int(float(match[1]) * _UNITS[match[2].upper()])
