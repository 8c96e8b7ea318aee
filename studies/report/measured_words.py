"""What a study's own evaluation measured, in words and a table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from studies.report.tables import markdown_table
from studies.report.words import states

if TYPE_CHECKING:
    from studies.analysis.estimate import Estimate
    from studies.report.answer import Answer
    from studies.report.measured import Change, Measured

_MOST = 3  # arms that the sentences hold; the table has all
_DIGITS = 4  # of means
_CHANCE = "with one seed nobody knows how much of that is chance"


def measured_headline(answer: Answer) -> tuple[str, ...]:
    """How large the number is and whether images change it, whether it differs by part, what to do next."""
    shown = answer.measured[:_MOST]
    first = "; ".join(_of_arm(each) for each in shown)
    second = "; ".join(filter(None, (_by_part(each, len(answer.measured) > 1) for each in shown)))
    told = [f"{first[0].upper()}{first[1:]}."]
    told += [f"{second[0].upper()}{second[1:]}."] if second else []
    return (*told, _next(answer))


def _of_arm(found: Measured) -> str:
    at = f"at {found.size:,} training images" if found.size else "before it is trained further"
    what = f"{at} the {found.leads.words} of {found.arm}"
    if found.barred:
        return f"nothing is said of {found.arm} {at}, which {states(found.barred)}"
    text = f"{what} is {number(found.value.mean, _DIGITS)}{_unit(found)}{_between(found.value)}"
    if not math.isnan(found.reference):
        text += f", where {found.leads.reference_words} has {number(found.reference, _DIGITS)}"
    change = found.over_sizes
    return text if change is None else f"{text}; from {change.first:,} on {_changed(change, found)}"


def _by_part(found: Measured, named: bool) -> str:
    change = found.over_parts
    if change is None or found.barred:
        return ""
    part = found.leads.parts
    of = f" of {found.arm}" if named else ""
    return f"from {part} {change.first} to {part} {change.last}{of} {_changed(change, found)}"


def _changed(change: Change, found: Measured) -> str:
    """How a number differs between two ends; the end of a clause."""
    if change.barred:
        return f"nothing can be said, as one of the two {states(change.barred)}"
    difference = change.difference
    if math.isnan(difference.mean):
        return "nothing can be said: no seed has both"
    by = f"{number(abs(difference.mean))}{_unit(found)}"
    falls = "falls" if difference.mean < 0 else "rises"
    if difference.seeds < 2:
        return f"it {falls} by {by}, and {_CHANCE}"
    if not change.sign:
        signed = f"{number(difference.mean)}{_unit(found)}"
        return f"no change can be told ({signed}, {_interval(difference)})"
    low, high = sorted((change.sign * difference.low, change.sign * difference.high))
    ends = f"{100 * difference.level:g} % interval {number(low)} to {number(high)}"
    return f"it {falls} by {by} ({ends})"


def _next(answer: Answer) -> str:
    changes = [(change, each) for each in answer.measured for change in each.changes]
    if any(change.difference.seeds < 2 for change, _ in changes if not change.barred):
        return "Next, run more seeds: from a single one nothing is told apart."
    unclear = [(change, each) for change, each in changes if not change.sign and not change.barred]
    if unclear:
        most = max(
            abs(end)
            for change, _ in unclear
            for end in (change.difference.low, change.difference.high)
        )
        return (
            f"Next, run more seeds if less than {number(most)}{_unit(unclear[0][1])} matters: what is not "
            f"told apart may be as large."
        )
    if any(change.barred for change, _ in changes):
        barred = sorted({why for change, _ in changes for why in change.barred})
        return f"Next, train longer, or on more images: nothing is said of what {states(barred)}."
    return "Next, see the table for what lies between the ends: they are told apart."


def measured_text(answer: Answer) -> str:
    """The section of a report; nothing where the study is about no evaluation."""
    rows = [["arm", "from", "to", "difference", "interval", "seeds", "told apart"]]
    for each in answer.measured:
        for change in each.changes:
            sizes = change is each.over_sizes
            name = "{:,} images" if sizes else f"{each.leads.parts} {{}}"
            told = {1: "above 0", -1: "below 0", 0: "no"}[change.sign]
            if change.barred:
                told = states(change.barred)
            elif change.difference.seeds < 2:
                told = "one seed"
            known = not math.isnan(change.difference.mean)
            rows.append(
                [
                    each.arm,
                    name.format(change.first),
                    name.format(change.last),
                    f"{change.difference.mean:+.2g}" if known else "-",
                    _interval(change.difference),
                    str(change.difference.seeds),
                    told,
                ]
            )
    if len(rows) == 1:
        return ""
    leads, unit = answer.measured[0].leads, answer.measured[0].unit
    what = f"{leads.words[0].upper()}{leads.words[1:]}"
    return (
        f"## {what}\n\nDifferences in {unit or leads.metric}, paired seed by seed, with intervals over "
        f"seeds alone; parts are compared at the largest number of training images.\n\n"
        f"{markdown_table(rows)}"
    )


def number(value: float, digits: int = 2) -> str:
    """A number to so many digits, those of differences by default, or as a whole one."""
    return f"{value:,.0f}" if abs(value) >= 10.0**digits else f"{value:.{digits}g}"


def _unit(found: Measured) -> str:
    return f" {found.unit}" if found.unit and "(" not in found.unit else ""


def _between(estimate: Estimate) -> str:
    """The interval of a mean, in brackets."""
    if estimate.seeds < 2:
        return ", from one seed"
    return f" ({_interval(estimate, _DIGITS)})"


def _interval(estimate: Estimate, digits: int = 2) -> str:
    if math.isnan(estimate.low):
        return "no interval"
    ends = (number(end, digits) for end in (estimate.low, estimate.high))
    return f"{100 * estimate.level:g} % interval {' to '.join(ends)}"
