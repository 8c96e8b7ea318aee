"""How good are forecasts of learning curves? Accuracy and intervals, on curves whose end is known.

    python -m studies.bench.forecasts --output results/forecasts

Three parts:

1. Published curves (`known_curves.few_shot`), each with priors that were learned without its task, beside
   the forms M1, M2 and M4 fitted by SciPy. "all": fitted to all smoothed points, judged on the raw ones
   that follow, up to about twice as far. "seven": fitted to seven sizes, of the smoothed points up to a
   quarter of the largest those nearest to an even grid in log size (where there are fewer than seven, the
   seven smallest), judged on all points beyond them, up to some ten times as far. A miss is a curve's root
   mean square difference of log errors; intervals are those for a new measurement.
2. Learners as users' studies: few sizes and seeds of real curves whose shape no formula gave. The truth is
   the mean over many splits; results of single seeds are drawn around it with the scatter of single splits,
   half of whose variance a seed has at all sizes. Priors are again those without the task.
3. Formulas as users' studies, and curves that do not fall.

It takes some five minutes on one core. Miss, intervals and bars: Alabdulmohsin, Neyshabur, Zhai, "Revisiting
Neural Scaling Laws in Language and Vision", NeurIPS 2022, arXiv 2209.06640, judge by extrapolation alike.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path

import numpy as np
from scipy.special import expit, logit

from studies.analysis import NoLaw, ScalingLaw, fit_scaling_law
from studies.analysis.priors import Prior, published
from studies.bench import known_curves
from studies.bench.forms import FORMS, fit_form
from studies.bench.known_curves import KnownCurve

COMMAND = "python -m studies.bench.forecasts --output results/forecasts"
SETTINGS = ("all", "seven")
LEVEL = 0.9
SIZES = {"four": 4, "five": 5, "six": 6, "seven": 7}  # settings of few sizes, with their number
NOISE = 0.03  # of one result's log error, in part 3
COMMON = 0.5  # share of its variance that a seed has at all sizes


@dataclass(frozen=True)
class Case:
    """A curve's part to fit and the points to forecast."""

    curve: KnownCurve
    setting: str
    sizes: np.ndarray
    errors: np.ndarray
    ahead: np.ndarray  # numbers of the curve's points to forecast


@dataclass(frozen=True)
class Miss:
    """One row of part 1: root mean square log differences, and the share of points inside."""

    task: str
    model: str
    setting: str
    points: int
    M1: float
    M2: float
    M4: float
    law: float
    inside: float
    inside_later: float
    width_later: float


@dataclass(frozen=True)
class Coverage:
    """One row of parts 2 and 3: shares of studies whose interval holds the truth."""

    truth: str
    sizes: int
    seeds: int
    studies: int
    without_law: int
    largest: float
    twice: float
    four_times: float
    new_at_twice: float
    gain_of_twice: float
    miss_at_twice: float


_MEASURED = tuple(field.name for field in fields(Coverage))[5:]


