"""Two runs of one study compared, in words: one sentence, tables, a figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from studies.report.comparison import Comparison
from studies.report.markup import plain
from studies.report.numbers import METRICS, POINTS, digits_of, in_points, points
from studies.report.tables import markdown_table, plain_table, wrapped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURE = "compare.png"
_COLUMNS = 2  # panels beside each other


def verdict(found: Comparison) -> str:
    """The answer in one sentence."""
    a, b = found.names
    if not found.trials:
        return f"It cannot be told whether {a} and {b} are the same: no finished trial is in both."
    trials = f"{found.trials} trial{'' if found.trials == 1 else 's'}"
    if found.kind == "equal bits":
        return (
            f"{a} and {b} are the same, bit for bit: the trained weights of all {trials} are equal."
        )
    of = METRICS.get(found.metric, found.metric)
    whole = found.whole
    if whole is None or math.isnan(whole.mean):
        return f"It cannot be told whether {a} and {b} are the same: no {of} is known of both."
    digits = digits_of(whole.mean, whole.low, whole.high)
    by = in_points(abs(whole.mean), digits)
    over = f"over {trials} of both"
    if found.counted < found.trials:
        over = f"over {found.counted} of the {trials} of both"
    if found.kind == "unknown":
        why = (
            "with one seed nobody knows how much of that is chance"
            if whole.seeds < 2
            else "there is no interval to judge that by"
        )
        return (
            f"It cannot be told whether {a} and {b} are the same: they are {by} points of {of} apart "
            f"{over}, and {why}."
        )
    interval = points(whole.low, whole.high, whole.level)
    if found.kind in ("same", "unclear"):
        told = f"{b} - {a} is {in_points(whole.mean, digits)} points of {of} {over} ({interval})."
        if found.kind == "unclear":
            return f"{a} and {b} cannot be told apart: {told}"
        most = max(-whole.low, whole.high)
        within = in_points(most, digits_of(whole.low, whole.high))
        return f"{a} and {b} are the same to within {within} points: {told}"
    ends = sorted((abs(whole.low), abs(whole.high)))
    higher = b if whole.mean > 0 else a
    return f"{higher} is higher by {by} points of {of} {over} ({points(ends[0], ends[1], whole.level)})."


def terminal(found: Comparison) -> str:
    """The sentence and the tables, for a terminal."""
    lines = wrapped(verdict(found))
    for title, rows in _tables(found):
        lines += ["", *wrapped(title), *plain_table(rows)]
    return "\n".join(lines)


def markdown(found: Comparison, figure: str | None) -> str:
    """The same as a page.

    Args:
        found: what is compared.
        figure: its path relative to the page.
    """
    a, b = map(plain, found.names)
    parts = [f"# {a} and {b}", f"**{plain(verdict(found))}**"]
    if figure:
        parts.append(f"![Both runs' accuracy against the number of training images]({figure})")
    for title, rows in _tables(found):
        parts += [f"## {plain(title)}", markdown_table(rows)]
    return "\n\n".join(parts) + "\n"


def draw(found: Comparison) -> Figure | None:
    """The curves of both runs on top of each other, a panel a model."""
    import pandas as pd

    from studies.plots.learning_curves import learning_curves
    from studies.plots.style import new_axes, new_panels

    models = list(dict.fromkeys(model for model, _ in found.cells))
    if not models:
        return None
    rows = [(m, run, size, e.mean, e.low, e.high) for (m, run, size), e in found.estimates.items()]
    means = pd.DataFrame(rows, columns=["of", "model", "size", "mean", "low", "high"])
    axes = [new_axes()] if len(models) == 1 else new_panels(len(models), _COLUMNS, 5.2, 4.4)
    for model, ax in zip(models, axes, strict=True):
        singles = found.singles[found.singles["model"] == model]
        learning_curves(
            means[means["of"] == model].drop(columns="of"),
            singles.drop(columns="model").rename(columns={"backend": "model"}),
            found.names,
            y_label=METRICS.get(found.metric, found.metric),
            caption=f"mean and {100 * found.level:g} % interval",
            title=model,
            ax=ax,
        )
    figure = axes[0].get_figure(root=True)
    assert figure is not None
    return figure


def _tables(found: Comparison) -> list[tuple[str, list[list[str]]]]:
    tables = [
        (f"{_of(found)} in %, over the seeds of both", _accuracies(found)),
        ("Training images a second (median) and seconds a trial", _speeds(found)),
        ("What differs between the two", _facts(found)),
        ("Trials that one of them has alone", _alone(found)),
    ]
    return [(title, rows) for title, rows in tables if len(rows) > 1]


def _of(found: Comparison) -> str:
    text = METRICS.get(found.metric, found.metric)
    return f"{text[0].upper()}{text[1:]}"


def _accuracies(found: Comparison) -> list[list[str]]:
    a, b = found.names
    rows = [["images, model", a, b, f"{b} - {a}", "seeds", "equal bits", "predicted alike"]]
    for (model, size), cell in found.cells.items():
        mean = cell.difference.mean
        digits = digits_of(mean, cell.difference.low, cell.difference.high)
        by = "-" if math.isnan(mean) else f"{'+' if mean > 0 else ''}{in_points(mean, digits)}"
        if not math.isnan(cell.difference.low):
            ends = (cell.difference.low, cell.difference.high)
            by += " ({} to {})".format(*(in_points(end, digits) for end in ends))
        number, counted = len(cell.seeds), cell.difference.seeds
        rows.append(
            [
                f"{size:,} {model}",
                *("-" if math.isnan(v) else f"{POINTS * v:.2f}" for v in cell.accuracies),
                by,
                f"{number}" if counted == number else f"{counted} of {number}",
                "-" if cell.equal is None else f"{cell.equal} of {number}",
                "-" if cell.alike is None else f"{POINTS * cell.alike:.1f} %",
            ]
        )
    return rows


def _speeds(found: Comparison) -> list[list[str]]:
    a, b = found.names
    rows = [["model", a, b, "ratio", f"{a}, seconds", f"{b}, seconds"]]
    for model in dict.fromkeys([*found.speeds, *found.seconds]):
        one, two = found.speeds.get(model, (math.nan, math.nan))
        times = found.seconds.get(model, (math.nan, math.nan))
        ratio = two / one if one else math.nan
        cells = [_number(one, ",.0f"), _number(two, ",.0f"), _number(ratio, ".2f")]
        rows.append([model, *cells, *(_number(t, ",.1f") for t in times)])
    return rows


def _facts(found: Comparison) -> list[list[str]]:
    rows = [[what, *pair] for what, pair in found.differing.items()]
    return [["", *found.names], *rows]


def _alone(found: Comparison) -> list[list[str]]:
    rows = [["images, model", *(f"seeds of {name} alone" for name in found.names)]]
    for (model, size), sides in found.alone.items():
        if any(sides):
            rows.append([f"{size:,} {model}", *(_seeds(side) for side in sides)])
    return rows


def _seeds(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds)) or "-"


def _number(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)
