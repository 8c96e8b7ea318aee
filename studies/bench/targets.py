"""How many images for a target? Whether a probability of 0.9 holds, on curves whose end is known.

    python -m studies.bench.targets --output results/forecasts

Of every published curve a part is fitted, as in `studies.bench.forecasts` ("all", "seven"), with priors
that were learned without its task. Then every later point is asked for: how many images does it take, with
probability 0.9, to come down to the error that was reached there? The answer holds where the true curve has
reached it by then. The true curve is the one that falls, or stays, and lies nearest to the points (isotonic
regression). "raw" takes the law's own probability; "calibrated" the one of `studies.analysis.target`, learned
on the other tasks alone. Tasks count alike, and so do a task's curves.

"times" is the median of how many times the images the answers ask for are those that were needed. It takes a
minute of one core.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from scipy.optimize import isotonic_regression

from studies.analysis.target import SHIFT, calibrated, learned_shift
from studies.bench.forecasts import SETTINGS, Case, cases, law_of

COMMAND = "python -m studies.bench.targets --output results/forecasts"
PROBABILITY = 0.9


@dataclass(frozen=True)
class Asked:
    """A curve's later points, and what the law says of each.

    Attributes:
        case: the curve and its part that was fitted.
        sizes: (N,) at which they were reached.
        reached: (N,) probability that the law gives to reaching each by then.
        raw: (N,) sizes that it asks for, with probability 0.9.
        shifted: (N,) the same, calibrated on the other tasks.
    """

    case: Case
    sizes: np.ndarray
    reached: np.ndarray
    raw: np.ndarray
    shifted: np.ndarray


@dataclass(frozen=True)
class Row:
    """One row of the table; shares are of the points of a curve."""

    task: str
    model: str
    setting: str
    points: int
    farthest: float
    raw: float
    raw_times: float
    calibrated: float
    calibrated_times: float


def main(arguments: list[str] | None = None) -> None:
    """Asks for targets and writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("runs/forecasts"))
    folder: Path = parser.parse_args(arguments).output
    folder.mkdir(parents=True, exist_ok=True)
    rows, shift = judge([case for setting in SETTINGS for case in cases(setting)])
    with (folder / "targets.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(Row))
        for row in rows:
            cells = asdict(row).values()
            writer.writerow(f"{v:.4f}" if isinstance(v, float) else v for v in cells)
    text = report(rows, shift)
    (folder / "targets.md").write_text(text, encoding="utf-8")
    print(text)


def judge(every: Sequence[Case]) -> tuple[list[Row], float]:
    """Asks every curve for its later points.

    Returns:
        A row a curve and setting, and the shift that all tasks together teach.
    """
    laws = [law_of(case) for case in every]
    truths = [
        isotonic_regression(case.curve.errors, increasing=False).x[case.ahead] for case in every
    ]
    sizes = [case.curve.sizes[case.ahead] for case in every]
    reached = [
        np.mean(law.log_errors(x) <= np.log(errors), axis=0)
        for law, x, errors in zip(laws, sizes, truths, strict=True)
    ]
    rows = []
    for case, law, x, errors in zip(every, laws, sizes, truths, strict=True):
        shift = _shift(every, reached, without=case.curve.task)
        ways = [
            np.array([law.size_for(error, probability) for error in errors])
            for probability in (PROBABILITY, calibrated(PROBABILITY, shift))
        ]
        (raw, raw_times), (cal, cal_times) = (
            (float(np.mean(way >= x)), float(np.median(way / x))) for way in ways
        )
        rows.append(
            Row(
                case.curve.task, case.curve.model, case.setting, len(x),
                float(x[-1] / case.sizes[-1]), raw, raw_times, cal, cal_times,
            )
        )  # fmt: skip
    return rows, _shift(every, reached)


def _shift(every: Sequence[Case], reached: Sequence[np.ndarray], without: str = "") -> float:
    """The shift that curves teach, each task and each curve of a task with the same weight."""
    kept = [
        (case.curve.task, own)
        for case, own in zip(every, reached, strict=True)
        if case.curve.task != without
    ]
    tasks = [task for task, _ in kept]
    weights = [np.full(len(own), 1.0 / (len(own) * tasks.count(task))) for task, own in kept]
    return learned_shift(
        np.concatenate([own for _, own in kept]), np.concatenate(weights), PROBABILITY
    )


def held(rows: Sequence[Row], kind: str) -> float:
    """Share of the answers that hold ("raw", "calibrated"), tasks and their curves alike."""
    tasks = sorted({row.task for row in rows})
    means = [np.mean([getattr(row, kind) for row in rows if row.task == task]) for task in tasks]
    return float(np.mean(means))


def report(rows: Sequence[Row], shift: float) -> str:
    """The table as Markdown."""
    head = [field.name.replace("_", " ") for field in fields(Row)]
    lines = [
        "# How many images for a target?",
        "",
        f"Made by `{COMMAND}`; its head says what is what.",
        "",
        f"Asked for with probability {PROBABILITY:g}, a target is reached by then in "
        f"{100 * held(rows, 'raw'):.0f} % of the cases by the law's own probability, and in "
        f"{100 * held(rows, 'calibrated'):.0f} % by the calibrated one, tasks left out. All tasks together "
        f"teach a shift of {shift:.2f} ({SHIFT:.2f} is in the code): a law is asked for "
        f"{calibrated(PROBABILITY, shift):.3f} where {PROBABILITY:g} is wanted.",
        "",
        "| " + " | ".join(head) + " |",
        "| " + " | ".join(["---"] * len(head)) + " |",
    ]
    for row in rows:
        cells = [
            row.task, row.model, row.setting, str(row.points), f"{row.farthest:.1f}x",
            f"{100 * row.raw:.0f} %", f"{row.raw_times:.2f}", f"{100 * row.calibrated:.0f} %",
            f"{row.calibrated_times:.2f}",
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    for setting in dict.fromkeys(row.setting for row in rows):
        own = [row for row in rows if row.setting == setting]
        shares = [f"**{100 * held(own, kind):.0f} %**" for kind in ("raw", "calibrated")]
        lines.append(f"| **{setting}** |  |  |  |  | {shares[0]} |  | {shares[1]} |  |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
