"""`python -m studies.bench.reading`: how fast batches are read, with each augmentation, on one thread.

The images are noise of the sizes that built-in studies have; nothing here loads a backend. Time is that of
the thread on its processor, so that others who work there matter little. Where nothing is read ahead,
reading ten times as fast as training costs a step a tenth of its time; what built-in models consume is in
`results/bench/fit-float32.csv`, and what a trial waits for, in its record's `waiting`.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from studies.bench.csv_rows import end_with
from studies.data import Augmentation, Batches, Split
from studies.machine.devices import cpu_name

INPUTS = {
    "digits": (8, 8, 1),
    "fashion_mnist": (28, 28, 1),
    "shapes": (32, 32, 3),
    "photos": (64, 64, 3),
}  # by data set: (H, W, C)
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
    *("rounds", "device", "numpy"),
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and write it as reading.csv."""
    parser = argparse.ArgumentParser(
        prog="python -m studies.bench.reading", description=main.__doc__
    )
    parser.add_argument("--inputs", nargs="+", choices=INPUTS, default=list(INPUTS))
    parser.add_argument("--rounds", type=int, default=11, help="turns of each variant")
    parser.add_argument("--seconds", type=float, default=0.5, help="of a turn")
    parser.add_argument("--output", type=Path, default=Path("runs/bench"), help="folder")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or not 0 < options.seconds < math.inf:
        parser.error("--rounds must be at least 1 and --seconds above 0")
    rows = []
    for name in options.inputs:
        print(f"{name}: measuring ...", file=sys.stderr, flush=True)
        measured = measure(INPUTS[name], options.rounds, options.seconds)
        rows += [_row(name, variant, speeds) for variant, speeds in measured.items()]
    _print(rows)
    return end_with(options.output / "reading.csv", COLUMNS, rows)


def _row(name: str, variant: str, speeds: np.ndarray) -> dict[str, object]:
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
    }


def _print(rows: Sequence[dict[str, object]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=f"Reading batches of {BATCH} images, one thread, images/s", caption="median"
    )
    names = list(dict.fromkeys(str(row["input"]) for row in rows))
    table.add_column("augmentation")
    for name in names:
        table.add_column(f"{name} {'x'.join(map(str, INPUTS[name]))}", justify="right")
    for variant in VARIANTS:
        speeds = [row["images_per_second"] for row in rows if row["augmentation"] == variant]
        table.add_row(variant, *(f"{speed:,.0f}" for speed in speeds))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
