"""The answer of `advise` in words: the report's own sentences and what else a decision needs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from studies.advise.design import MODELS
from studies.advise.rounds import End
from studies.analysis.estimate import Estimate
from studies.analysis.foremost import ranked
from studies.analysis.stopping import MOST_SEEDS, settled
from studies.analysis.target import HELD, Collection, collection
from studies.errors import UsageError
from studies.records.frames import Results, pool
from studies.report.duel import Duel, compare
from studies.report.evaluations import evaluation_means
from studies.report.evidence import Evidence
from studies.report.numbers import (
    METRICS,
    POINTS,
    images,
    images_tested,
    listed,
    percent,
    points,
)
from studies.report.words import crossing_sentence, headline, notes, standing
from studies.study.chain import FINETUNING

_MANY_PAIRS = 6  # which nobody would read
SURE = 0.9  # probability with which a target is to be reached
_STOPPED = {
    "ahead": "More seeds would not change who is ahead.",
    "as good": "More seeds would not change that: the two differ by less than a point.",
    "out of reach": f"Even {MOST_SEEDS} seeds would hardly tell them apart.",
}


@dataclass(frozen=True)
class Target:
    """A wanted accuracy, and what an image costs.

    Attributes:
        accuracy: in (0, 1), of the number that leads.
        cost: of one image; None where nobody asked.
    """

    accuracy: float
    cost: float | None = None


@dataclass(frozen=True)
class Reply:
    """What is answered.

    Attributes:
        results, evidence: of the results folder.
        end: why no more trials were run.
        more: the budget with which the next run would go on.
        target: what was asked for, if it was.
    """

    results: Results
    evidence: Evidence
    end: End
    more: str
    target: Target | None = None

    @property
    def surer(self) -> Duel | None:
        """The main pair up to the largest size with two seeds, where that of the answer has one.

        So it is after a run that ended in the middle of a round. None where the answer is about two seeds
        or more, or no size has them.
        """
        pairs = self.evidence.findings.pairs
        verdicts = pairs[0].verdicts if pairs else {}
        last = max(
            (size for size, each in verdicts.items() if each.difference.seeds > 1), default=0
        )
        if not last or last == max(verdicts):
            return None
        below = {size: each for size, each in verdicts.items() if size <= last}
        return compare(replace(pairs[0], verdicts=below), {})

    @property
    def best(self) -> str | None:
        """The best of all arms; None where there are no results, or nothing may be said of any."""
        first = next(iter(ranked(self.evidence.findings)), None)
        if first is None or self.evidence.answer.outlooks[first].barred:
            return None
        return first

    @property
    def collections(self) -> dict[str, Collection]:
        """What to collect for the target, by model with a law, in rounds from the images that are there."""
        answer, target = self.evidence.answer, self.target
        if target is None:
            return {}
        return {
            model: collection(law, 1.0 - target.accuracy, self.there(model), SURE)
            for model, law in answer.laws.items()
        }

    def there(self, model: str) -> int:
        """How many images are there to train a model on; it may have been trained on fewer in the time."""
        data, size = self.results.study.data, self.evidence.answer.outlooks[model].size
        return max(size, data.counts.get("train", 0)) if data else size

    @property
    def per_training_image(self) -> float:
        """How many images are collected for one to train on: the others validate and test."""
        data = self.results.study.data
        return pool(data) / data.counts["train"] if data and data.counts.get("train") else 1.0


def target_of(text: str) -> float:
    """An accuracy as it was typed: "95%", "95 %" or "0.95".

    Raises:
        UsageError: it is none between 0 and 1.
    """
    number, percent, rest = text.strip().partition("%")
    try:
        value = float(number) / (100.0 if percent else 1.0)
    except ValueError:
        value = math.nan
    if rest.strip() or not 0.0 < value < 1.0:
        raise UsageError(f"--target takes an accuracy such as 95% or 0.95, not {text!r}")
    return value


def words(reply: Reply) -> list[str]:
    """The answer as sentences, one paragraph each."""
    answer = reply.evidence.answer
    told = list(headline(answer))
    advice = told.pop() if len(told) > 1 else ""
    told[1:1] = _best(reply)
    if answer.duels and answer.duels[0].verdict:
        told.append(crossing_sentence(answer.duels[0]))
    told += _surer(reply)
    told += [standing(duel, answer) for duel in _others(reply)]
    told += _probes(reply)
    told += _for_target(reply)
    told += [advice] if advice else []
    told += [_scope(reply), _more_time(reply), *notes(answer)]
    return [text for text in told if text]


def _best(reply: Reply) -> list[str]:
    """Which of more than two is the best, and from which of the others that is told apart."""
    answer, best = reply.evidence.answer, reply.best
    if best is None or len(answer.outlooks) < 3:
        return []
    known: dict[str | None, list[str]] = {}
    for duel in answer.duels:
        if best in (duel.a, duel.b) and duel.cause != "barred":
            other = duel.b if best == duel.a else duel.a
            known.setdefault(duel.leader, []).append(other)
    ahead, alike = known.pop(best, []), known.pop(None, [])
    told = [f"is ahead of {listed(ahead)}"] if ahead else []
    told += [f"cannot be told apart from {listed(alike)}"] if alike else []
    told += [f"is behind {listed([str(name) for name in known])}"] if known else []
    of = METRICS.get(answer.metric, answer.metric)
    reached = answer.outlooks[best].accuracy
    text = (
        f"Of the {len(answer.outlooks)} that were tried, {best} has the highest {of}, "
        f"{POINTS * reached.mean:.1f} % ({points(reached.low, reached.high, answer.level)})"
    )
    return [f"{text}: it {listed(told)}." if told else f"{text}."]


def _others(reply: Reply) -> list[Duel]:
    """The pairs beside the main one; of many, those of the best and that from scratch."""
    others, best = list(reply.evidence.answer.duels[1:]), reply.best
    if len(others) < _MANY_PAIRS:
        return others
    return [duel for duel in others if {best, *MODELS} >= {duel.a, duel.b}]


def _surer(reply: Reply) -> list[str]:
    """How sure the verdict is; of one seed's, who is ahead where there are two, and how sure that is."""
    answer, surer = reply.evidence.answer, reply.surer
    if surer is None:
        return _sure(answer.duels[0]) if answer.duels else []
    return [standing(surer, answer), *_sure(surer)]


