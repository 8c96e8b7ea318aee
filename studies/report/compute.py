"""Accuracy against training compute in words and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studies.analysis.verdict import LEARNED_NOTHING
from studies.report.advice import worth
from studies.report.markup import code
from studies.report.numbers import METRICS, POINTS, listed, percent
from studies.report.tables import markdown_table
from studies.report.words import LEARN

if TYPE_CHECKING:
    from studies.analysis.compute import Compute
    from studies.report.answer import Answer

FAMILIES = {"vit": "ViTs", "hybrid": "hybrids", "resnet": "ResNets", "other": "other models"}
_TWICE = 2.0


def flops(number: float) -> str:
    """1.2e+14 becomes 120 T: FLOPs to two digits."""
    for unit, letter in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M")):
        if number >= unit:
            return f"{float(f'{number / unit:.2g}'):g} {letter}FLOPs"
    return f"{float(f'{number:.2g}'):g} FLOPs"


def compute_headline(answer: Answer, found: Compute) -> tuple[str, ...]:
    """Who is best for its compute, what twice the compute buys, what to do next."""
    if not found.front:
        return (
            f"There is no verdict on what is best for its compute: every arm {LEARNED_NOTHING}.",
            f"Next, {LEARN}.",
        )
    most = found.front[-1]
    grows = most.family in found.laws and worth(
        found.laws[most.family].gain(most.compute, _TWICE).drop
    )
    if _from_one_seed(found):
        third = "Next, run more seeds: that would show how far chance goes"
    elif grows:
        third = f"Next, train {most.arm} longer or a larger one: more compute still buys a point"
    else:
        third = (
            f"Next, take {most.arm}, or what stands before it on the front where compute is dear"
        )
    return f"{_best(answer, found)}.", f"{_twice(found)}.", f"{third}."


def _from_one_seed(found: Compute) -> bool:
    """Whether the front hangs on what may have been a lucky seed."""
    return any(each.accuracy.seeds < 2 for each in found.front)


def _best(answer: Answer, found: Compute) -> str:
    front = found.front
    of = METRICS.get(answer.metric, answer.metric)
    least, most = front[0], front[-1]
    first = f"{least.arm} at {flops(least.compute)} ({of} {percent(least.accuracy)} %)"
    last = f"{most.arm} at {flops(most.compute)} ({percent(most.accuracy)} %)"
    held = [
        f"{FAMILIES[family]} hold {number}"
        for family in found.fronts
        if (number := sum(e.family == family for e in front))
    ]
    alone = len(front) == 1
    if _from_one_seed(found):
        highest = f"is {first}" if alone else f"are {first} and {last}"
        return f"What is best for its compute cannot be told from one seed: the highest for theirs {highest}"
    if alone:
        return f"For its compute the best is {first}, and nothing with more is better"
    return (
        f"For its compute the best is {first} and {last}; of the {len(front)} best points from the one "
        f"to the other {listed(held)}"
    )


def _twice(found: Compute) -> str:
    """What twice the compute would buy each family's best."""
    parts = []
    for family, law in found.laws.items():
        last = found.fronts[family][-1].compute
        gain = law.gain(last, _TWICE, found.level)
        parts.append(
            f"the {FAMILIES[family]}' best {POINTS * gain.drop:.1f} points ({100 * found.level:g} % "
            f"interval {POINTS * gain.low:.1f} to {POINTS * gain.high:.1f})"
        )
    without = [FAMILIES[family] for family in found.without_law]
    texts = [f"by forecast, twice the compute would buy {listed(parts)}"] if parts else []
    if without:
        texts.append(f"nothing is forecast for {listed(without)}, whose fronts carry no law")
    text = "; ".join(texts)
    return f"{text[0].upper()}{text[1:]}"


def compute_text(answer: Answer, found: Compute) -> str:
    """The section of a report."""
    of = METRICS.get(answer.metric, answer.metric)
    rows = [["compute", "arm", "family", "images", of, "best of its family", "best of all"]]
    for each in found.trained:
        own = each in found.fronts[each.family]
        marks = ["yes" if own else "-", "yes" if each in found.front else "-"]
        arm = f"{each.arm} ({', '.join(each.barred)})" if each.barred else each.arm
        cells = [flops(each.compute), arm, each.family, f"{each.size:,}"]
        rows.append([*cells, percent(each.accuracy), *marks])
    laws = [["family", "points", "error falls as compute to the", "interval", "law"]]
    for family in found.fronts:
        number = str(len(found.fronts[family]))
        if family in found.laws:
            power = found.exponent(family)
            interval = f"{power.low:.2f} to {power.high:.2f}"
            law = code(found.laws[family].summary())
            laws.append([FAMILIES[family], number, f"{power.value:.2f}", interval, law])
        else:
            why = found.without_law[family].rstrip(".")
            laws.append([FAMILIES[family], number, "-", "-", why])
    told = [
        f"- {FAMILIES[family]}: {note.replace(' images', ' FLOPs')}."
        for family, law in found.laws.items()
        for note in law.notes
    ]
    return "\n\n".join(
        (
            "## Accuracy against compute\n\nCompute is 3 times the forward FLOPs of an image for each image "
            "seen, all trainings of a chain together. Where several learning rates are tried, it is that of "
            "the one which counts: what the others took is in the trials' time alone. Best is what nothing "
            "of as little compute reaches, to within 10 %, in the mean over seeds; what learned nothing is "
            "neither.",
            markdown_table(rows),
            f"The laws are fitted to each family's best; the exponent is the slope at its largest compute, "
            f"with a {100 * found.level:g} % interval (x: FLOPs).",
            markdown_table(laws),
            *(["\n".join(told)] if told else []),
        )
    )
