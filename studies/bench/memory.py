"""`python -m studies.bench.memory`: memory and speed of a trial against the number of its training images.

Data sets of each size are prepared by one process and trained on by another, a real trial of a small ViT; of
both the anonymous memory (RssAnon) is watched from outside. What lies in files is mapped, and the system's
own. A data set is removed once it was measured; rows that are in the table are not measured again.

- shapes: drawn, in chunks.
- folder: one image file each, of 8 x 8 pixels, which this makes and removes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from studies import data
from studies.bench.csv_rows import read_rows, write_rows
from studies.errors import UsageError
from studies.machine.backends import default_backend
from studies.machine.devices import cpu_name
from studies.machine.processes import child_environment
from studies.study.entries import ModelEntry
from studies.study.recipe import Evaluation, Recipe
from studies.study.trial import Trial

SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000, 2_000_000)
KINDS = ("shapes", "folder")
ALLOWED = 24  # bytes an image
EVERY = 0.02  # seconds between two looks
STEPS, BATCH = 400, 128
MODEL = {"hidden_size": 32, "num_layers": 2, "mlp_dim": 64, "num_heads": 2}
CLASSES, VALIDATION, TEST = 10, 500, 500  # of a folder
PREPARE = """
import json, sys
from studies import data
data.load(sys.argv[1], json.loads(sys.argv[2]))
"""
COLUMNS = (
    *("kind", "images", "pixels", "prepare_seconds", "prepare_anon_mib", "train_anon_mib"),
    *("images_per_second", "waiting", "backend", "busy", "device", "command_line"),
)
NAME, FIGURE = "memory.csv", "memory.png"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is not in the table yet; write memory.csv and its figure."""
    parser = argparse.ArgumentParser(
        prog="python -m studies.bench.memory", description=main.__doc__
    )
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES))
    parser.add_argument("--image-size", type=int, default=None, help="pixels of shapes; their own")
    parser.add_argument("--backend", default=None, help="by default the first that is installed")
    parser.add_argument("--busy", action="store_true", help="other work runs beside it: say so")
    parser.add_argument("--output", type=Path, default=Path("runs/bench"), help="folder")
    parser.add_argument("--folder", type=Path, default=Path("runs/memory"), help="of the data")
    options = parser.parse_args(arguments)
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        for kind in options.kinds:
            for size in options.sizes:
                _measure(kind, size, options)
        draw(options.output)
    except (UsageError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print((options.output / NAME).read_text(encoding="utf-8"), end="")
    return 0


def slope(rows: Sequence[dict[str, Any]], column: str) -> float:
    """Bytes an image by which memory grows from the smallest to the largest data set of a kind."""
    ends = sorted((int(row["images"]), float(row[column]) * 2**20) for row in rows)
    (few, least), (many, most) = ends[0], ends[-1]
    return (most - least) / (many - few)


def _measure(kind: str, size: int, options: argparse.Namespace) -> None:
    table = options.output / NAME
    rows = read_rows(table)
    if any(row["kind"] == kind and row["images"] == str(size) for row in rows):
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    backend = options.backend or default_backend()
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        cache = Path(place) / "cache"
        pixels = options.image_size
        if kind == "folder":
            pixels = 8
            name = f"folder:{_image_folder(Path(place) / 'images', size)}"
        else:
            name = f"shapes:{size}"
        print(f"{kind}, {size:,} images: preparing ...", file=sys.stderr, flush=True)
        environment = {"KERAS_VIT_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
        prepared = watched(["-c", PREPARE, name, json.dumps(pixels)], environment, backend)
        print(f"{kind}, {size:,} images: training ...", file=sys.stderr, flush=True)
        info = data.describe(name, pixels, cache=cache)
        trial = _trial(name, info, pixels, size, backend)
        file = Path(place) / "trial.json"
        file.write_text(trial.model_dump_json(), encoding="utf-8")
        line = [
            "-m",
            "studies.training.trial",
            str(file),
            "--results",
            str(Path(place) / "results"),
        ]
        trained = watched(line, environment, backend)
        record = json.loads(trained.said[-1])["record"]
        if record["status"] != "done":
            raise UsageError(f"the trial of {name} failed: {record.get('reason')}")
    rows.append(
        {
            "kind": kind,
            "images": size,
            "pixels": "x".join(map(str, info.image_shape)),
            "prepare_seconds": f"{prepared.seconds:.3g}",
            "prepare_anon_mib": f"{prepared.anonymous / 2**20:.1f}",
            "train_anon_mib": f"{trained.anonymous / 2**20:.1f}",
            "images_per_second": f"{record['images_per_second']:.4g}",
            "waiting": f"{record['waiting']:.3f}",
            "backend": backend,
            "busy": "yes" if options.busy else "no",
            "device": f"cpu ({cpu_name()})",
            "command_line": "python -m studies.bench.memory --output results/bench",
        }
    )
    write_rows(table, COLUMNS, rows)


class Watched:
    """What a process took, and what it said."""

    def __init__(self, seconds: float, anonymous: int, said: list[str]) -> None:
        self.seconds = seconds
        self.anonymous = anonymous  # bytes, at most
        self.said = said


def watched(line: Sequence[str], environment: dict[str, str], backend: str) -> Watched:
    """Run a line of Python and look at its anonymous memory until it ends.

    Raises:
        UsageError: it ended with an error.
    """
    began = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as log:
        child = subprocess.Popen(
            [sys.executable, *line],
            stdin=subprocess.PIPE,  # a trial lives as long as its starter
            stdout=out,
            stderr=log,
            env={**child_environment(backend), **environment},
        )
        most = 0
        while child.poll() is None:
            most = max(most, anonymous(child.pid))
            time.sleep(EVERY)
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


def _trial(name: str, info: data.DatasetInfo, pixels: int | None, size: int, backend: Any) -> Trial:
    return Trial(
        study="memory",
        dataset=name,
        data_fingerprint=info.fingerprint,
        image_shape=info.image_shape,
        num_classes=info.num_classes,
        image_size=pixels,
        size=info.counts["train"],
        seed=0,
        backend=backend,
        model=ModelEntry(name="vit", base="ViT-Ti/4", overrides=MODEL),
        recipe=Recipe(steps=STEPS, batch_size=BATCH, validations=2, augmentation="crop_flip"),
        evaluation=Evaluation(shots=(1,), fewshot_seeds=1),
    )


def _image_folder(folder: Path, size: int) -> Path:
    """A folder of so many training images, of random pixels, and some to validate and to test."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for split, number in (("train", size), ("validation", VALIDATION), ("test", TEST)):
        for label in range(CLASSES):
            place = folder / split / f"class{label}"
            place.mkdir(parents=True)
            for index in range(number // CLASSES):
                pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{index:07}.bmp")
    return folder


def draw(output: Path) -> None:
    """Memory and images per second against the number of images, from the table."""
    from studies.plots.style import DPI, new_panels, size_axis, styles

    rows = read_rows(output / NAME)
    kinds = [kind for kind in KINDS if any(row["kind"] == kind for row in rows)]
    looks = styles(kinds)
    memory, speed = new_panels(2, width=5.6, height=4.4)
    sizes = sorted({int(row["images"]) for row in rows})
    for kind in kinds:
        mine = sorted((row for row in rows if row["kind"] == kind), key=lambda r: int(r["images"]))
        x = [int(row["images"]) for row in mine]
        look: dict[str, Any] = {"color": looks[kind].colour, "marker": looks[kind].marker}
        memory.plot(x, [float(row["train_anon_mib"]) for row in mine], label=kind, **look)
        speed.plot(x, [float(row["images_per_second"]) for row in mine], label=kind, **look)
        if len(mine) > 1:
            begin = float(mine[0]["train_anon_mib"])
            allowed = [begin + ALLOWED * (n - x[0]) / 2**20 for n in x]
            memory.plot(x, allowed, ":", color=looks[kind].colour, linewidth=1.2)
    memory.set_ylabel("anonymous memory of a trial, at most (MiB)")
    memory.set_title(f"dotted: {ALLOWED} bytes an image", fontsize=10)
    speed.set_ylabel("images per second, in training")
    busy = any(row["busy"] == "yes" for row in rows)
    speed.set_title("beside other work" if busy else "", fontsize=10)
    for ax in (memory, speed):
        ax.set_xscale("log")
        ax.set_ylim(0, 1.1 * ax.get_ylim()[1])
        size_axis(ax, sizes)
    memory.legend(loc="lower right")
    figure = memory.get_figure(root=True)
    assert figure is not None
    figure.suptitle(f"A trial on {'; '.join(sorted({row['device'] for row in rows}))}", fontsize=10)
    figure.savefig(output / FIGURE, dpi=DPI, metadata={"Software": None})


if __name__ == "__main__":
    sys.exit(main())
