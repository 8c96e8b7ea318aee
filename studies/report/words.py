"""An answer in words: the headline's three sentences, and the shorter ones of tables.

Nothing is decided here: who is ahead, whether something may be said and what to do next stand in
`studies.report.answer`, so that no two sentences of a report can differ in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from studies.analysis.by_size import BALANCED
from studies.analysis.crossing import Crossing
from studies.analysis.estimate import Estimate
from studies.analysis.verdict import LEARNED_NOTHING, MOST_SEEDS, UNDERTRAINED
from studies.report.advice import Advice
from studies.report.answer import Answer
from studies.report.duel import Duel, is_open
from studies.report.numbers import (
    METRICS,
    POINTS,
    at_least,
    digits_of,
    images,
    images_tested,
    in_points,
    listed,
    points,
)
from studies.report.outlook import FEWEST_SIZES, TWICE, Outlook, best_of

_MANY = 6  # arms that a sentence can name
LEARN = "try more images, another learning rate or longer training"


def headline(answer: Answer) -> tuple[str, ...]:
    """Who is ahead, what twice the images buy, what to do next: three sentences.

    A study without results has one.
    """
    if not answer.outlooks:
        return (f"No trial has finished yet (0 of {answer.planned}): there is nothing to report.",)
    first = standing(answer.duels[0], answer) if answer.duels else _alone(answer)
    return first, twice_the_images(answer), next_step(answer)


def standing(duel: Duel, answer: Answer) -> str:
    """Who of two models is ahead at the sizes measured, and by how much."""
    verdict = duel.verdict
    if verdict is None:
        return (
            f"{duel.a} and {duel.b} have no number of training images in common yet, so that "
            f"nothing can be compared."
        )
    at = f"at {verdict.size:,} training images"
    if duel.cause == "barred":
        why = listed([_barred(answer, model, verdict.size) for model in verdict.barred])
        return f"There is no verdict on {duel.a} and {duel.b} {at}: {why}."
    of = METRICS.get(answer.metric, answer.metric)
    difference = verdict.difference
    digits = digits_of(difference.mean, difference.low, difference.high)
    by = f"{in_points(abs(difference.mean), digits)} points"
    if duel.leader is not None:
        other = duel.b if duel.leader == duel.a else duel.a
        interval = points(*_positive(difference), difference.level)
        return (
            f"{duel.leader} is ahead of {other} {at}, by {by} of {of} ({interval})"
            f"{_elsewhere(duel)}."
        )
    text = f"{duel.a} and {duel.b} cannot be told apart {at}"
    if duel.cause == "one seed":
        return (
            f"{text}: they are {by} of {of} apart, and with one seed nobody knows how much of that is "
            f"chance."
        )
    if duel.cause == "no interval":
        return f"{text}: they are {by} of {of} apart, and there is no interval to judge that by."
    interval = points(difference.low, difference.high, difference.level)
    less = "; it is less than a point in any case" if duel.as_good else ""
    mean = in_points(difference.mean, digits)
    return (
        f"{text}: the difference {duel.a} - {duel.b} in {of} is {mean} points ({interval}){less}"
        f"{_elsewhere(duel)}."
    )


def twice_the_images(answer: Answer) -> str:
    """What twice the images would buy each model."""
    outlooks = list(answer.outlooks.values())
    if len(outlooks) > _MANY:  # more would be no sentence
        duel = answer.duels[0] if answer.duels else None
        named = (duel.a, duel.b) if duel else (best_of(answer.outlooks),)
        outlooks = [answer.outlooks[name] for name in named]
    forecast = [o for o in outlooks if o.gain is not None]
    parts = []
    if forecast:
        ends = {o.model: f"{int(TWICE * o.size):,}" for o in forecast}
        one = len(set(ends.values())) == 1
        level = f"{100 * answer.level:g} % interval "
        told = [
            _bought(o, "" if one else f" ({ends[o.model]})", "" if i else level)
            for i, o in enumerate(forecast)
        ]
        many = f" ({ends[forecast[0].model]})" if one else ""
        parts.append(f"by forecast, twice the images{many} would buy {listed(told)}")
    reasons: dict[str, list[str]] = {}  # models that share one, together
    for outlook in outlooks:
        if outlook.gain is None:
            reasons.setdefault(_no_forecast(outlook), []).append(outlook.model)
    parts += [f"nothing is forecast for {listed(names)} {why}" for why, names in reasons.items()]
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def next_step(answer: Answer) -> str:
    """What to do next."""
    advice = answer.advice
    models = listed(advice.models)
    if advice.kind == "longer":
        return (
            f"Next, train {models} with twice the steps ({advice.steps:,}): more images or seeds "
            f"would not make up for training that is too short{for_blind(advice.blind)}."
        )
    if advice.kind == "learn":
        return f"Next, {LEARN} for {models}, which {LEARNED_NOTHING}."
    if advice.kind == "common size":
        return f"Next, train {models} with the same number of images."
    if advice.kind == "seeds":
        return f"Next, run more seeds ({advice.seeds} in all): that would show how far chance goes."
    if advice.kind == "either":
        return "Next, choose by cost: at this number of images either model will do."
    if advice.kind == "tell":
        found = advice.need is not None and (advice.need.seeds or advice.need.images)
        how = "settle it by seeds or test images" if found else "compare the two at more images"
        return f"Next, {how}: at {_at(answer)} {_what_would_tell(advice)}."
    if advice.kind == "add size":
        more = "" if advice.there else ", for which images must be collected"
        return (
            f"Next, add a size of {advice.size:,} training images{more}: the curve will then show "
            f"more of what further images are worth."
        )
    if advice.kind == "images":
        there = f" (the {advice.size:,} are in the data set)" if advice.there else ""
        many = f"twice as many images{there}"
        text = f"train {models} on {many}" if there else f"collect {many} for {models}"
        need = f"; at {_at(answer)} {_what_would_tell(advice)}" if advice.need else ""
        return f"Next, {text}{need}."
    if advice.kind == "switch":
        return (
            f"Next, take {advice.models[0]} for as many images as these, but try {advice.models[1]} "
            f"again with more: the fitted laws cross at about {images(advice.size)}."
        )
    if advice.kind == "enough":
        gain = answer.outlooks[advice.models[0]].gain
        assert gain is not None
        return (
            f"Next, take {models} as it is: by forecast twice the images would buy it about "
            f"{POINTS * gain.drop:.1f} points, though up to {POINTS * gain.high:.1f} are possible."
        )
    return f"Next, take {models} as it is: twice the images would buy it less than a point."


def notes(answer: Answer) -> list[str]:
    """What must be known of the headline."""
    found = []
    if answer.outlooks and answer.done < answer.planned:
        found.append(f"Preliminary: {answer.done} of {answer.planned} trials are finished.")
    if answer.outlooks and answer.one_draw:
        found.append(
            "Records of schema 1: one draw, test set not in the interval. A new run gives intervals "
            "that hold both."
        )
    if answer.lost:
        text = (
            f"The outcomes of {answer.lost} trial{'' if answer.lost == 1 else 's'} are missing or "
            f"damaged: where they are, intervals "
            f"come from the accuracies, over seeds alone, with the test set not in them."
        )
        if not answer.commonest and answer.metric == BALANCED:
            text += (
                " None are left to show how even the test classes are: balanced accuracy leads, as it "
                "is not the same as top-1."
            )
        found.append(text)
    return found


def crossing_sentence(duel: Duel) -> str:
    """Where the lead changes, measured or forecast; that it was not seen to, otherwise."""
    if duel.verdict is None or not duel.leaders:
        return f"{duel.a} and {duel.b} share no size."
    if duel.leader is None:
        why = "since nobody is known to be ahead at the largest size"
        return f"{duel.a} and {duel.b}: no crossing is told, {why}."
    other = duel.b if duel.leader == duel.a else duel.a
    if duel.overtaking:
        return f"{duel.leader} overtakes {other} {_where(duel.overtaking)}."
    measured = "there is no crossing in the measured sizes"
    if None in duel.leaders.values():
        measured = "whether the two cross in the measured sizes cannot be told"
    text = f"{duel.leader} is nowhere seen behind {other}: {measured}"
    found = duel.forecast
    if found is not None:
        return (
            f"{text}. The fitted laws forecast that {other} overtakes {duel.leader} {_where(found)}, "
            f"an extrapolation."
        )
    return f"{text}."


def span(crossing: Crossing) -> str:
    """A crossing's interval in words; it must not be open on both sides."""
    assert not is_open(crossing)
    name = f"{100 * crossing.level:g} % interval"
    low, high = crossing.low, crossing.high
    if low is None or low == 0:
        return f"{name} open below, up to {images(high or 0.0)}"
    if high is None or math.isinf(high):
        return f"{name} from {images(low)}, open above"
    return f"{name} {images(low)} to {images(high)}"


