"""What a study answers, decided once: every sentence of a report is made of this and of nothing else.

Here and in the modules that this one uses numbers become decisions (who is ahead, what twice the
images buy, what to do next); words for them are found in `studies.report.words`, which decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from studies.report.advice import Advice, advise
from studies.report.duel import Duel, compare
from studies.report.outlook import Outlook, Setting, outlooks

if TYPE_CHECKING:
    from studies.analysis.compute import Compute
    from studies.analysis.effects import Effect
    from studies.analysis.findings import Findings
    from studies.analysis.scaling_law import ScalingLaw
    from studies.report.measured import Measured


@dataclass(frozen=True)
class Answer:
    """The answer of a study.

    Attributes:
        metric, level: the number that leads, and the confidence of all intervals.
        baseline: what a model reaches that learned nothing; NaN if unknown.
        commonest: whether that is the commonest class's share in the test set; else it is guessing.
        done, planned: numbers of trials.
        duels: pairs of models, the main one first.
        outlooks: by model, in the study's order.
        laws: fitted law by model, of models that are not barred.
        advice: what to do next.
        effects: of the factors' levels; those of two models compared have `less`.
        one_at_a_time: whether the study's factors are changed one at a time.
        compute: what compute buys, where the study is about that.
        one_draw: whether all seeds share one draw of the images, and the test set is in no interval.
        lost: number of trials whose outcomes are missing.
        measured: what the evaluation found that the study is about; empty where it is about accuracy.
    """

    metric: str
    level: float
    baseline: float
    commonest: bool
    done: int
    planned: int
    duels: tuple[Duel, ...]
    outlooks: Mapping[str, Outlook]
    laws: Mapping[str, ScalingLaw]
    advice: Advice
    effects: tuple[Effect, ...] = ()
    one_at_a_time: bool = False
    compute: Compute | None = None
    one_draw: bool = False
    lost: int = 0
    measured: tuple[Measured, ...] = ()

    @property
    def about_effects(self) -> bool:
        """Whether the study is about what changes do by themselves, and not about how models compare."""
        alone = any(effect.less is None for effect in self.effects)
        return alone and (self.one_at_a_time or not self.duels)


def answer(
    findings: Findings,
    setting: Setting,
    effects: Sequence[Effect] = (),
    compute: Compute | None = None,
    measured: Sequence[Measured] = (),
) -> Answer:
    """Decides what a study's findings say.

    Args:
        findings: about the number that leads.
        setting: of the study.
        effects: of its factors' levels.
        compute: what compute buys, where the study is about that.
        measured: what its evaluation found, where it is about that.
    """
    seen = outlooks(findings, setting)
    laws = {m: law for m, law in findings.laws.items() if m in seen and not seen[m].barred}
    duels = tuple(compare(pair, laws) for pair in findings.pairs)
    return Answer(
        metric=findings.metric,
        level=findings.level,
        baseline=findings.baseline,
        commonest=setting.commonest,
        done=setting.done,
        planned=setting.planned,
        duels=duels,
        outlooks=seen,
        laws=laws,
        advice=advise(duels[0] if duels else None, seen, setting),
        effects=tuple(effects),
        one_at_a_time=setting.one_at_a_time,
        compute=compute,
        one_draw=setting.one_draw,
        lost=setting.lost,
        measured=tuple(measured),
    )
