"""The rows of what was measured, and their files: CSV, Markdown and a figure.

A file is named by processor, its instructions, threads, backend and dtype. A further run replaces its
own rows there and leaves the others, so that results of different days and machines lie side by side.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from studies.bench.cases import PRODUCT, Case
from studies.bench.csv_rows import read_rows, write_rows

NUMBERS = (
    *("images_per_second", "lower_quartile", "upper_quartile"),
    *("ratio", "ratio_lower_quartile", "ratio_upper_quartile"),
    *("product_share", "memory_mb", "first_step_cold", "first_step_warm", "parameters", "rounds"),
)
KEY = ("mode", "model", "image_size", "batch_size")  # of a case within a file
COLUMNS = (
    *("backend", "dtype", *KEY, "contender"),
    *NUMBERS,
    *("device", "instructions", "threads", "versions", "commit", "command"),
)
HEADINGS = (
    *("mode", "model", "px", "batch", "contender", "images/s", "ours is"),
    *("of products", "MB", "first step, s"),
)
CAPTION = (
    'Median (quartiles) over the rounds, in which the contenders take turns. "Ours is" so many times as '
    'fast as a contender: the first row\'s speed of each round by its own. "Of products" is the share of '
    "the rate that one large matrix product reached in the same rounds with the same library (a training "
    "step counts as three forward passes). Memory is what the process needed at most beyond its libraries. "
    "The first step counts from the making of the model: with nothing compiled before, then with the caches "
    "of an earlier process."
)


def rows(
    case: Case, found: Sequence[dict[str, Any]], about: dict[str, Any]
) -> list[dict[str, Any]]:
    """A row for each contender of a case.

    Args:
        case: what was measured.
        found: by `turns.measure`; the first contender is the one to compare with.
        about: values of further columns.
    """
    speeds = {
        each["contender"]: case.batch_size / np.array(each["seconds_a_step"]) for each in found
    }
    flops = next((each["flops"] for each in found if each["flops"]), None)  # one architecture
    rate = next(
        (each["flops"] / np.array(each["seconds_a_step"]) for each in found
         if each["contender"] == PRODUCT), None,
    )  # fmt: skip
    passes = 1 if case.mode == "inference" else 3
    made = []
    for each in found:
        name = each["contender"]
        if name == PRODUCT:
            continue
        row: dict[str, Any] = {
            "backend": case.backend,
            "dtype": case.dtype,
            "mode": case.mode,
            "model": case.model,
            "image_size": case.shape[0],
            "batch_size": case.batch_size,
            "contender": name,
            "memory_mb": each["memory"] / 1e6,
            "first_step_cold": each["cold"],
            "first_step_warm": "" if each["warm"] is None else each["warm"],
            "parameters": each["parameters"],
            "rounds": len(speeds[name]),
            "device": each["device"],
            **about,
        }
        row |= _spread(speeds[name], "images_per_second", "")
        if name != found[0]["contender"]:
            ratio = speeds[found[0]["contender"]] / speeds[name]
            row |= _spread(ratio, "ratio", "ratio_")
        own = each["flops"] or flops
        if rate is not None and own:
            row["product_share"] = float(np.median(passes * own * speeds[name] / rate))
        made.append({column: row.get(column, "") for column in COLUMNS})
    return made


def stem(row: dict[str, Any]) -> str:
    """The name of a row's files: processor, its instructions, threads, backend and dtype."""
    kind, _, name = row["device"].rstrip(")").partition(" (")
    name = re.sub(r"\((r|tm)\)|\bcpu\b", "", name.lower())
    here = [name, row["instructions"], f"{row['threads']} threads"]  # a cloud's names tell little
    parts = [name] if kind == "gpu" else here
    text = " ".join([*parts, row["backend"], row["dtype"]])
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def write(folder: Path, new: Iterable[dict[str, Any]]) -> list[Path]:
    """Write the files of some rows; gives their paths.

    Raises:
        OSError: as the system says.
    """
    files: dict[str, list[dict[str, Any]]] = {}
    for row in new:
        files.setdefault(stem(row), []).append(row)
    written = []
    for name, own in files.items():
        path = folder / f"{name}.csv"
        every = _others(path, own) + own
        rounded = ({key: _rounded(value) for key, value in row.items()} for row in every)
        write_rows(path, COLUMNS, rounded)
        text = path.with_suffix(".md")
        text.write_text(_markdown(every), encoding="utf-8")
        picture = path.with_suffix(".png")
        _draw(every, picture)
        written += [path, text, picture]
    return written


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a CSV file, numbers as numbers."""
    found = read_rows(path)
    for row in found:
        for column in NUMBERS:
            row[column] = float(row[column]) if row[column] else ""
        row |= {name: int(row[name]) for name in ("image_size", "batch_size", "threads")}
    return found


def cells(row: dict[str, Any]) -> list[str]:
    """A row under `HEADINGS`."""
    speed = _with_quartiles(row, "images_per_second", "")
    ratio = f"{_with_quartiles(row, 'ratio', 'ratio_')} x" if row["ratio"] != "" else ""
    share = f"{100 * row['product_share']:.0f} %" if row["product_share"] != "" else ""
    steps = (row["first_step_cold"], row["first_step_warm"])
    first = ", ".join(_short(seconds) for seconds in steps if seconds != "")
    return [
        *(row["mode"], row["model"], str(row["image_size"]), str(row["batch_size"])),
        *(row["contender"], speed, ratio, share, f"{row['memory_mb']:,.0f}", first),
    ]


def title(row: dict[str, Any]) -> str:
    """What rows of one file have in common."""
    threads = f" {row['instructions']}, {row['threads']} threads"
    threads = threads if row["device"].startswith("cpu") else ""
    return f"{row['backend']}, {row['dtype']}, {row['device']}{threads}"


def _others(path: Path, new: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of a file that a run has not measured again."""
    again = {tuple(row[name] for name in KEY) for row in new}
    return [row for row in read(path) if tuple(row[name] for name in KEY) not in again]


def _markdown(every: Sequence[dict[str, Any]]) -> str:
    notes = dict.fromkeys(
        f"`{row['command']}`: {row['versions']}; commit {row['commit']}" for row in every
    )
    return "\n".join(
        [
            f"# Speed: {title(every[0])}",
            "",
            "| " + " | ".join(HEADINGS) + " |",
            "|" + "---|" * len(HEADINGS),
            *("| " + " | ".join(cells(row)) + " |" for row in every),
            "",
            CAPTION,
            "",
            *(f"- {note}" for note in notes),
            "",
        ]
    )


def _draw(every: Sequence[dict[str, Any]], path: Path) -> None:
    from studies.plots.speeds import speeds

    figure = speeds(every, title(every[0]))
    figure.savefig(path)


def _spread(values: np.ndarray, name: str, prefix: str) -> dict[str, float]:
    low, middle, high = (float(value) for value in np.quantile(values, [0.25, 0.5, 0.75]))
    return {name: middle, f"{prefix}lower_quartile": low, f"{prefix}upper_quartile": high}


def _with_quartiles(row: dict[str, Any], name: str, prefix: str) -> str:
    low, high = (row[f"{prefix}{side}_quartile"] for side in ("lower", "upper"))
    return f"{_short(row[name])} ({_short(low)} – {_short(high)})"


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def _rounded(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value
