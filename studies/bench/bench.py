"""`python -m studies bench`: how fast models train here, beside keras-hub's and beside the bare step.

Two measurements, each in one process a backend, contenders taking turns round by round so that a
machine's mood hits all of them alike:

- by default, a compiled training step of a model and of keras-hub's ViT of the same size;
- with --fit, the built-in studies' models: a trial's `fit` against its bare compiled step, and how
  fast batches are read.

Nothing here loads a backend; `studies.bench.worker` does.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studies.errors import UsageError
from studies.machine.processes import child_environment
from studies.machine.threads import bind, cores

INPUTS = {
    "shapes": (32, 3),
    "fashion_mnist": (28, 1),
    "digits": (8, 1),
}  # pixels and channels of the built-in studies
COLUMNS = (
    "backend",
    "model",
    "contender",
    "images_per_second",
    "lower_quartile",
    "upper_quartile",
    "compared_with",
    "ratio",
    "ratio_lower_quartile",
    "ratio_upper_quartile",
    "rounds",
)


@dataclass(frozen=True)
class Options:
    """What to measure and for how long; None takes the default that goes with `fit`."""

    fit: bool = False  # fit and data reading of the built-in models, instead of one model's step
    model: str = "ViT-S/16"
    image_size: int | None = None  # pixels; 224, or with `fit` what each study has
    batch_size: int | None = None  # images a step; 8, or with `fit` what each study has
    backend: str | None = None  # with commas between several; those that are installed
    dtype: str = "float32"
    activation: str = "gelu"  # keras-hub's
    rounds: int = 11
    seconds: float = 4.0  # of a turn
    threads: int | None = None  # one a core
    output: Path = Path("runs/bench")


def run(options: Options) -> int:
    """Measure how fast models train here."""
    requests = _requests(options)
    threads = options.threads or len(cores())
    if threads > len(cores()):
        raise UsageError(
            f"--threads {threads} is more than the {len(cores())} cores here; give at most that"
        )
    reports = []
    for backend in _backends(options.backend):
        print(f"{backend}: measuring ...", file=sys.stderr, flush=True)
        reports.append(_measure(backend, requests, threads))
    rows = [row for report in reports for row in summarise(report)]
    title = _title(options)
    _print(title, rows)
    for path in _write(options.output, _stem(options), title, reports, rows):
        print(path)
    return 0


def summarise(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Medians and quartiles of a worker's rounds, and of the ratios within each round.

    Args:
        report: `backend` and `results`, a list with `model` and `rounds`: images per second of every
            round by contender, the first contender being what the others are compared with.

    Returns:
        One row a model and contender, with the keys of `COLUMNS`.
    """
    import numpy as np

    rows = []
    for result in report["results"]:
        names = list(result["rounds"])
        reference = names[0]
        for name in names:
            speeds = np.array(result["rounds"][name])
            low, middle, high = np.quantile(speeds, [0.25, 0.5, 0.75])
            row = {
                "backend": report["backend"],
                "model": result["model"],
                "contender": name,
                "images_per_second": middle,
                "lower_quartile": low,
                "upper_quartile": high,
                "rounds": len(speeds),
            }
            if name != reference:
                ratios = speeds / np.array(result["rounds"][reference])
                low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
                row |= {
                    "compared_with": reference,
                    "ratio": middle,
                    "ratio_lower_quartile": low,
                    "ratio_upper_quartile": high,
                }
            rows.append({column: row.get(column, "") for column in COLUMNS})
    return rows


def _requests(options: Options) -> list[dict[str, Any]]:
    from studies.study import file as study_file
    from studies.study.entries import ModelEntry

    if options.rounds < 1 or options.seconds <= 0:
        raise UsageError("--rounds must be at least 1 and --seconds above 0")
    common = {"rounds": options.rounds, "seconds": options.seconds, "dtype": options.dtype}
    if not options.fit:
        study_file.check_base(ModelEntry(name=options.model, base=options.model))
        size = options.image_size or 224
        return [
            {
                **common,
                "kind": "step",
                "model": options.model,
                "overrides": {"activation": options.activation} if "ViT" in options.model else {},
                "input_shape": [size, size, 3],
                "batch_size": options.batch_size or 8,
            }
        ]
    requests: dict[str, dict[str, Any]] = {}
    for name in study_file.built_in():
        study = study_file.resolve(name, {})
        native, channels = INPUTS[study.dataset.partition(":")[0]]
        size = options.image_size or native
        for written in study.models.values():
            entry = written.for_images(size, size)
            recipe: dict[str, Any] = {"dtype": options.dtype}
            if options.batch_size:
                recipe["batch_size"] = options.batch_size
            request: dict[str, Any] = {
                **common,
                "kind": "fit",
                "base": entry.base,
                "overrides": entry.overrides,
                "recipe": study.recipe_for(entry).model_copy(update=recipe).model_dump(),
                "input_shape": [size, size, channels],
            }
            # Studies share models, which then differ in how long they train alone.
            step = {**request, "recipe": {**request["recipe"], "steps": 0, "max_epochs": None}}
            requests.setdefault(json.dumps(step), {**request, "model": f"{name}/{entry.name}"})
    return list(requests.values())


