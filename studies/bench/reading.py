"""`python -m studies.bench.reading`: how fast batches are read, with each augmentation, and consumed.

The images are noise of the sizes that built-in studies have. They are read by one thread, whose time on its
processor counts, so that others who work there matter little. Of each size the fastest built-in model then
trains, its compiled step alone over and over on the same batch, on every backend and on all cores, which
nobody else should use: the fastest backend says how many images a second it consumes. Where nothing is read
ahead, reading ten times as fast as that costs a step a tenth of its time, and below it, training waits. On an
accelerator, which consumes many times as many images, reading is what bounds small models: what a trial
waited for is in its record's `waiting`.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from studies.bench.cases import Contender, of_studies
from studies.bench.csv_rows import end_with
from studies.bench.turns import Process, take_turns
from studies.data import Augmentation, Batches, Split
from studies.errors import UsageError
from studies.machine.backends import BACKENDS
from studies.machine.devices import cpu_name
from studies.machine.threads import cores

INPUTS = {
    "digits": (8, 8, 1),
    "fashion_mnist": (28, 28, 1),
    "shapes": (32, 32, 3),
    "photos": (64, 64, 3),
}  # by data set: (H, W, C)
FASTEST = {
    "digits": "quick/vit-xs",
    "fashion_mnist": "compute-scale/vit-xs",
    "shapes": "data-scale/vit-s",
    "photos": "data-scale/vit-s",
}  # of the built-in studies' models on such images, in their form for this size
CLASSES, IMAGES, BATCH = 10, 2048, 128
CROP = Augmentation("crop_flip")
VARIANTS = {
    "none": Augmentation(),
    "crop, flip": CROP,
    "+ mixup": replace(CROP, mixup=0.2),
    "+ CutMix": replace(CROP, cutmix=1.0),
    "+ erasing": replace(CROP, random_erasing=0.25),
    "+ mixup, CutMix, erasing": replace(CROP, mixup=0.2, cutmix=1.0, random_erasing=0.25),
    "+ RandAugment (2, 10)": replace(CROP, randaugment_layers=2),
    "+ all of these": replace(
        CROP, mixup=0.2, cutmix=1.0, random_erasing=0.25, randaugment_layers=2
    ),
    "scrambled": Augmentation(scramble=1),
}  # what is added is added to crops and mirror images
COLUMNS = (
    *("input", "shape", "augmentation", "images_per_second", "lower_quartile", "upper_quartile"),
    *("rounds", "device", "numpy", "model", "backend", "threads", "consumes", "ratio"),
)


def measure(shape: tuple[int, ...], rounds: int, seconds: float) -> dict[str, np.ndarray]:
    """Images per second of every variant and round; the variants take turns.

    Args:
        shape: (H, W, C).
        rounds: number of turns of each.
        seconds: length of a turn.
    """
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (IMAGES, *shape), np.uint8)
    split = Split(images, rng.integers(0, CLASSES, IMAGES, np.int64))
    batches = {
        name: Batches(split, np.arange(IMAGES), BATCH, 0, variant, CLASSES)
        for name, variant in VARIANTS.items()
    }
    found: dict[str, list[float]] = {name: [] for name in batches}
    for _ in range(rounds):
        for name, source in batches.items():
            source.batch(0)  # what is loaded and made once is not timed
            began, step = time.thread_time(), 0
            while (took := time.thread_time() - began) < seconds or step == 0:
                source.batch(step)
                step += 1
            found[name].append(step * BATCH / took)
    return {name: np.array(speeds) for name, speeds in found.items()}


@dataclass(frozen=True)
class Consumption:
    """How many images a second the fastest model trains on.

    Attributes:
        model: study and name.
        backend: on which it is fastest.
        threads: of its process.
        speed: images per second, the median of rounds.
    """

    model: str
    backend: str
    threads: int
    speed: float


def consumption(
    name: str, backends: Sequence[str], threads: int, rounds: int, seconds: float
) -> Consumption:
    """Train the fastest model of some images on each backend, in processes that take turns.

    Args:
        name: of `INPUTS`.
        backends: at least one.
        threads: of each process.
        rounds: number of turns of each.
        seconds: wanted length of a turn.

    Raises:
        UsageError: a backend cannot run here.
    """
    size = INPUTS[name][0]
    cases = {
        case.backend: case
        for case in of_studies(backends, ["float32"], size, [])
        if case.model == FASTEST[name] and case.shape == INPUTS[name]
    }
    step = Contender("bare step", "fit:bare_step")
    with contextlib.ExitStack() as stack:
        caches = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        turns = {
            backend: stack.enter_context(Process(case, step, threads, caches / backend)).turn
            for backend, case in cases.items()
        }
        taken = take_turns(turns, rounds, seconds)
    speeds = {
        backend: cases[backend].batch_size / float(np.median(each))
        for backend, each in taken.items()
    }
    fastest = max(speeds, key=speeds.__getitem__)
    return Consumption(FASTEST[name], fastest, threads, float(f"{speeds[fastest]:.4g}"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and write it as reading.csv."""
    parser = argparse.ArgumentParser(
        prog="python -m studies.bench.reading", description=main.__doc__
    )
    parser.add_argument("--inputs", nargs="+", choices=INPUTS, default=list(INPUTS))
    parser.add_argument("--rounds", type=int, default=11, help="turns of each variant")
    parser.add_argument("--seconds", type=float, default=0.5, help="of a turn")
    parser.add_argument(
        "--backends",
        nargs="*",
        choices=BACKENDS,
        default=BACKENDS,
        help="of models that train; or none",
    )
    parser.add_argument("--threads", type=int, default=len(cores()), help="of a model that trains")
    parser.add_argument("--output", type=Path, default=Path("runs/bench"), help="folder")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or not 0 < options.seconds < math.inf:
        parser.error("--rounds must be at least 1 and --seconds above 0")
    if not 1 <= options.threads <= len(cores()):
        parser.error(f"--threads must be 1 to {len(cores())}, the cores that are there")
    rows = []
    for name in options.inputs:
        print(f"{name}: measuring ...", file=sys.stderr, flush=True)
        turns = (options.rounds, options.seconds)
        measured = measure(INPUTS[name], *turns)
        try:
            consumed = (
                consumption(name, options.backends, options.threads, *turns)
                if options.backends
                else None
            )
        except UsageError as error:
            print(f"error: {error}; leave that backend out with --backends", file=sys.stderr)
            return 2
        rows += [_row(name, variant, speeds, consumed) for variant, speeds in measured.items()]
    _print(rows)
    return end_with(options.output / "reading.csv", COLUMNS, rows)


