"""Effects of factors' levels in words and tables: alone, and of one model beyond another's."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from studies.analysis.verdict import LEARNED_NOTHING, UNDERTRAINED
from studies.report.numbers import METRICS, digits_of, in_points, listed, points
from studies.report.tables import markdown_table
from studies.report.words import LEARN, for_blind, states

if TYPE_CHECKING:
    from studies.analysis.effects import Effect
    from studies.report.answer import Answer

MANY = 5  # from so many intervals on it is told that some leave out the truth
_FEW = 3  # effects whose intervals stand in a sentence


def largest_size(effects: Sequence[Effect]) -> list[Effect]:
    """Those at the largest number of training images."""
    last = max(effect.size for effect in effects)
    return [effect for effect in effects if effect.size == last]


def effects_headline(answer: Answer) -> tuple[str, ...]:
    """Which changes of the base are told apart from it, which are not, and what to do next."""
    effects = largest_size([e for e in answer.effects if e.less is None])
    size = f"{effects[0].size:,} training images"
    told = sorted((e for e in effects if e.sign), key=lambda e: e.estimate.mean)
    unclear = [e for e in effects if not e.sign and not e.barred]
    bases = listed(list(dict.fromkeys(e.change.base for e in effects)))
    of = METRICS.get(answer.metric, answer.metric)
    if told:
        worst = [_named(answer, e, len(told)) for e in told if e.sign < 0]
        best = [_named(answer, e, len(told)) for e in reversed(told) if e.sign > 0]
        parts = [f"{listed(best)} above it" if best else "", f"{listed(worst)} below it"]
        first = (
            f"Of {len(effects)} changes to {bases} at {size}, {len(told)} "
            f"{'is' if len(told) == 1 else 'are'} told apart from it in "
            f"{of}: {'; '.join(part for part in parts[: 1 + bool(worst)] if part)}."
        )
    else:
        first = (
            f"None of {len(effects)} changes to {bases} at {size} is told apart from it in {of}."
        )
    if unclear:
        names = listed([_label(answer, e) for e in unclear])
        second = f"Not told apart are {names}{_at_most(unclear)}."
    else:
        second = "All others cannot be judged." if len(told) < len(effects) else "No other is left."
    return first, second, _next(answer, effects, told, unclear)


def _at_most(effects: Sequence[Effect]) -> str:
    """How large some effects are at most, where that is known of all of them."""
    if not all(e.bounded for e in effects):
        return ""
    most = max(abs(end) for e in effects for end in (e.estimate.low, e.estimate.high))
    return f"; none of them by more than {in_points(most, digits_of(most))} points"


def _next(
    answer: Answer, effects: Sequence[Effect], told: Sequence[Effect], unclear: Sequence[Effect]
) -> str:
    barred = list(dict.fromkeys(name for e in effects for name in e.barred))
    if barred:
        why = {name: set(reasons) for e in effects for name, reasons in e.barred.items()}
        short = [name for name in barred if UNDERTRAINED in why[name]]
        blind = [name for name in barred if name not in short]
        if not short:
            return f"Next, {LEARN} for {listed(blind)}: nothing is said of what {LEARNED_NOTHING}."
        return (
            f"Next, train {listed(short)} longer: nothing is said of what {states([UNDERTRAINED])}"
            f"{for_blind(blind)}."
        )
    if told and told[-1].sign > 0:
        return f"Next, take {told[-1].change.arm} as the base of further changes: it gains most."
    if any(e.estimate.seeds < 2 for e in unclear):
        return "Next, run more seeds: from a single one nothing is told apart."
    bases = listed(list(dict.fromkeys(e.change.base for e in effects)))
    return f"Next, keep {bases} as it is: no change to it is seen to gain."


def contrast_sentence(answer: Answer) -> str:
    """Which model the levels of the first factor favour, at the largest number of training images."""
    contrasts = largest_size([e for e in answer.effects if e.less is not None])
    change, less = contrasts[0].change, contrasts[0].less
    assert less is not None
    a, b = change.model, less.model
    mine = [
        e
        for e in contrasts
        if e.change.factor == change.factor
        and e.less is not None
        and (e.change.model, e.less.model) == (a, b)
    ]
    base = change.base.removeprefix(a).strip()
    parts = []
    for sign, one, other in ((1, a, b), (-1, b, a)):
        told = [_amount(e) for e in mine if e.sign == sign]
        if told:
            parts.append(f"it favours {one} over {other} by {listed(told)}")
    unclear = [e for e in mine if not e.sign and not e.barred]
    if unclear:
        alike = "not told apart"
        if not parts and all(e.estimate.seeds > 1 for e in unclear):
            alike = "it changes the two alike as far as can be told"
        if all(e.estimate.seeds < 2 for e in unclear):
            alike = "from a single seed nothing is told"
        parts.append(f"{alike}: {listed([e.change.level for e in unclear])}")
    barred = list(dict.fromkeys(name for e in mine for name in e.barred))
    if barred:
        parts.append(f"nothing is said about {listed(barred)}")
    what = f"What {change.factor} changes against {base}, at {contrasts[0].size:,} training images"
    return f"{what}: {'; '.join(parts)}."


def _amount(effect: Effect) -> str:
    estimate = effect.estimate
    sign = effect.sign
    low, high = sorted((sign * estimate.low, sign * estimate.high))
    interval = points(low, high, estimate.level)
    return f"{in_points(abs(estimate.mean))} points with {effect.change.level} ({interval})"


def _named(answer: Answer, effect: Effect, number: int) -> str:
    estimate = effect.estimate
    by = f"{in_points(abs(estimate.mean))} points"
    low, high = sorted((effect.sign * estimate.low, effect.sign * estimate.high))
    interval = f", {points(low, high, estimate.level)}" if number <= _FEW else ""
    return f"{_label(answer, effect)} ({by}{interval})"


def _label(answer: Answer, effect: Effect) -> str:
    models = {e.change.model for e in answer.effects}
    return effect.change.arm if len(models) > 1 else effect.change.level


def effects_text(answer: Answer) -> str:
    """The section of a report; nothing without factors."""
    alone = [e for e in answer.effects if e.less is None]
    pairs = [e for e in answer.effects if e.less is not None]
    if not alone:
        return ""
    of = METRICS.get(answer.metric, answer.metric)
    parts = [
        f"## What the factors change\n\nDifference of an arm and the same model under the factor's "
        f"first level, in points of {of}, paired image by image and seed by seed.",
        markdown_table(_alone(alone)),
    ]
    if pairs:
        parts += [
            "### One model more than the other\n\nThe difference of two models' changes: above 0 the "
            "first gains more by the change, or loses less. The interval is that of all four accuracies "
            "together, paired in the same way.",
            markdown_table(_pairs(pairs)),
        ]
    return "\n\n".join(parts)


def _alone(effects: Sequence[Effect]) -> list[list[str]]:
    rows = [["factor", "arm", "images", "against", "change", "interval", "told apart"]]
    order = list(_order(effects))
    ordered = sorted(effects, key=lambda e: order.index(e.change.factor))
    for factor, group in groupby(ordered, key=lambda e: e.change.factor):
        for e in group:
            rows.append([factor, e.change.arm, f"{e.size:,}", e.change.base, *_cells(e)])
    return rows


def _order(effects: Sequence[Effect]) -> dict[str, None]:
    return dict.fromkeys(e.change.factor for e in effects)


def _pairs(effects: Sequence[Effect]) -> list[list[str]]:
    rows = [["change", "images", "of", "less that of", "difference", "interval", "told apart"]]
    for e in effects:
        assert e.less is not None
        base = e.change.base.removeprefix(e.change.model).strip()
        change = f"{e.change.factor}: {e.change.level} against {base}"
        rows.append([change, f"{e.size:,}", e.change.model, e.less.model, *_cells(e)])
    return rows


def _cells(effect: Effect) -> list[str]:
    estimate = effect.estimate
    digits = digits_of(estimate.mean, estimate.low, estimate.high)
    told = {1: "above 0", -1: "below 0", 0: "no"}[effect.sign]
    if effect.barred:
        told = ", ".join(f"{arm} {states(why)}" for arm, why in effect.barred.items())
    elif effect.estimate.seeds < 2:
        told = "one seed"
    mean = in_points(estimate.mean, digits)
    signed = mean if mean.startswith("-") else f"+{mean}"
    return [signed, points(estimate.low, estimate.high, estimate.level), told]
