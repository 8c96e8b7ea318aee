"""Curves for TensorBoard: RUN/tensorboard/<trial>/, where `run --tensorboard` asks for them.

Each training of a chain, and each learning rate that is tried, has curves of its own in a folder below.

The driver writes them from the events of the trials, so that they are there on every backend and executor,
and change nothing of what is trained. The files are written here, in a few lines, because the packages
that write them load a backend: a record's length and its bytes, each with its CRC, and in it the numbers
as a message of Protocol Buffers.

Reference: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details,
https://github.com/tensorflow/tensorboard/blob/master/tensorboard/compat/proto/event.proto
"""

from __future__ import annotations

import contextlib
import math
import secrets
import struct
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from studies.executors import Event, log_name
from studies.running.runner import CURVES, Plan
from studies.study.trial import Trial

# What a validation point says, and what it is called: what stands before the slash shares a figure's group.
TAGS = {
    "loss": "loss/training",
    "val_loss": "loss/validation",
    "top1": "accuracy/training",
    "val_top1": "accuracy/validation",
    "images_per_second": "speed/images_per_second",
}


class TensorBoard:
    """Writes every validation point and, at its end, the metrics of a trial; one of a run's displays."""

    def start(self, plan: Plan, trials: list[Trial], workers: int) -> None:
        self._folder = plan.folder / CURVES
        self._files: dict[tuple[str, str], EventFile] = {}  # by trial and part
        self._steps: dict[str, int] = {}  # that a trial takes, over all its parts

    def event(self, trial: Trial, event: Event) -> None:
        if "steps" in event:
            self._steps[trial.trial_id] = event["steps"]
        if event["event"] == "progress":
            values = {tag: event.get(key) for key, tag in TAGS.items()}
            step = event["part_step" if "part" in event else "step"]
            self._write(trial, event.get("part", ""), step, values)
        elif event["event"] == "record":
            metrics = event["record"].get("metrics") or {}
            step = self._steps.pop(trial.trial_id, trial.recipe.steps)
            self._write(trial, "", step, {f"end/{k}": v for k, v in metrics.items()})
            for key in [each for each in self._files if each[0] == trial.trial_id]:
                del self._files[key]

    def stop(self) -> None:
        """Nothing is open."""

    def _write(self, trial: Trial, part: str, step: int, values: Mapping[str, object]) -> None:
        numbers = {
            tag: float(value)
            for tag, value in values.items()
            if isinstance(value, int | float) and math.isfinite(value)
        }
        if not numbers:
            return
        with contextlib.suppress(OSError):  # on a full disk the run itself has more to say
            key = (trial.trial_id, part)
            if key not in self._files:
                self._files[key] = EventFile(self._folder / Path(log_name(trial)).stem / part)
            self._files[key].add(step, numbers)


class EventFile:
    """A file that TensorBoard reads.

    Args:
        folder: of one curve's files; each process writes one of its own there.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"events.out.tfevents.{time.time():.0f}.{secrets.token_hex(4)}"
        self._append(_moment() + _bytes(3, b"brain.Event:2"))

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to some curves.

        Args:
            step: where on the horizontal axis, 0 or more.
            values: by the curve's name.
        """
        points = [
            _bytes(1, _bytes(1, tag.encode()) + b"\x15" + struct.pack("<f", value))
            for tag, value in values.items()
        ]
        self._append(_moment() + b"\x10" + _varint(step) + _bytes(5, b"".join(points)))

    def _append(self, event: bytes) -> None:
        length = struct.pack("<Q", len(event))
        with open(self.path, "ab") as file:
            file.write(length + _crc(length) + event + _crc(event))


def _moment() -> bytes:
    return b"\x09" + struct.pack("<d", time.time())


def _bytes(field: int, content: bytes) -> bytes:
    """A field that holds a text or another message."""
    return bytes([field << 3 | 2]) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last have the eighth."""
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def _crc(content: bytes) -> bytes:
    """CRC-32C, turned and shifted, so that a CRC of what holds CRCs is none of theirs."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = _table()[(crc ^ byte) & 255] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


@cache
def _table() -> tuple[int, ...]:
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return tuple(table)
