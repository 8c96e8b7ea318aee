"""How many images for a target? Whether a probability of 0.9 holds, on curves whose end is known.

    python -m studies.bench.targets --output results/forecasts

Of every published curve a part is fitted, of as many sizes as a user's study has: four, the fewest that a law
takes, to seven, chosen as "seven" in `studies.bench.forecasts`, with priors that were learned without its
task. Then every later point is asked for: how many images does it take, with
probability 0.9, to come down to the error that was reached there? The answer holds where the true curve has
reached it by then. The true curve is the one that falls, or stays, and lies nearest to the points (isotonic
regression). "raw" takes the law's own probability; "calibrated" the one of `studies.analysis.target`, learned
on the other tasks alone: the least with which it holds for each of these numbers of sizes. Tasks count alike,
and so do a task's curves.

"times" is the median of how many times the images the answers ask for are those that were needed, "finite"
the share of calibrated answers that are a number at all. "half" asks for a probability of one half,
calibrated in the mean over the settings. "together" is calibrated on all tasks, also on the curve's own. It
takes a minute of one core.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np
from scipy.optimize import isotonic_regression

from studies.analysis.target import HELD, MIDDLE, SHIFT, calibrated, learned_shift
from studies.bench.forecasts import SIZES, Case, cases, law_of

COMMAND = "python -m studies.bench.targets --output results/forecasts"
PROBABILITY = 0.9
KINDS = ("raw", "calibrated", "finite", "half", "together")  # of shares in the table


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
    finite: float
    half: float
    together: float


def main(arguments: list[str] | None = None) -> None:
    """Asks for targets and writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("runs/forecasts"))
    folder: Path = parser.parse_args(arguments).output
    folder.mkdir(parents=True, exist_ok=True)
    rows, shifts = judge([case for setting in SIZES for case in cases(setting)])
    with (folder / "targets.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(Row))
        for row in rows:
            cells = asdict(row).values()
            writer.writerow(f"{v:.4f}" if isinstance(v, float) else v for v in cells)
    text = report(rows, shifts)
    (folder / "targets.md").write_text(text, encoding="utf-8")
    print(text)


def judge(every: Sequence[Case]) -> tuple[list[Row], tuple[float, float]]:
    """Asks every curve for its later points.

    Returns:
        A row a curve and setting, and the shifts that all tasks together teach, in whole hundredths: that
        of `PROBABILITY` and that of one half.
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
    tasks = {case.curve.task for case in every}
    left_out = {task: _learned(every, reached, without=task) for task in tasks}
    together = _learned(every, reached)
    rows = []
    for case, law, x, errors in zip(every, laws, sizes, truths, strict=True):
        own = left_out[case.curve.task]
        raw, cal, middle, final = (
            np.array([law.size_for(error, probability) for error in errors])
            for probability in (
                PROBABILITY,
                calibrated(PROBABILITY, *own),
                calibrated(0.5, *own),
                calibrated(PROBABILITY, *together),
            )
        )
        rows.append(
            Row(
                case.curve.task, case.curve.model, case.setting, len(x),
                float(x[-1] / case.sizes[-1]), float(np.mean(raw >= x)), float(np.median(raw / x)),
                float(np.mean(cal >= x)), float(np.median(cal / x)), float(np.mean(np.isfinite(cal))),
                float(np.mean(middle >= x)), float(np.mean(final >= x)),
            )
        )  # fmt: skip
    return rows, together


def _learned(
    every: Sequence[Case], reached: Sequence[np.ndarray], without: str = ""
) -> tuple[float, float]:
    """The shifts that curves teach: with which every setting holds, and with which half of all do."""
    kept = [
        (case, own) for case, own in zip(every, reached, strict=True) if case.curve.task != without
    ]
    settings = dict.fromkeys(case.setting for case, _ in kept)
    shifts = [
        _shift([pair for pair in kept if pair[0].setting == setting], PROBABILITY)
        for setting in settings
    ]
    return math.ceil(100 * max(shifts)) / 100, round(_shift(kept, 0.5), 2)


def _shift(pairs: Sequence[tuple[Case, np.ndarray]], probability: float) -> float:
    """With which a probability holds, each task and each curve of a task with the same weight."""
    tasks = [case.curve.task for case, _ in pairs]
    weights = [
        np.full(len(own), 1.0 / (len(own) * tasks.count(case.curve.task))) for case, own in pairs
    ]
    reached = np.concatenate([own for _, own in pairs])
    return learned_shift(reached, np.concatenate(weights), probability)


def held(rows: Sequence[Row], kind: str) -> float:
    """Share of the answers that hold, or another of `KINDS`, tasks and their curves alike."""
    tasks = sorted({row.task for row in rows})
    means = [np.mean([getattr(row, kind) for row in rows if row.task == task]) for task in tasks]
    return float(np.mean(means))


def numbers_held(rows: Sequence[Row]) -> float:
    """Share of the calibrated answers that hold, of those that are a number, tasks and their curves alike."""
    # An answer that is none is not reached sooner than it says.
    finite = held(rows, "finite")
    return (held(rows, "calibrated") - (1.0 - finite)) / finite


def span(rows: Sequence[Row], share: Callable[[Sequence[Row]], float]) -> str:
    """The smallest and the largest share of a setting, in words."""
    settings = dict.fromkeys(row.setting for row in rows)
    shares = [share([row for row in rows if row.setting == each]) for each in settings]
    return f"{100 * min(shares):.0f} to {100 * max(shares):.0f} %"


def report(rows: Sequence[Row], shifts: tuple[float, float]) -> str:
    """The table as Markdown."""
    head = [field.name.replace("_", " ") for field in fields(Row)]
    raw, cal, finite, half, together = (span(rows, partial(held, kind=kind)) for kind in KINDS)
    lines = [
        "# How many images for a target?",
        "",
        f"Made by `{COMMAND}`; its head says what is what.",
        "",
        f"Asked for with probability {PROBABILITY:g}, a target is reached by then in {raw} of the cases by "
        f"the law's own probability, and in {cal} by the calibrated one, tasks left out: with that of four "
        f"to seven sizes where fewest hold, and most. {finite} of these answers are a number, of which "
        f"{span(rows, numbers_held)} hold ({HELD} is in the code); the others say that even 1,000 times the "
        f"images are not enough. Asked for one half, {half} hold.",
        "",
        f"All tasks together teach the shifts {shifts[0]:.2f} and, of one half, {shifts[1]:.2f}; in the code "
        f"are {SHIFT:.2f} and {MIDDLE:.2f}. With them a law is asked for "
        f"{calibrated(PROBABILITY, *shifts):.3f} where {PROBABILITY:g} is wanted, and {together} of the "
        f"answers hold on the same curves.",
        "",
        "| " + " | ".join(head) + " |",
        "| " + " | ".join(["---"] * len(head)) + " |",
    ]
    for row in rows:
        cells = [
            row.task, row.model, row.setting, str(row.points), f"{row.farthest:.1f}x",
            f"{100 * row.raw:.0f} %", f"{row.raw_times:.2f}", f"{100 * row.calibrated:.0f} %",
            f"{row.calibrated_times:.2f}",
            *(f"{100 * share:.0f} %" for share in (row.finite, row.half, row.together)),
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    for setting in dict.fromkeys(row.setting for row in rows):
        own = [row for row in rows if row.setting == setting]
        shares = [f"**{100 * held(own, kind):.0f} %**" for kind in KINDS]
        lines.append(
            f"| **{setting}** |  |  |  |  | {shares[0]} |  | {shares[1]} |  | {' | '.join(shares[2:])} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
