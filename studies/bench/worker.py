"""The process of one contender of the bench: it makes its model, and computes when it is its turn.

    python -m studies.bench.worker '{"case": ..., "maker": ..., "overrides": ...}'

It says one line of JSON when its first step is done, and one for every number of steps that it reads.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from studies.bench.cases import Case
from studies.machine.devices import device, peak_memory
from studies.machine.kernels import choose_kernels
from studies.machine.processes import die_with_parent, reserve_stdout


class Runner(NamedTuple):
    """What a contender computes.

    Attributes:
        turn: does so many steps, and returns when they are done.
        parameters: number of weights.
        flops: counts those of a forward pass of one image, or of the product; None where nobody can.
    """

    turn: Callable[[int], None]
    parameters: int = 0
    flops: Callable[[], int] | None = None


def main() -> None:
    """Be a contender until standard input ends."""
    emit = reserve_stdout()
    die_with_parent(watch_stdin=False)
    order = json.loads(sys.argv[1])
    case = Case(**{**order["case"], "shape": tuple(order["case"]["shape"])})
    if case.mode == "fit":  # as a trial's process
        choose_kernels(case.backend, case.base, order["overrides"])
    module, function = order["maker"].split(":")
    make = getattr(import_module(f"studies.bench.{module}"), function)
    before = resident()
    began = time.perf_counter()
    runner: Runner = make(case, order["overrides"])
    runner.turn(1)
    first_step = time.perf_counter() - began
    emit(
        {
            "first_step": first_step,
            "parameters": runner.parameters,
            "flops": runner.flops() if runner.flops else None,
            "device": device(case.backend),
        }
    )
    for line in sys.stdin:
        began = time.perf_counter()
        runner.turn(int(line))
        seconds = time.perf_counter() - began
        emit(
            {
                "seconds": seconds,
                "memory": accelerator_memory(case.backend) or peak_memory() - before,
            }
        )


def resident() -> int:
    """The memory that this process has now, in bytes; 0 where no file tells."""
    try:
        words = Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()
    except OSError:
        return 0
    return 1024 * int(words[0])


def accelerator_memory(backend: str) -> int | None:
    """The most that was in use at once on the accelerator, in bytes; None where there is none."""
    if backend == "jax":
        import jax

        return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    if backend == "tensorflow":
        import tensorflow as tf

        if not tf.config.list_physical_devices("GPU"):
            return None
        return tf.config.experimental.get_memory_info("GPU:0")["peak"]
    import torch

    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None


def some_batch(case: Case, channels_first: bool = False) -> tuple[Any, Any]:
    """Drawn images in [-1, 1] and labels, as NumPy arrays.

    Contenders bring them to a GPU before they begin: to copy them is the same for all.
    """
    import numpy as np

    rng = np.random.default_rng(0)
    height, width, channels = case.shape
    shape = (channels, height, width) if channels_first else case.shape
    images = rng.uniform(-1, 1, (case.batch_size, *shape)).astype(np.float32)
    return images, rng.integers(0, case.classes, case.batch_size).astype(np.int32)


if __name__ == "__main__":
    main()
