"""The three sentences that a report opens with; which they are depends on what the study is about."""

from __future__ import annotations

import math

from studies.report.answer import Answer
from studies.report.compute import compute_headline
from studies.report.effects import MANY, contrast_sentence, effects_headline
from studies.report.measured_words import measured_headline
from studies.report.words import headline, next_step, notes, standing


def opening(answer: Answer) -> tuple[str, ...]:
    """Three sentences; of a study without results one.

    About effects of factors: which changes are told apart, which are not, what to do. About what a
    factor does to two models: which it favours, how the two stand, what to do. About compute: who is
    best for it, what twice as much buys, what to do. Otherwise: who is ahead, what twice the images
    buy, what to do. About an evaluation: how large its number is and whether images change it, whether
    it differs within the model, what to do.
    """
    if answer.measured:
        return measured_headline(answer)
    if answer.outlooks and answer.compute is not None:
        return compute_headline(answer, answer.compute)
    if answer.outlooks and answer.about_effects:
        return effects_headline(answer)
    if answer.outlooks and answer.duels and any(e.less is not None for e in answer.effects):
        first = contrast_sentence(answer)
        return first, standing(answer.duels[0], answer), next_step(answer)
    return headline(answer)


def remarks(answer: Answer) -> list[str]:
    """What must be known of the opening."""
    found = notes(answer)
    several = (
        e.estimate for e in answer.effects if e.estimate.seeds > 1
    )  # of one none is told apart
    whole = [estimate for estimate in several if not math.isnan(estimate.low)]
    if len(whole) >= MANY:
        level = max(estimate.level for estimate in whole)
        wrong = max(1, round(len(whole) * (1 - level)))
        found.append(
            f"Of {len(whole)} intervals at {100 * level:g} %, about {wrong} leave{'s' if wrong == 1 else ''} "
            f"out the truth by chance: an effect told apart by little may be one of them."
        )
    return found