def _row(
    name: str, variant: str, speeds: np.ndarray, consumed: Consumption | None
) -> dict[str, object]:
    low, middle, high = (float(f"{v:.4g}") for v in np.quantile(speeds, [0.25, 0.5, 0.75]))
    return {
        "input": name,
        "shape": "x".join(map(str, INPUTS[name])),
        "augmentation": variant,
        "images_per_second": middle,
        "lower_quartile": low,
        "upper_quartile": high,
        "rounds": len(speeds),
        "device": f"cpu ({cpu_name()})",
        "numpy": np.__version__,
        "model": consumed and consumed.model,
        "backend": consumed and consumed.backend,
        "threads": consumed and consumed.threads,
        "consumes": consumed and consumed.speed,
        "ratio": consumed and float(f"{middle / consumed.speed:.3g}"),
    }


def _print(rows: Sequence[dict[str, object]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=f"Reading batches of {BATCH} images, one thread, images/s",
        caption="median; in brackets how many times what the fastest built-in model consumes",
    )
    names = list(dict.fromkeys(str(row["input"]) for row in rows))
    table.add_column("augmentation")
    for name in names:
        table.add_column(f"{name} {'x'.join(map(str, INPUTS[name]))}", justify="right")
    for variant in VARIANTS:
        mine = [row for row in rows if row["augmentation"] == variant]
        table.add_row(variant, *map(_cell, mine))
    if any(row["model"] for row in rows):
        first = [next(row for row in rows if row["input"] == name) for name in names]
        table.add_section()
        told = [f"{row['model']} on {row['backend']}: {row['consumes']:,.0f}" for row in first]
        table.add_row("consumed", *told)
    Console().print(table)


def _cell(row: dict[str, object]) -> str:
    speed, ratio = f"{row['images_per_second']:,.0f}", row["ratio"]
    if not isinstance(ratio, float):
        return speed
    return f"{speed} ({ratio:,.1f}x)" if ratio < 10 else f"{speed} ({ratio:,.0f}x)"


if __name__ == "__main__":
    sys.exit(main())