def _sure(duel: Duel) -> list[str]:
    """How sure a verdict is, and why it was not made surer."""
    verdict = duel.verdict
    if verdict is None or verdict.barred:
        return []
    difference = verdict.difference
    if difference.variance is None or difference.seeds < 2:
        return []
    parts = difference.variance
    there = images_tested(difference.images, round(parts.tested_groups))
    each = " each" if parts.groups > parts.tested_groups else ""
    text = (
        f"The verdict rests on {difference.seeds} seeds and {there}{each}, and its interval holds the "
        f"chance in both."
    )
    stop = settled(difference)
    return [f"{text} {_STOPPED[stop]}" if stop else text]


def _probes(reply: Reply) -> list[str]:
    """What linear probes on published features reach, trained on the validation images alone."""
    results, findings = reply.results, reply.evidence.findings
    means = evaluation_means(results, findings.backend, findings.level)
    metric = "probe_balanced" if findings.uneven else "probe_top1"
    told = [
        f"{row['arm']} {percent(Estimate(row['mean'], row['low'], row['high'], math.nan, row['seeds']))}"
        for row in means[means["metric"] == metric].to_dict("records")
    ]
    if not told:
        return []
    level = f"{100 * findings.level:g} % interval over seeds"
    of = METRICS.get(findings.metric, findings.metric)
    return [
        f"By a linear probe on the weights as they are, fitted to the validation images alone, {of} in % "
        f"is ({level}): {listed(told)}."
    ]


def _for_target(reply: Reply) -> list[str]:
    """How many images to collect for the target, in rounds, for the model that needs fewest."""
    target = reply.target
    if target is None:
        return []
    of = METRICS.get(reply.evidence.answer.metric, reply.evidence.answer.metric)
    aim = f"{POINTS * target.accuracy:g} % of {of}"
    found = reply.collections
    outlooks = reply.evidence.answer.outlooks
    if not found:
        return [f"How many images {aim} takes cannot be said: no model has a law to forecast by."]
    told = []
    for model, need in found.items():
        size, there = outlooks[model].size, reply.there(model)
        if need.size <= size:
            which = f"the {size:,}" if size == there else f"{size:,} of the {there:,}"
            told.append(f"{model} reaches it with {which} that are there")
            continue
        known = not math.isinf(need.size)
        number = f"about {images(need.size)}" if known else "more than can be told yet"
        likely = "" if math.isinf(need.middle) else f" (as likely as not {images(need.middle)})"
        told.append(f"{model} {number}{likely if need.middle > size else ''}")
    text = f"Training images for {aim} with a probability of {SURE:g}: {'; '.join(told)}."
    if any(outlooks[model].size < need.size < math.inf for model, need in found.items()):
        text += (
            f" On published curves {HELD} of such numbers held, by how many sizes were measured."
        )
    best = min(found, key=lambda model: (found[model].size, found[model].middle))
    return [text, *_rounds(reply, best, found[best])]


