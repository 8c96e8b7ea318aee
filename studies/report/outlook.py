"""One model at its largest size, and what more images would buy it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from studies.analysis.estimate import Estimate

if TYPE_CHECKING:
    from studies.analysis.findings import Findings
    from studies.analysis.scaling_law import Gain
    from studies.analysis.undertrained import Training

TWICE = 2.0
FEWEST_SIZES = 4  # for a law


@dataclass(frozen=True)
class Outlook:
    """One model at its largest size, and what more images would buy it.

    Attributes:
        model: name.
        size: its largest size, in training images.
        accuracy: of the number that leads.
        barred: why nothing is said about it: "learned nothing", "undertrained".
        reason: how one sees that it is undertrained; empty otherwise.
        steps: of its training at this size.
        gain: of twice the images; None where there is no law, or where it is barred.
        sizes: at how many sizes it was measured.
        add: the size that would help most towards a law; None where there is one.
    """

    model: str
    size: int
    accuracy: Estimate
    barred: tuple[str, ...]
    reason: str
    steps: int
    gain: Gain | None
    sizes: int
    add: int | None


@dataclass(frozen=True)
class Setting:
    """What the answer must know of a study besides its findings.

    Attributes:
        done, planned: numbers of trials.
        steps: of training, by model and size.
        training: how far training had come, by model and size.
        pool: number of training images that are there.
        test: number of test images; 0 if unknown.
        commonest: whether the findings' baseline is the commonest class's share.
        one_at_a_time, one_draw, lost: as in `Answer`.
    """

    done: int
    planned: int
    steps: Mapping[tuple[str, int], int]
    training: Mapping[tuple[str, int], Training]
    pool: int
    test: int
    commonest: bool
    one_at_a_time: bool = False
    one_draw: bool = False
    lost: int = 0


def outlooks(findings: Findings, setting: Setting) -> dict[str, Outlook]:
    """The outlook of every model with results, those of the main pair first."""
    sizes: dict[str, list[int]] = {}
    for model, size in findings.estimates:
        sizes.setdefault(model, []).append(size)
    found = {}
    for model in [*findings.laws, *findings.without_law]:
        if model not in sizes:
            continue
        last = max(sizes[model])
        barred = findings.barred.get((model, last), ())
        law = None if barred else findings.laws.get(model)
        training = setting.training.get((model, last))
        found[model] = Outlook(
            model=model,
            size=last,
            accuracy=findings.estimates[model, last],
            barred=barred,
            reason=training.reason if training and training.undertrained else "",
            steps=setting.steps.get((model, last), 0),
            gain=law.gain(last, TWICE, findings.level) if law else None,
            sizes=len(sizes[model]),
            add=None if law else size_to_add(sizes[model], setting.pool),
        )
    return {model: found[model] for model in _in_order(found, findings)}


def best_of(outlooks: Mapping[str, Outlook]) -> str:
    """Whose number is highest; of those that can be judged, if there are any."""
    return max(outlooks, key=lambda m: (not outlooks[m].barred, outlooks[m].accuracy.mean))


def _in_order(found: Mapping[str, Outlook], findings: Findings) -> list[str]:
    """Models as the pairs name them, then the others."""
    named = [name for pair in findings.pairs for name in (pair.a, pair.b)]
    return [m for m in dict.fromkeys([*named, *found]) if m in found]


def size_to_add(sizes: Sequence[int], pool: int) -> int:
    """Which size would help most towards a law.

    Twice the largest where the images are there; then, as long as there are too few sizes for a
    law, the middle of the widest gap (with half the smallest as one); else twice the largest all
    the same, which then must be collected.

    Args:
        sizes: measured ones.
        pool: number of training images that are there.
    """
    known = sorted(set(sizes))
    twice = int(TWICE * known[-1])
    if twice <= pool or len(known) >= FEWEST_SIZES:
        return twice
    if pool > 1.2 * known[-1]:
        return pool
    grid = [max(known[0] // 4, 1), *known]
    ratios = [after / before for before, after in pairwise(grid)]
    widest = ratios.index(max(ratios))
    return int(float(f"{math.sqrt(grid[widest] * grid[widest + 1]):.2g}"))