def for_blind(models: Sequence[str]) -> str:
    """What to do about models that learned nothing, after what else there is to do; "" without any."""
    return f"; for {listed(models)}, which {LEARNED_NOTHING}, {LEARN}" if models else ""


def baseline_name(answer: Answer) -> str:
    """What reaches the baseline."""
    return "always the commonest class" if answer.commonest else "guessing"


def _alone(answer: Answer) -> str:
    """The best model where no two are compared, which may be the only one."""
    outlook = answer.outlooks[best_of(answer.outlooks)]
    several = len(answer.outlooks)
    if outlook.barred and several > 1:
        first = list(answer.outlooks.values())[:_MANY]
        why = listed([_barred(answer, each.model, each.size) for each in first])
        return f"There is no verdict on any of the {several} models: {why}."
    if outlook.barred:
        text = f"There is no verdict on {outlook.model}: "
        return f"{text}{_barred(answer, outlook.model, outlook.size)}."
    of = METRICS.get(answer.metric, answer.metric)
    estimate = outlook.accuracy
    ends = f"{POINTS * estimate.low:.1f} to {POINTS * estimate.high:.1f}"
    interval = "" if math.isnan(estimate.low) else f" ({100 * answer.level:g} % interval {ends})"
    told = f"{POINTS * estimate.mean:.1f} %{interval} at {outlook.size:,} training images"
    if several > 1:
        seeds = ", from one seed" if estimate.seeds < 2 else ""
        return (
            f"None of the {several} models is compared with another: the highest {of} is that of "
            f"{outlook.model}, {told}{seeds}."
        )
    return (
        f"{outlook.model} has a {of} of {told}, and nothing to be compared with: it is the only model "
        f"with results."
    )


