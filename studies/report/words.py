"""Findings in sentences: who overtakes whom, where, and how sure that is."""

from __future__ import annotations

import math

from studies.analysis import Crossing
from studies.analysis.findings import Findings, Pair

POINTS = 100.0  # accuracies are told in percentage points


def images(size: float) -> str:
    """A number of images, to two digits where it is an estimate: 11,536 becomes 12,000."""
    return f"{float(f'{size:.2g}'):,.0f}"


def span(low: float | None, high: float | None, level: float) -> str:
    """An interval of numbers of images in words, open ends included."""
    name = f"{100 * level:g} % interval"
    if low is None or high is None:
        return f"no {name}"
    if low == 0 and math.isinf(high):
        return f"{name} open on both sides"
    if low == 0:
        return f"{name} open below, up to {images(high)}"
    if math.isinf(high):
        return f"{name} from {images(low)}, open above"
    return f"{name} {images(low)} to {images(high)}"


def points(low: float, high: float, level: float) -> str:
    """An interval of a difference of accuracies in words, in points."""
    if math.isnan(low):
        return "no interval: fewer than two seeds"
    return f"{100 * level:g} % interval {POINTS * low:.1f} to {POINTS * high:.1f}"


def answer(pair: Pair, findings: Findings) -> str:
    """The comparison of two models in one or two sentences, the measured part first."""
    if not len(pair.differences):
        return f"{pair.a} and {pair.b} have no size in common yet: nothing can be compared."
    measured = pair.measured
    if measured is not None and measured.kind == "measured":
        text = _overtakes(pair, measured, "measured")
        return f"{text} {_laws_beside(pair)}".strip()
    return f"{_no_crossing(pair, findings.level)} {_forecast(pair)}".strip()


def crossing_cell(crossing: Crossing | None) -> str:
    """A crossing in a table's cell."""
    if crossing is None:
        return "-"
    if crossing.size is None:
        text = "none"
        if crossing.low is not None:
            text += f" (but not excluded: {_where(crossing)})"
    else:
        text = f"{images(crossing.size)} ({span(crossing.low, crossing.high, crossing.level)})"
    if crossing.kind == "extrapolated":
        text += ", **extrapolated**"
    if crossing.others:
        text += "; earlier crossings at " + ", ".join(images(other) for other in crossing.others)
    return text + (f"; {crossing.note}" if crossing.note else "")


def _overtakes(pair: Pair, crossing: Crossing, how: str) -> str:
    above, below = _order(pair, crossing)
    assert crossing.size is not None
    interval = span(crossing.low, crossing.high, crossing.level)
    text = (
        f"{above} overtakes {below} at about {images(crossing.size)} training images "
        f"({how}; {interval})."
    )
    if crossing.note and "cannot tell" in crossing.note:
        text += " The seeds scatter too much to tell the two apart at any measured size."
    return text


def _laws_beside(pair: Pair) -> str:
    laws = pair.laws
    if laws is None:
        return ""
    if laws.size is None:
        return "The fitted laws do not cross."
    interval = span(laws.low, laws.high, laws.level)
    if laws.kind == "measured":
        return f"The fitted laws cross at {images(laws.size)} ({interval})."
    return (
        f"The fitted laws cross at {images(laws.size)} ({interval}), outside the measured sizes, "
        f"where they are an extrapolation."
    )


def _no_crossing(pair: Pair, level: float) -> str:
    first, last = pair.differences.iloc[0], pair.differences.iloc[-1]
    gap = POINTS * last["mean"]
    low, high = last["low"], last["high"]
    if gap < 0:
        low, high = -high, -low
    by = f"{abs(gap):.1f} points ({points(low, high, level)})"
    unclear = not math.isnan(low) and low <= 0
    size = f"{int(last['size']):,}"
    if len(pair.differences) == 1:
        word = "ahead of" if gap > 0 else "behind"
        return (
            f"Only {size} training images are measured for both: there {pair.a} is {by} {word} "
            f"{pair.b}{', which is within the scatter of the seeds' if unclear else ''}."
        )
    within = f"between {int(first['size']):,} and {size} training images"
    if gap < 0:
        text = f"{pair.a} does not catch up with {pair.b} {within}: at {size} it is {by} behind"
    else:
        text = f"{pair.a} is ahead of {pair.b} all the way {within}: at {size} by {by}"
    return text + (", which is within the scatter of the seeds." if unclear else ".")


def _forecast(pair: Pair) -> str:
    laws, last = pair.laws, float(pair.differences["size"].iloc[-1])
    if laws is None:
        return ""
    if laws.size is None:
        if laws.low is not None and laws.high is not None and laws.high > last:
            return (
                f"The fitted laws do not cross; a crossing is not excluded, though "
                f"({_where(laws)}; an extrapolation)."
            )
        return "The fitted laws do not cross either, up to a thousand times the measured sizes."
    interval = span(laws.low, laws.high, laws.level)
    if laws.kind == "measured":
        return (
            f"The fitted laws do cross, at about {images(laws.size)} ({interval}), but the "
            f"measured means do not bear that out."
        )
    if laws.size < last:
        return (
            f"The fitted laws forecast no crossing at more images; they cross below the measured "
            f"sizes, at about {images(laws.size)} ({interval}). Both are extrapolations."
        )
    above, below = _order(pair, laws)
    return (
        f"Forecast, an extrapolation of the fitted laws: {above} overtakes {below} at about "
        f"{images(laws.size)} training images ({interval})."
    )


def _order(pair: Pair, crossing: Crossing) -> tuple[str, str]:
    return (pair.b, pair.a) if crossing.better_below == "a" else (pair.a, pair.b)


def _where(crossing: Crossing) -> str:
    assert crossing.low is not None and crossing.high is not None
    if crossing.low == 0 and math.isinf(crossing.high):
        return "anywhere"
    if crossing.low == 0:
        return f"below {images(crossing.high)} images"
    if math.isinf(crossing.high):
        return f"above {images(crossing.low)} images"
    return f"between {images(crossing.low)} and {images(crossing.high)} images"