def main(arguments: list[str] | None = None) -> None:
    """Judges forecasts and writes tables and the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("runs/forecasts"))
    parser.add_argument("--repeats", type=int, default=5, help="studies drawn from each real curve")
    options = parser.parse_args(arguments)
    folder: Path = options.output
    folder.mkdir(parents=True, exist_ok=True)
    every = [case for setting in SETTINGS for case in cases(setting)]
    laws = [law_of(case) for case in every]
    misses = [judge(case, law) for case, law in zip(every, laws, strict=True)]
    coverages = [*users_of_learners(options.repeats), *users_of_formulas(40 * options.repeats)]
    _write_csv(folder / "misses.csv", misses)
    _write_csv(folder / "coverage.csv", coverages)
    text = report(misses, coverages)
    (folder / "forecasts.md").write_text(text, encoding="utf-8")
    _draw(every, laws, folder / "figures" / "forecasts.png")
    print(text)


def cases(setting: str) -> list[Case]:
    """What to fit and what to forecast of every published curve.

    Args:
        setting: "all" or "seven", see the head of this module; or another of `SIZES`, chosen alike.
    """
    found = []
    for curve in known_curves.few_shot():
        smooth = np.flatnonzero(~curve.later)
        chosen = smooth
        if setting in SIZES:
            count = SIZES[setting]
            low = smooth[curve.sizes[smooth] <= curve.sizes[smooth[-1]] / 4]
            chosen = _spread(curve.sizes, low if len(low) >= count else smooth[:count], count)
        ahead = np.flatnonzero(curve.sizes > curve.sizes[chosen[-1]])
        if setting == "all":
            ahead = np.flatnonzero(curve.later)
        found.append(Case(curve, setting, curve.sizes[chosen], curve.errors[chosen], ahead))
    return found


def _spread(sizes: np.ndarray, among: np.ndarray, count: int) -> np.ndarray:
    """So many of these points, each the nearest that is left to a point of an even grid in log size."""
    logs, left = np.log(sizes[among]), list(range(len(among)))
    for at in np.linspace(logs[0], logs[-1], count):
        left.remove(min(left, key=lambda i: abs(logs[i] - at)))
    return np.delete(among, left)


def law_of(case: Case) -> ScalingLaw:
    """The law of a case, with priors learned without the case's task."""
    return fit_scaling_law(
        case.sizes,
        case.errors,
        rng=np.random.default_rng(0),
        chance_error=case.curve.chance_error,
        prior=published(case.curve.task),
    )


def judge(case: Case, law: ScalingLaw) -> Miss:
    """Compares a law, and the fitted forms, with the points ahead."""
    sizes, errors = case.curve.sizes[case.ahead], case.curve.errors[case.ahead]
    low, high = law.interval(sizes, LEVEL)
    inside, later = (low <= errors) & (errors <= high), case.curve.later[case.ahead]
    forms = {
        name: rms(fit_form(name, case.sizes, case.errors, case.curve.chance_error)(sizes), errors)
        for name in FORMS
    }
    return Miss(
        case.curve.task, case.curve.model, case.setting, len(case.sizes), **forms,
        law=rms(law.predict(sizes), errors), inside=float(inside.mean()),
        inside_later=float(inside[later].mean()),
        width_later=float(np.log(high / low)[later].mean()),
    )  # fmt: skip


def rms(forecast: np.ndarray, truth: np.ndarray) -> float:
    """Root mean square difference of logs."""
    return float(np.sqrt(np.mean(np.log(forecast / truth) ** 2)))


def users_of_learners(repeats: int) -> Iterable[Coverage]:
    """Part 2: studies as users make them, drawn from real curves."""
    curves = known_curves.learners()
    for seeds, count, step in ((2, 4, 2), (3, 5, 2), (3, 7, 1), (5, 8, 1)):
        rng = np.random.default_rng([seeds, count])
        rows = []
        for curve in curves:
            last = np.flatnonzero(curve.sizes <= curve.sizes[-1] / 3.9)
            ends = [end for end in last if end >= (count - 1) * step]
            for end in rng.choice(ends, repeats) if ends else ():
                chosen = end - step * np.arange(count)[::-1]
                truth, scatter = _between(curve)
                rows.append(
                    _one_study(
                        truth, scatter, curve.sizes[chosen], seeds, curve.chance_error, rng,
                        published(curve.task),
                    )
                )  # fmt: skip
        yield _coverage("learners", count, seeds, rows)


def _between(curve: KnownCurve) -> tuple[Callable, Callable]:
    """Error and scatter of its log as functions of size, straight between points in log-log."""
    logs, spread = np.log(curve.sizes), curve.scatter
    assert spread is not None
    return (
        lambda x: np.exp(np.interp(np.log(x), logs, np.log(curve.errors))),
        lambda x: np.interp(np.log(x), logs, spread / curve.errors),
    )


