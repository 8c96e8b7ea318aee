"""What every trial gets of a machine."""

from __future__ import annotations

from dataclasses import dataclass

from studies.errors import UsageError
from studies.study.study import Study


@dataclass(frozen=True)
class Resources:
    """What every trial gets of a machine.

    Args:
        threads: computing threads of a device, each on a core of its own.
        gpus: of a device; or a part of one.
        memory: bytes, of the trial; None for no limit.
        devices: of the trial.

    Raises:
        UsageError: devices were to share one GPU.
    """

    threads: int = 1
    gpus: float = 0
    memory: int | None = None
    devices: int = 1

    def __post_init__(self) -> None:
        if self.devices > 1 and self.gpus not in (0, 1):
            raise UsageError(
                f"resources.gpus {self.gpus:g} with {self.devices} devices: each of them has one GPU, or "
                f"none (--gpus 1 or 0)"
            )

    @classmethod
    def on_a_cluster(cls, study: Study) -> Resources:
        """What a study asks for; where it says nothing, one thread and no GPU."""
        asked = study.resources
        return cls(asked.threads or 1, asked.gpus or 0, asked.bytes, study.devices)

    @property
    def cpus(self) -> int:
        """Of the trial."""
        return self.threads * self.devices

    @property
    def all_gpus(self) -> float:
        """Of the trial."""
        return self.gpus * self.devices

    def __str__(self) -> str:
        parts = [amount(self.cpus, "CPU")]
        parts += [amount(self.all_gpus, "GPU")] if self.gpus else []
        parts += [f"{self.memory / 1e9:.1f} GB"] if self.memory else []
        return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def amount(number: float, what: str) -> str:
    """A number and its noun."""
    return f"{number:g} {what}{'' if number == 1 else 's'}"