def _backends(text: str | None) -> list[str]:
    from studies.machine.backends import BACKENDS, check_backends

    if text is None:
        from importlib.util import find_spec

        return [name for name in BACKENDS if find_spec(name)]
    names = [word.strip() for word in text.split(",") if word.strip()]
    for name in names:
        if name not in BACKENDS:
            raise UsageError(f"unknown backend {name!r}; choose from {', '.join(BACKENDS)}")
    check_backends(names)
    return names


def _measure(backend: str, requests: list[dict[str, Any]], threads: int) -> dict[str, Any]:
    count = str(threads)
    environment = {
        **child_environment(backend),
        "OMP_NUM_THREADS": count,
        "TF_NUM_INTRAOP_THREADS": count,
    }
    available = cores()
    bind(available[:threads])  # JAX counts the cores that it inherits, no more
    try:
        process = subprocess.run(
            [sys.executable, "-m", "studies.bench.worker"],
            input=json.dumps(requests),
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
    finally:
        bind(available)
    if process.returncode:
        raise UsageError(
            f"the measurement on {backend} ended with exit code {process.returncode}; "
            "what it said stands above: choose another --model, --batch-size or --backend"
        )
    report: dict[str, Any] = json.loads(process.stdout.strip().splitlines()[-1])
    return {"backend": backend, "threads": threads, **report}


def _title(options: Options) -> str:
    size, batch = options.image_size, options.batch_size
    if options.fit:
        pixels = f"{size} px" if size else "each at its study's size"
        images = f"batch {batch}" if batch else "its study's batch"
        return (
            f"Training the built-in models, {pixels}, {images}, {options.dtype}: fit and reading "
            f"against the bare step"
        )
    return (
        f"A training step of {options.model}, {size or 224} px, batch {batch or 8}, {options.dtype}"
    )


def _stem(options: Options) -> str:
    if options.fit:
        given = [f"{options.image_size}px"] if options.image_size else []
        given += [f"batch{options.batch_size}"] if options.batch_size else []
        return "-".join(["fit", *given, options.dtype])
    name = options.model.replace("/", "-").replace("+", "-")
    size, batch = options.image_size or 224, options.batch_size or 8
    return f"step-{name}-{size}px-batch{batch}-{options.dtype}"


def _print(title: str, rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, caption="median (quartiles); ratios are taken within each round")
    for heading in ("backend", "model", "contender", "images/s", "ratio"):
        table.add_column(heading, justify="right" if heading in ("images/s", "ratio") else "left")
    for row in rows:
        table.add_row(*_cells(row))
    Console().print(table)


def _write(
    folder: Path, stem: str, title: str, reports: Sequence[dict[str, Any]], rows: list[dict]
) -> list[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        table, text = folder / f"{stem}.csv", folder / f"{stem}.md"
        with table.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            for row in rows:
                writer.writerow({key: _rounded(value) for key, value in row.items()})
        text.write_text(_markdown(title, reports, rows), encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot write to {folder} ({error.strerror}): choose another --output"
        ) from error
    return [table, text]


def _markdown(title: str, reports: Sequence[dict[str, Any]], rows: list[dict[str, Any]]) -> str:
    lines = [
        f"# {title}",
        "",
        "| backend | model | contender | images/s | ratio |",
        "|---|---|---|---|---|",
        *("| " + " | ".join(_cells(row)) + " |" for row in rows),
        "",
        "Median (quartiles) over the rounds, in which the contenders take turns; a ratio is taken "
        "within each round, to the first contender of its model.",
        "",
    ]
    for report in reports:
        versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
        lines.append(
            f"- {report['backend']}: {report['device']}, {report['threads']} threads; {versions}; "
            f"commit {report['commit']}"
        )
    return "\n".join(lines) + "\n"


def _cells(row: dict[str, Any]) -> list[str]:
    speed = (
        f"{_short(row['images_per_second'])} "
        f"({_short(row['lower_quartile'])} – {_short(row['upper_quartile'])})"
    )
    ratio = ""
    if row["compared_with"]:
        ratio = (
            f"{row['ratio']:.2f} ({row['ratio_lower_quartile']:.2f} – "
            f"{row['ratio_upper_quartile']:.2f}) x {row['compared_with']}"
        )
    return [row["backend"], row["model"], row["contender"], speed, ratio]


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def _rounded(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value