FORMULAS: dict[str, Callable] = {
    "5 x^-0.4": lambda x: 5 * x**-0.4,
    "3 x^-0.35 + 0.03": lambda x: 3 * x**-0.35 + 0.03,
    "6 x^-0.5 + 0.08": lambda x: 6 * x**-0.5 + 0.08,
    "0.04 + 0.86 / (1 + (x/700)^0.55)": lambda x: 0.04 + 0.86 / (1 + (x / 700) ** 0.55),
    "1.2 x^-0.12": lambda x: 1.2 * x**-0.12,
    "0.9 (guessing)": lambda x: 0.9 + 0 * x,
}


def users_of_formulas(repeats: int) -> Iterable[Coverage]:
    """Part 3: studies as users make them, of formulas."""
    for name, truth in FORMULAS.items():
        for seeds, count in ((2, 4), (3, 7)):
            rng = np.random.default_rng([seeds, count])
            sizes = np.geomspace(500, 32000, count)
            rows = [
                _one_study(truth, lambda x: NOISE + 0 * x, sizes, seeds, 0.9, rng, published())
                for _ in range(repeats)
            ]
            yield _coverage(name, count, seeds, rows)


def _one_study(
    truth: Callable,
    scatter: Callable,
    sizes: np.ndarray,
    seeds: int,
    chance_error: float,
    rng: np.random.Generator,
    prior: Prior,
) -> list[float] | None:
    """What a drawn study's intervals hold, in the order of `_MEASURED`; None without a law."""
    shift = rng.normal(0, COMMON**0.5, (seeds, 1))
    own = rng.normal(0, (1 - COMMON) ** 0.5, (seeds, len(sizes)))
    # On the logit scale, where noise leads nowhere below 0 or above 1.
    slope = 1.0 / (1.0 - np.minimum(truth(sizes), 0.95))
    errors = expit(logit(truth(sizes)) + slope * scatter(sizes) * (shift + own))
    labels = np.repeat(np.arange(seeds), len(sizes)).tolist()
    try:
        law = fit_scaling_law(
            np.tile(sizes, seeds),
            errors.ravel(),
            labels,
            rng,
            chance_error,
            prior=prior,
            members=400,
        )
    except NoLaw:
        return None
    ahead = sizes[-1] * np.array([1.0, 2.0, 4.0])
    true = truth(ahead)
    low, high = law.mean_interval(ahead, LEVEL)
    new = true[1] * np.exp(rng.normal(0, scatter(ahead[1:2])[0]))
    new_low, new_high = law.interval(ahead[1:2], LEVEL)
    gain = law.gain(sizes[-1], 2.0, LEVEL)
    miss = float(np.log(law.predict(ahead[1:2])[0] / true[1]))
    return [
        *map(float, (low <= true) & (true <= high)),
        float(new_low[0] <= new <= new_high[0]),
        float(gain.low <= true[0] - true[1] <= gain.high),
        miss**2,
    ]


def _coverage(truth: str, sizes: int, seeds: int, rows: Sequence[list[float] | None]) -> Coverage:
    held = [row for row in rows if row is not None]
    means = np.mean(held, axis=0) if held else np.full(6, np.nan)
    found = dict(zip(_MEASURED, means.tolist(), strict=True))
    found["miss_at_twice"] **= 0.5
    return Coverage(truth, sizes, seeds, len(rows), len(rows) - len(held), **found)


