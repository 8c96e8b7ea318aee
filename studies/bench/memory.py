"""`python -m studies.bench.memory`: memory and speed of a trial against the number of its training images.

Data sets of each size are made and prepared by processes of their own, and trained on by another, a real
trial of a small ViT; of all of them the anonymous memory (RssAnon) is watched from outside. What lies in
files is mapped, and the system's own. A data set is removed once it was measured, or this process is gone;
rows that are in the table are not measured again.

- shapes: drawn, in chunks.
- folder: one image file each.
- tfds: a prepared data set of TensorFlow Datasets, found as a user's own is, by its name.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from studies.bench.csv_rows import read_rows, write_rows
from studies.bench.made_data import MAKERS, TFDS_NAME
from studies.bench.swept import swept_folder
from studies.data import DatasetInfo
from studies.errors import UsageError
from studies.machine.backends import default_backend
from studies.machine.devices import cpu_name
from studies.machine.processes import child_environment
from studies.study.entries import ModelEntry
from studies.study.recipe import Evaluation, Recipe
from studies.study.trial import Trial

SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000, 2_000_000)
SIDES = {"shapes": 32, "folder": 8, "tfds": 32}  # by kind: pixels, where nothing else is asked for
ALLOWED = 24  # bytes an image
EVERY = 0.02  # seconds between two looks
STEPS, BATCH = 400, 128
DIFFER = 3  # batches by which the memory of runs of the same images differs
MODEL = {"hidden_size": 32, "num_layers": 2, "mlp_dim": 64, "num_heads": 2}
PREPARE = """
import json, sys
from studies import data
from studies.machine.processes import die_with_parent
die_with_parent()
print(json.dumps(data.load(sys.argv[1], int(sys.argv[2])).info.to_dict()))
"""
BESIDE, BLOCK, SPARE = (
    200,
    4096,
    1.1,
)  # bytes an image beside its pixels, and a small file's; a share
COLUMNS = (
    *("kind", "images", "pixels", "make_seconds", "prepare_seconds", "train_seconds"),
    *("prepare_anon_mib", "train_anon_mib", "images_per_second", "waiting", "data_gib"),
    *("memory_gib", "backend", "busy", "device", "command_line"),
)
NAME, FIGURE = "memory.csv", "memory.png"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is not in the table yet; write memory.csv and its figure."""
    parser = argparse.ArgumentParser(
        prog="python -m studies.bench.memory", description=main.__doc__
    )
    parser.add_argument("--kinds", nargs="+", choices=list(SIDES), default=list(SIDES))
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES), help="images")
    parser.add_argument("--image-size", type=int, help=f"pixels; by default {SIDES}")
    parser.add_argument("--backend", default=None, help="by default the first that is installed")
    parser.add_argument("--busy", action="store_true", help="other work runs beside it: say so")
    parser.add_argument("--output", type=Path, default=Path("runs/bench"), help="folder")
    parser.add_argument("--folder", type=Path, default=Path("runs/memory"), help="of the data")
    options = parser.parse_args(arguments)
    if options.image_size is not None and (options.image_size < 8 or options.image_size % 8):
        parser.error("--image-size must be a multiple of 8, which patches are cut from")
    table = options.output / NAME
    backend = options.backend or default_backend()
    try:
        for kind in options.kinds:
            for images in options.sizes:
                side = options.image_size or SIDES[kind]
                rows = read_rows(table)
                done = {(row["kind"], row["images"], row["pixels"]) for row in rows}
                if (kind, str(images), f"{side}x{side}x3") not in done:
                    row = _measured(kind, images, side, backend, options.folder)
                    row["busy"] = "yes" if options.busy else "no"
                    write_rows(table, COLUMNS, [*read_rows(table), row])
        draw(options.output)
    except (UsageError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table.read_text(encoding="utf-8"), end="")
    print("\n".join(in_words(read_rows(table))))
    return 0


