"""What a report's intervals hold, and what not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from studies.analysis.seed_intervals import SEEDS_ALONE
from studies.report.numbers import listed

if TYPE_CHECKING:
    from studies.analysis.estimate import Estimate
    from studies.records.frames import Results
    from studies.report.evidence import Evidence


def intervals_text(results: Results, evidence: Evidence) -> str:
    """The section of a report; nothing without results."""
    shown = list(_shown(evidence))
    if not shown:
        return ""
    level = f"{100 * evidence.findings.level:g} %"
    lines = ["## What the intervals hold, and what not", ""]
    if results.one_draw:
        lines.append(
            f"- All are {level} intervals over seeds alone: one draw, test set not in the interval. "
            "These records are of a time when all seeds shared one draw of the training images and "
            "kept no outcome of single test images. Student's t for means and paired differences, that "
            "of a mean accuracy on the logit scale."
        )
    elif all(estimate.seeds < 2 for _, estimate in shown):
        lines.append(
            f"- They are {level} intervals for the accuracy of these very models on new images of the "
            "same kind. How far another draw of the training images, other initial weights or another "
            "order would move it, one seed does not tell. Two models are compared image by image."
        )
    else:
        lines.append(
            f"- They are {level} intervals for the accuracy on new images of the same kind after "
            "training on that many: a seed draws the training images (and splits that the data lack), "
            "the initial weights and the order; the test images' own error is in the intervals, and "
            "that seeds have images in common is corrected for (Nadeau and Bengio 2003). Two models "
            "are compared image by image within a seed."
        )
    lines += _notes(shown, told=(SEEDS_ALONE,) if results.one_draw else ())
    if not results.one_draw:
        lines.append("- Those of few-shot accuracies and of validation are over seeds alone.")
    lines.append(
        "- Laws are averages over a family of curves, weighted by how well they explain the results "
        "and by how learning curves usually look; their intervals hold that, the seeds and the test "
        "set as far as it is known."
    )
    return "\n".join(lines)


def _shown(evidence: Evidence) -> Iterator[tuple[int, Estimate]]:
    """Accuracies, differences and effects, each with its number of training images."""
    for found in evidence.accuracies.values():
        yield from ((size, estimate) for (_, size), estimate in found.items())
    for pair in evidence.findings.pairs:
        yield from ((size, verdict.difference) for size, verdict in pair.verdicts.items())
    yield from ((effect.size, effect.estimate) for effect in evidence.answer.effects)


def _notes(shown: list[tuple[int, Estimate]], told: tuple[str, ...]) -> list[str]:
    """What else must be said of intervals: once each, and of which."""
    notes = dict.fromkeys(estimate.note for _, estimate in shown if estimate.note)
    lines = []
    for note in (note for note in notes if note not in told):
        mine = [estimate.note == note for _, estimate in shown]
        sizes = sorted({size for size, estimate in shown if estimate.note == note})
        there = [estimate.note == note for size, estimate in shown if size in sizes]
        at = f"those at {listed([f'{size:,}' for size in sizes])} training images"
        which = "All" if all(mine) else f"All of {at}" if all(there) else f"Some of {at}"
        lines.append(f'- {which}: "{note}".')
    return lines