def report(misses: Sequence[Miss], coverages: Sequence[Coverage]) -> str:
    """The tables as Markdown."""
    parts = [
        f"# Forecasts of learning curves\n\nMade by `{COMMAND}`; its head says what is what.\n"
    ]
    for setting in SETTINGS:
        mine = [row for row in misses if row.setting == setting]
        mean = {
            name: float(np.mean([getattr(row, name) for row in mine])) for name in (*FORMS, "law")
        }
        best = min(mean[name] for name in FORMS)
        inside, later = (
            float(np.mean([getattr(row, name) for row in mine]))
            for name in ("inside", "inside_later")
        )
        width = float(np.mean([row.width_later for row in mine]))
        head = ["curve", "points", *FORMS, "law", "inside", "later inside", "width"]
        rows = [
            [f"{row.task} {row.model}", str(row.points)]
            + [f"{getattr(row, name):.3f}" for name in (*FORMS, "law")]
            + [
                f"{100 * row.inside:.0f} %",
                f"{100 * row.inside_later:.0f} %",
                f"{row.width_later:.2f}",
            ]
            for row in mine
        ]
        rows.append(
            ["**mean**", "", *(f"**{mean[name]:.3f}**" for name in (*FORMS, "law"))]
            + [f"**{100 * inside:.0f} %**", f"**{100 * later:.0f} %**", f"{width:.2f}"]
        )
        parts.append(
            f"## Published curves, {setting}\n\nThe law misses by {100 * (1 - mean['law'] / best):.0f} % "
            f"less than the best form; its {100 * LEVEL:.0f} % intervals for a new measurement hold "
            f"{100 * later:.0f} % of the raw later points. Width: log of high / low there.\n\n"
            + _table(head, rows)
        )
    names = [field.name for field in fields(Coverage)]
    rows = [
        [
            str(v) if isinstance(v, (str, int)) else _number(name, v)
            for name, v in asdict(row).items()
        ]
        for row in coverages
    ]
    parts.append(
        "## Users' studies\n\nShare of drawn studies whose "
        f"{100 * LEVEL:.0f} % interval holds the truth: for the expected error at the largest size, at "
        "twice and four times it, for a new measurement at twice it, and for what twice the images gain. "
        "200 studies leave a standard error of 2 points.\n\n"
        + _table([name.replace("_", " ") for name in names], rows)
    )
    return "\n".join(parts)


def _number(name: str, value: float) -> str:
    if np.isnan(value):
        return "-"
    return f"{value:.3f}" if name.startswith("miss") else f"{100 * value:.0f} %"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _write_csv(path: Path, rows: Sequence[Miss] | Sequence[Coverage]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(rows[0]))
        for row in rows:
            writer.writerow(f"{v:.4f}" if isinstance(v, float) else v for v in astuple(row))


def _draw(every: Sequence[Case], laws: Sequence[ScalingLaw], path: Path) -> None:
    """Each published curve, what was fitted, the forecast and its band; two rows a setting."""
    from matplotlib.figure import Figure

    from studies.plots.laws import percent_log_axis

    path.parent.mkdir(parents=True, exist_ok=True)
    columns = len(every) // len(SETTINGS)
    figure = Figure(figsize=(1.9 * columns / 2, 9.0), layout="constrained")
    axes = figure.subplots(2 * len(SETTINGS), columns // 2, squeeze=False).ravel()
    for ax, case, law in zip(axes, every, laws, strict=True):
        curve = case.curve
        x = np.geomspace(case.sizes[0], curve.sizes[-1] * 1.1, 80)
        low, high = law.interval(x, LEVEL)
        ax.fill_between(x / 1e6, low, high, color="C0", alpha=0.2, linewidth=0)
        ax.plot(x / 1e6, law.predict(x), color="C0", linewidth=1.2)
        ax.plot(curve.sizes / 1e6, curve.errors, ".", color="0.6", markersize=4)
        ax.plot(case.sizes / 1e6, case.errors, ".", color="k", markersize=5)
        ax.set(xscale="log", title=str(curve))
        ax.title.set_fontsize(8)
        ax.tick_params(labelsize=7, which="both")
        ax.minorticks_off()  # their labels would cover each other
        percent_log_axis(ax, np.concatenate([low, high, curve.errors]))
    figure.supxlabel("million examples seen; black: fitted, grey: all points", fontsize=9)
    figure.supylabel("error (%)", fontsize=9)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