def in_words(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """How memory grows with the data sets of each kind, a sentence each."""
    sentences = []
    for name, own in series(rows).items():
        numbers = [int(row["images"]) for row in own]
        if len(set(numbers)) > 1:
            prepared, trained = (slope(own, f"{c}_anon_mib") for c in ("prepare", "train"))
            batch = BATCH * int(np.prod([int(side) for side in own[0]["pixels"].split("x")])) * 4
            hidden = ALLOWED * (max(numbers) - min(numbers)) < DIFFER * batch
            sentences.append(
                f"{name}: from {min(numbers):,} to {max(numbers):,} images a trial's anonymous memory "
                f"grows by {trained:.1f} bytes an image (allowed: {ALLOWED}), that of preparing by "
                f"{prepared:.1f}."
                + (
                    f" That tells little: a batch takes {batch / 2**20:.0f} MiB as floats, and runs "
                    "of the same images differ by some of these."
                    if hidden
                    else ""
                )
            )
    return sentences


def series(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Rows of each kind and size of images, by their number of images."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: int(row["images"])):
        found.setdefault(f"{row['kind']}, {row['pixels'].split('x')[0]} pixels", []).append(row)
    return found


def slope(rows: Sequence[Mapping[str, Any]], column: str) -> float:
    """Bytes an image by which memory grows: the slope of a straight line, by least squares."""
    images = [float(row["images"]) for row in rows]
    return float(np.polyfit(images, [float(row[column]) * 2**20 for row in rows], 1)[0])


def draw(output: Path) -> None:
    """Growth of memory, and images per second, against the number of images, from the table."""
    from studies.plots.growth import growth
    from studies.plots.style import DPI

    rows = read_rows(output / NAME)
    busy = ", beside other work" if any(row["busy"] == "yes" for row in rows) else ""
    title = f"A trial on {'; '.join(sorted({row['device'] for row in rows}))}{busy}"
    figure = growth(series(rows), ALLOWED, title)
    figure.savefig(output / FIGURE, dpi=DPI, metadata={"Software": None})


def _measured(kind: str, images: int, side: int, backend: Any, folder: Path) -> dict[str, Any]:
    """Makes, prepares and trains on a data set, removes it, and gives its row of the table."""
    with swept_folder(folder) as place:
        _check_room(place, kind, images, side)
        # Data sets of TensorFlow Datasets are looked for in two places of a user's own.
        environment = {
            "KERAS_VIT_CACHE": str(place / "cache"),
            "TFDS_DATA_DIR": str(place / "tfds"),
            "OMP_NUM_THREADS": "1",
        }

        def ran(what: str, *line: str) -> Watched:
            print(f"{kind}, {images:,} images: {what} ...", file=sys.stderr, flush=True)
            return watched(line, environment, backend)

        made = None
        if kind in MAKERS:
            order = (kind, str(place / kind), str(images), str(side))
            made = ran("making", "-m", "studies.bench.made_data", *order)
        names = {"folder": f"folder:{place / 'folder'}", "tfds": TFDS_NAME}
        name = names.get(kind, f"{kind}:{images}")
        prepared = ran("preparing", "-c", PREPARE, name, str(side))
        info = DatasetInfo.from_dict(json.loads(prepared.said[-1]))
        file = place / "trial.json"
        file.write_text(_trial(info, side, backend).model_dump_json(), encoding="utf-8")
        line = ("-m", "studies.training.trial", str(file), "--results", str(place / "results"))
        trained = ran("training", *line)
        record = json.loads(trained.said[-1])["record"]
    if record["status"] != "done":
        raise UsageError(f"the trial of {name} failed: {record.get('reason')}")
    pixels = sum(info.official.values()) * int(np.prod(info.image_shape))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "kind": kind,
        "images": images,
        "pixels": "x".join(map(str, info.image_shape)),
        "make_seconds": f"{made.seconds:.3g}" if made else "",
        "prepare_seconds": f"{prepared.seconds:.3g}",
        "train_seconds": f"{trained.seconds:.3g}",
        "prepare_anon_mib": f"{prepared.anonymous / 2**20:.1f}",
        "train_anon_mib": f"{trained.anonymous / 2**20:.1f}",
        "images_per_second": f"{record['images_per_second']:.4g}",
        "waiting": f"{record['waiting']:.3f}",
        "data_gib": f"{pixels / 2**30:.3g}",
        "memory_gib": f"{memory / 2**30:.3g}",
        "backend": backend,
        "device": f"cpu ({cpu_name()})",
        "command_line": f"python -m studies.bench.memory --kinds {kind} --sizes {images} "
        f"--image-size {side} --backend {backend} --output results/bench",
    }


def _check_room(folder: Path, kind: str, images: int, side: int) -> None:
    """Refuses what the disk cannot hold: nobody wants to wait for that."""
    pixels = images * 3 * side**2
    made = {"shapes": 0, "folder": -(-3 * side**2 // BLOCK) * BLOCK * images, "tfds": pixels}
    needed = SPARE * (pixels + made[kind] + BESIDE * images)
    free = shutil.disk_usage(folder).free
    entries = os.statvfs(folder)
    files = images if kind == "folder" else 0
    if free < needed or (entries.f_files and entries.f_favail < SPARE * files):
        raise UsageError(
            f"{kind} of {images:,} images of {side} pixels need {needed / 2**30:.1f} GiB"
            f"{f' and {files:,} files' if files else ''} for a while, and {folder.parent} has room for "
            f"{free / 2**30:.1f} GiB and {entries.f_favail:,} files: give another --folder, or smaller "
            f"--sizes."
        )


class Watched(NamedTuple):
    """What a process took, and what it said."""

    seconds: float
    anonymous: int  # bytes, at most
    said: list[str]


def watched(line: Sequence[str], environment: Mapping[str, str], backend: str) -> Watched:
    """Run a line of Python and look at its anonymous memory until it ends.

    Raises:
        UsageError: it ended with an error.
    """
    began = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as log:
        with subprocess.Popen(
            [sys.executable, *line],
            stdin=subprocess.PIPE,  # it lives as long as its starter
            stdout=out,
            stderr=log,
            env={**child_environment(backend), **environment},
        ) as child:
            try:
                most = 0
                while child.poll() is None:
                    most = max(most, sum(map(anonymous, family(child.pid))))
                    time.sleep(EVERY)
            except BaseException:  # an interruption, say: leaving the block would wait for it
                child.kill()
                raise
        out.seek(0)
        log.seek(0)
        said = out.read().decode(errors="replace").splitlines()
        if child.returncode:
            last = log.read().decode(errors="replace").strip().splitlines()[-1:]
            raise UsageError(f"python {' '.join(line[:2])} ended with {child.returncode}: {last}")
    return Watched(time.monotonic() - began, most, said)


def anonymous(pid: int) -> int:
    """Bytes of memory of a process that no file holds: RssAnon, as Linux counts it."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    except OSError:  # it has just ended
        pass
    return 0


def family(pid: int) -> Iterator[int]:
    """A process and those that it and its own have started."""
    yield pid
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = file.read_text().split()
        except OSError:  # a thread that has just ended
            continue
        for child in children:
            yield from family(int(child))


def _trial(info: DatasetInfo, side: int, backend: Any) -> Trial:
    return Trial(
        study="memory",
        dataset=info.name,
        data_fingerprint=info.fingerprint,
        image_shape=info.image_shape,
        num_classes=info.num_classes,
        image_size=side,
        size=info.counts["train"],
        seed=0,
        backend=backend,
        model=ModelEntry(name="vit", base=f"ViT-Ti/{max(4, side // 8)}", overrides=MODEL),
        recipe=Recipe(steps=STEPS, batch_size=BATCH, validations=2, augmentation="crop_flip"),
        evaluation=Evaluation(shots=(1,), fewshot_seeds=1),
    )


if __name__ == "__main__":
    sys.exit(main())
