"""The processes of further devices, and the part of each batch that one of them reads.

The trial's own process is the first. It starts the others (`studies.training.replica`) and tells them what
is to be done, one line on their standard input. They keep nothing, so that they may be ended at any moment;
they end with it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from studies.errors import TrialError
from studies.machine.temporary import TemporaryFolder
from studies.study.trial import Training
from studies.training.feed import BatchSource

_PATIENCE_SECONDS = 5.0  # in which a process that has taken others with it is known to be gone


class Others:
    """All processes of a training but the first, which is this one.

    Args:
        training: whose model they make first.
        count: of processes, this one included.
        environment: what the process of a rank has in its environment beside this one's.

    Attributes:
        meeting: the folder where they find each other.

    Raises:
        TrialError: one ended before all were there.
    """

    def __init__(
        self, training: Training, count: int, environment: Callable[[int], Mapping[str, str]]
    ) -> None:
        self._folder = TemporaryFolder("devices")
        self.meeting = self._folder.path
        self._count = count
        self._processes = [
            self._start(rank, training, environment(rank)) for rank in range(1, count)
        ]
        self._wait()

    def tell(self, order: Mapping[str, Any]) -> None:
        """Let them do something; see `studies.training.replica`."""
        line = json.dumps(order).encode() + b"\n"
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(line)
            process.stdin.flush()

    def lost(self) -> str | None:
        """The sentence on a process that ended by itself, if one did."""
        for index, process in enumerate(self._processes, start=2):
            try:
                code = process.wait(_PATIENCE_SECONDS / self._count)
            except subprocess.TimeoutExpired:
                continue
            how = f"ended with exit code {code}; the trial's log says why"
            if code < 0:
                memory = " (often because the machine ran out of memory)"
                how = f"was killed by {signal.Signals(-code).name}{memory if code == -9 else ''}"
            return f"Process {index} of the {self._count} that train together {how}."
        return None

    def end(self) -> None:
        """End them, whatever they are at."""
        for process in self._processes:
            process.kill()
            process.wait()
        self._folder.close()

    def _start(
        self, rank: int, training: Training, environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "studies.training.replica"),
                *(str(rank), str(self.meeting)),
                json.dumps(description(training)),
            ],
            stdin=subprocess.PIPE,
            stdout=2,  # the first one's says other things
            env={**os.environ, **environment},
        )

    def _wait(self) -> None:
        """Until all are about to meet; who waits in the meeting itself would not see one that died."""
        while not all((self.meeting / str(rank)).exists() for rank in range(1, self._count)):
            if any(process.poll() is not None for process in self._processes):
                said = self.lost() or ""
                self.end()
                raise TrialError(said)
            time.sleep(0.05)


def arrive(meeting: Path, rank: int) -> None:
    """Say that the process of a rank is about to meet the others."""
    (meeting / str(rank)).touch()


def description(training: Training) -> dict[str, Any]:
    """What another process needs to make the same model; of a trial, the training alone."""
    return training.model_dump(mode="json", include=set(Training.model_fields))


class PartOfBatches:
    """The rows of each batch that one process computes.

    Args:
        batches: whole ones.
        rank: of the process.
        count: how many there are; each has as many rows.
    """

    def __init__(self, batches: BatchSource, rank: int, count: int) -> None:
        self._batches, self._rank, self._count = batches, rank, count

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        images, labels = self._batches.batch(step)
        size = len(images) // self._count
        own = slice(self._rank * size, (self._rank + 1) * size)
        return images[own], labels[own]