def _rounds(reply: Reply, model: str, need: Collection) -> list[str]:
    """What to do for the target: train on the images that are there, then collect, in rounds."""
    size, there = reply.evidence.answer.outlooks[model].size, reply.there(model)
    if need.size <= size:
        return []
    if math.isinf(min(need.size, need.middle)):
        return [
            "More images alone may not be the way to it: try other models, or published weights."
        ]
    told = []
    if size < there:
        told.append(
            f"{model} was trained on {size:,} of the {there:,} images that are there: give more --budget, "
            f"to train it on more of them, before any are collected."
        )
    if need.size <= there:
        return told
    first = need.rounds[0] if need.rounds else 2 * there
    more = to_collect(reply, model, first)
    text = (
        f"Collect in rounds, and decide again after each: first {images(more)} images more, up to "
        f"{images(first)} to train {model} on"
    )
    if reply.per_training_image > 1.01:
        text += " (the others validate and test)"
    if reply.target and reply.target.cost is not None:
        text += f", for about {_money(cost_of(reply, model, first))}"
        if len(need.rounds) > 1:
            text += f"; all {len(need.rounds)} rounds would cost "
            text += f"{_money(cost_of(reply, model, need.size))} at most, with a probability of {SURE:g}"
    return [*told, f"{text}."]


def _scope(reply: Reply) -> str:
    """What the answer is about, and what not."""
    shape = reply.results.shape_text
    tuned = [name for name, arm in reply.results.study.arms.items() if arm.pretraining is not None]
    if tuned:
        return (
            f"{listed(tuned)} {'starts' if len(tuned) == 1 else 'start'} from the weights given, "
            f"{_tuning(reply.results)}; the others are small models trained from scratch. All of them see "
            f"images of {shape}."
        )
    return (
        f"All of this is about training from scratch, on images of {shape} and with these small models; "
        f"starting from published weights was not tried."
    )


def _tuning(results: Results) -> str:
    """How weights are fine-tuned: the paper's way, as far as time and images reached."""
    ways = {
        name: {**FINETUNING, **arm.finetuning.recipe}
        for name, arm in results.study.arms.items()
        if arm.pretraining is not None
    }
    told = {
        f"at most {way['steps']:,} step{'' if way['steps'] == 1 else 's'} at the best of the learning rates "
        f"{listed([f'{rate:g}' for rate in way['learning_rates']])} on the validation images"
        + ("" if len(way["learning_rates"]) > 2 else " (the paper tries four)")
        for way in ways.values()
    }
    return f"fine-tuned for {' or '.join(sorted(told))}"


def _more_time(reply: Reply) -> str:
    end = reply.end
    if end.reason == "time" and end.needs:
        verdict = reply.evidence.answer.duels[0].verdict if reply.evidence.answer.duels else None
        larger = verdict is None or end.size > verdict.size
        what = f"two seeds of {end.size:,} images" if larger else "more seeds"
        return f"With --budget {reply.more} the same command goes on from here, to {what}."
    if end.reason == "time":
        return ""
    if end.reason == "most seeds":
        return (
            f"More time would not help: {MOST_SEEDS} seeds are as many as this way of deciding was tried "
            f"with, and all of them are done."
        )
    return "More time would not help: there is nothing left to run that could change this answer."


def to_collect(reply: Reply, model: str, size: float) -> float:
    """Images to collect until a model can be trained on so many."""
    return max(0.0, size - reply.there(model)) * reply.per_training_image


def cost_of(reply: Reply, model: str, size: float) -> float | None:
    """What it costs to collect them; None where that is not known."""
    if reply.target is None or reply.target.cost is None or math.isinf(size):
        return None
    return round(reply.target.cost * to_collect(reply, model, size), 2)


def _money(amount: float | None) -> str:
    return "an unknown sum" if amount is None else f"{float(f'{amount:.2g}'):,.10g}"