def _barred(answer: Answer, model: str, size: int) -> str:
    """Why nothing is said about a model."""
    outlook = answer.outlooks[model]
    verdicts = [duel.verdicts[size] for duel in answer.duels if size in duel.verdicts]
    found = [verdict.barred[model] for verdict in verdicts if model in verdict.barred]
    reasons = found[0] if found else outlook.barred
    here = outlook.size == size
    texts = []
    if LEARNED_NOTHING in reasons:
        text = f"{model} learned nothing"
        if here:
            low = outlook.accuracy.low
            interval = f"{100 * answer.level:g} % interval from {POINTS * low:.1f} %"
            interval = "" if math.isnan(low) else f" ({interval})"
            naming = "naming the commonest class always" if answer.commonest else "guessing"
            text += (
                f", as its {POINTS * outlook.accuracy.mean:.1f} %{interval} is not above the "
                f"{POINTS * answer.baseline:.1f} % of {naming}"
            )
        texts.append(text)
    if UNDERTRAINED in reasons:
        why = f", as it {outlook.reason}" if here and outlook.reason else ""
        texts.append(f"{model if not texts else 'it'} is undertrained{why}")
    return listed(texts)


def _elsewhere(duel: Duel) -> str:
    """What the smaller sizes say."""
    smaller = list(duel.leaders.items())[:-1]
    if not smaller:
        return ""
    leader = duel.leader
    if duel.overtaking is not None:
        return f", having overtaken it {_where(duel.overtaking)}"
    same = [size for size, name in smaller if name == leader]
    if leader is not None:
        if len(same) == len(smaller):
            return ", as at every smaller size"
        where = f"{len(same)} of the {len(smaller)} smaller sizes"
        return f", as at {where}" if same else ", but not seen to be at a smaller size"
    ahead: dict[str, list[int]] = {}
    for size, name in smaller:
        if name is not None:
            ahead.setdefault(name, []).append(size)
    told = [f"{name} was ahead at {listed([f'{s:,}' for s in at])}" for name, at in ahead.items()]
    return f", though {listed(told)}" if told else ""


def _where(found: Crossing) -> str:
    """A crossing's place."""
    assert found.size is not None
    return f"at about {images(found.size)} training images ({span(found)})"


def _bought(outlook: Outlook, size: str, level: str) -> str:
    gain = outlook.gain
    assert gain is not None
    interval = f"{POINTS * gain.low:.1f} to {POINTS * gain.high:.1f}"
    return f"{outlook.model}{size} {POINTS * gain.drop:.1f} points ({level}{interval})"


def _no_forecast(outlook: Outlook) -> str:
    """Why there is no forecast, as it follows the names of the models."""
    if outlook.barred:
        return f"({listed(outlook.barred)})"
    if outlook.sizes == 1:
        why = "one size shows no trend"
    elif outlook.sizes < FEWEST_SIZES:
        why = f"{outlook.sizes} sizes carry no law"
    else:
        why = "the error does not fall clearly"
    return f"({why}; the size to add is {outlook.add:,})"


def states(barred: Sequence[str]) -> str:
    """What is wrong with a model, after its name."""
    return listed([f"is {reason}" if reason == UNDERTRAINED else reason for reason in barred])


def _at(answer: Answer) -> str:
    """The size of the main verdict."""
    verdict = answer.duels[0].verdict
    assert verdict is not None
    return f"{verdict.size:,} training images"


def _what_would_tell(advice: Advice) -> str:
    """What would tell two models apart; the end of a sentence."""
    need = advice.need
    assert need is not None
    target = f"a difference of {in_points(need.target, digits_of(need.target))} points"
    ways = []
    if need.seeds is not None:
        ways.append(f"{need.seeds} seeds")
    if need.images is not None:
        ways.append(images_tested(at_least(need.images), need.groups and at_least(need.groups)))
    if ways:
        return f"about {' or '.join(ways)} would show {target}"
    return f"neither a larger test set nor {MOST_SEEDS} seeds would show {target}"


def _positive(difference: Estimate) -> tuple[float, float]:
    """The interval of the leader's lead."""
    if difference.mean < 0:
        return -difference.high, -difference.low
    return difference.low, difference.high
