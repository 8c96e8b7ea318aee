"""A study's report as Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping

from studies.records.frames import Results
from studies.report.compute import compute_text
from studies.report.effects import effects_text
from studies.report.evaluations import evaluations_text
from studies.report.evidence import Evidence
from studies.report.figures import CAPTIONS
from studies.report.headline import opening, remarks
from studies.report.held import intervals_text
from studies.report.markup import Marked, code, plain
from studies.report.measured_words import measured_text
from studies.report.numbers import METRICS, POINTS, percent, points
from studies.report.provenance import (
    backends,
    how_it_was_made,
    kept_models,
    state,
    what_was_trained,
)
from studies.report.tables import markdown_table
from studies.report.words import baseline_name, crossing_sentence, standing, states

_MOST_SUSPECTS, _MOST_CLASSES = 20, 20
_FIRST = ("accuracy", "compute", "effects", "differences")  # figures that stand beside the answer


def markdown(results: Results, evidence: Evidence, figures: Mapping[str, str]) -> str:
    """The report.

    Args:
        results: the folder's content.
        evidence: what they show.
        figures: paths relative to the report, by name.
    """
    study = results.study
    parts = [f"# {plain(study.name)} on {plain(study.data_title)}", _answer(results, evidence)]
    first = ("evaluations", *_FIRST) if evidence.answer.measured else _FIRST
    parts += [_image(name, figures) for name in first if name in figures]
    if evidence.findings.estimates:
        parts += [measured_text(evidence.answer)]
        parts += [_accuracies(results, evidence), _differences(evidence), _laws(evidence)]
        answer = evidence.answer
        parts += [compute_text(answer, answer.compute) if answer.compute else ""]
        parts += [effects_text(answer)]
        level = evidence.findings.level
        parts += [evaluations_text(results, evidence.evaluations, level)]
        if "evaluations" in figures and "evaluations" not in first:
            parts += [_image("evaluations", figures)]
        parts += [_crossings(evidence), _classes(evidence, figures), _suspects(evidence)]
    parts += [what_was_trained(results, evidence), state(results), backends(results)]
    parts += [intervals_text(results, evidence), kept_models(results)]
    others = [
        _image(name, figures)
        for name in figures
        if name not in (*_FIRST, "confusion", "evaluations")
    ]
    if others:
        parts.append("## More figures\n\n" + "\n\n".join(others))
    parts.append(how_it_was_made(results))
    return "\n\n".join(part for part in parts if part) + "\n"


def _answer(results: Results, evidence: Evidence) -> str:
    """The question, the three sentences, what must be known of them, the other pairs."""
    first, *others = map(plain, opening(evidence.answer))
    lines = [f"**{plain(results.study.question)}**" if results.study.question else ""]
    lines.append(" ".join([f"**{first}**", *others]))
    told = remarks(evidence.answer)
    lines.append("\n".join(f"- {plain(note)}" for note in told))
    pairs = [standing(duel, evidence.answer) for duel in evidence.answer.duels[1:]]
    if pairs and not evidence.answer.about_effects:
        lines.append("The other pairs:\n\n" + "\n".join(f"- {plain(pair)}" for pair in pairs))
    return "\n\n".join(line for line in lines if line)


def _accuracies(results: Results, evidence: Evidence) -> str:
    findings = evidence.findings
    metrics = sorted(evidence.accuracies, key=lambda metric: metric != findings.metric)
    header = ["images", "model", *(METRICS[metric] for metric in metrics)]
    if evidence.calibration:
        header.append("calibration error")
    known = [m for m in metrics if not math.isnan(evidence.baselines.get(m, math.nan))]
    rows = [header]
    if known:
        cells = [f"{POINTS * evidence.baselines[m]:.1f}" if m in known else "-" for m in metrics]
        unknown = ["-"] * bool(evidence.calibration)
        rows.append(["any", Marked(f"*{baseline_name(evidence.answer)}*"), *cells, *unknown])
    order = {model: place for place, model in enumerate(evidence.answer.outlooks)}
    most = max(estimate.seeds for estimate in findings.estimates.values())
    marked = False
    for model, size in sorted(findings.estimates, key=lambda key: (key[1], order[key[0]])):
        row = [f"{size:,}", model]
        for metric in metrics:
            estimate = evidence.accuracies[metric].get((model, size))
            row.append(percent(estimate) if estimate else "-")
        seeds = findings.estimates[model, size].seeds
        if seeds < most or most == 1:
            row[2] += f", {seeds} seed{'' if seeds == 1 else 's'}"
        barred = findings.barred.get((model, size), ())
        if barred:
            row[1] += f" ({', '.join(barred)})"
            marked = True
        if evidence.calibration:
            error = evidence.calibration.get((model, size))
            row.append("-" if error is None else f"{POINTS * error:.1f}")
        rows.append(row)
    used = f" on {findings.backend}" if len(results.study.backends) > 1 else ""
    text = (
        f"## Accuracy\n\nIn %{used}, mean over seeds with {100 * findings.level:g} % interval; "
        f"all metrics are in [summary.csv](summary.csv)."
    )
    if evidence.calibration:
        text += (
            " The calibration error is the expected difference between a model's confidence and its "
            "accuracy, in points."
        )
    if marked:
        text += (
            " Nothing is concluded about a model that learned nothing (its interval is not above the "
            "first row) or is undertrained."
        )
    return f"{text}\n\n{markdown_table(rows)}"


def _differences(evidence: Evidence) -> str:
    tables = []
    findings = evidence.findings
    if evidence.answer.about_effects:
        return ""  # these are the effects
    for duel, pair in zip(evidence.answer.duels, findings.pairs, strict=True):
        if not len(pair.differences):
            continue
        rows = [["images", f"{pair.a} - {pair.b}", "interval", "seeds", "ahead"]]
        for _, row in pair.differences.iterrows():
            size = int(row["size"])
            verdict = duel.verdicts[size]
            barred = [f"{m} {' and '.join(why)}" for m, why in verdict.barred.items()]
            leader = duel.leaders[size]
            told = f"no verdict: {', '.join(barred)}" if barred else leader or "not told apart"
            rows.append(
                [
                    f"{size:,}",
                    f"{POINTS * row['mean']:+.1f}",
                    points(row["low"], row["high"], findings.level),
                    f"{int(row['n'])}, {'paired' if row['paired'] else 'not paired'}",
                    told,
                ]
            )
        tables.append(markdown_table(rows))
    if not tables:
        return ""
    of = METRICS.get(findings.metric, findings.metric)
    return f"## Differences by size\n\nIn points of {of}.\n\n" + "\n\n".join(tables)


def _laws(evidence: Evidence) -> str:
    answer, findings = evidence.answer, evidence.findings
    lines = ["## What more images would buy", ""]
    laws, level = answer.laws, findings.level
    if laws:
        rows = [
            ["model", "images", "fitted now", "twice the images", "gain (points)"]
            + ["one training then"]
        ]
        for model, law in laws.items():
            outlook = answer.outlooks[model]
            size, gain = outlook.size, outlook.gain
            assert gain is not None
            cells = [_accuracy(law, law.mean_interval, n, level) for n in (size, 2 * size)]
            low, high = POINTS * gain.low, POINTS * gain.high
            bought = f"{POINTS * gain.drop:+.1f} ({low:+.1f} to {high:+.1f})"
            then = _accuracy(law, law.interval, 2 * size, level, bare=True)
            rows.append([model, f"{size:,}", *cells, bought, then])
        lines += [
            f"In %, with {100 * level:g} % intervals, from the fitted laws; all but the fit itself is "
            f"an extrapolation. The last column is where one new training would lie, test set and "
            f"seed included.",
            "",
            markdown_table(rows),
            "",
            "The laws (x: training images), and how far they miss the measured mean errors:",
            "",
        ]
        lines += [
            f"- {plain(model)}: {code(law.summary())}, root mean square miss {100 * law.residual:.1f} %."
            for model, law in laws.items()
        ]
        lines += [
            f"- {plain(model)}: {plain(note)}." for model, law in laws.items() for note in law.notes
        ]
    reasons: dict[str, list[str]] = {}  # arms that share one, together
    for model, outlook in answer.outlooks.items():
        if outlook.barred:
            why = f"no forecast, since it {states(outlook.barred)}"
            reasons.setdefault(why, []).append(model)
        elif model in findings.without_law:
            why = f"no law. {findings.without_law[model].rstrip('.')}"
            reasons.setdefault(why, []).append(model)
    lines += [f"- {plain(', '.join(names))}: {plain(why)}." for why, names in reasons.items()]
    return "\n".join(lines) if len(lines) > 2 else ""


def _accuracy(law, interval, size: float, level: float, bare: bool = False) -> str:  # type: ignore[no-untyped-def]
    low, high = (float(end[0]) for end in interval([size], level))
    ends = "" if math.isnan(low) else f"{POINTS * (1 - high):.1f} to {POINTS * (1 - low):.1f}"
    if bare:
        return ends or "-"
    mean = f"{POINTS * (1 - float(law.predict([size])[0])):.1f}"
    return f"{mean} ({ends})" if ends else mean


def _crossings(evidence: Evidence) -> str:
    sizes = {size for _, size in evidence.findings.estimates}
    if not evidence.answer.duels or evidence.answer.about_effects or len(sizes) < 2:
        return ""
    lines = [f"- {plain(crossing_sentence(duel))}" for duel in evidence.answer.duels]
    return (
        "## Crossing\n\nA crossing is told where both models were seen ahead, at different sizes; one "
        "beyond the measured sizes is a forecast.\n\n" + "\n".join(lines)
    )


def _classes(evidence: Evidence, figures: Mapping[str, str]) -> str:
    """Recalls, worst class first, and the confusion matrix."""
    if not evidence.classes:
        return ""
    rows = [["class", "test images"] + [each.model for each in evidence.classes]]
    images = evidence.classes[0].images
    first = evidence.classes[0]
    order = sorted(
        (k for k, recall in enumerate(first.recalls) if recall is not None),
        key=lambda k: (first.recalls[k].mean, k),  # type: ignore[union-attr]
    )
    for k in order[:_MOST_CLASSES]:
        cells = [percent(r) if (r := each.recalls[k]) else "-" for each in evidence.classes]
        rows.append([evidence.class_names[k], f"{images[k]:,.0f}", *cells])
    text = (
        "## Class by class\n\nRecall in % (share of a class's test images that is recognised) of the "
        "best model of each family, at its largest size"
    )
    if len(order) > _MOST_CLASSES:
        text += f"; the {_MOST_CLASSES} worst of {len(order)} classes, all are in [classes.csv](classes.csv)"
    without = sum(recall is None for recall in first.recalls)
    missing = f" {without} class(es) have no test image." if without else ""
    parts = [f"{text}.{missing}", markdown_table(rows), _often_confused(evidence)]
    if "confusion" in figures:
        parts.append(_image("confusion", figures))
    return "\n\n".join(part for part in parts if part)


def _often_confused(evidence: Evidence) -> str:
    """The commonest mistake of each model."""
    lines = []
    for each in evidence.classes:
        mistakes = each.counts.copy()
        mistakes[range(len(mistakes)), range(len(mistakes))] = 0
        if not mistakes.any():
            continue
        label, predicted = divmod(int(mistakes.argmax()), len(mistakes))
        share = POINTS * mistakes[label, predicted] / each.counts[label].sum()
        names = [plain(name) for name in evidence.class_names]
        lines.append(
            f"- {plain(each.model)} most often takes {names[label]} for {names[predicted]}: "
            f"{share:.1f} % of {names[label]}."
        )
    return "\n".join(lines)


def _suspects(evidence: Evidence) -> str:
    table = evidence.suspects
    if not len(table):
        return ""
    rows = [["image", "label", "probably", "contradicted by"]]
    for row in table.head(_MOST_SUSPECTS).itertuples():
        trials = f"{row.contradicted} of {row.trials} trials"
        rows.append([str(row.image), str(row.label), str(row.suggested), trials])
    more = ""
    if len(table) > _MOST_SUSPECTS:
        more = (
            f" The first {_MOST_SUSPECTS} of {len(table)}; all are in [suspects.csv](suspects.csv)."
        )
    return (
        "## Suspect labels\n\nTest images whose label most trials of the best models contradict with "
        f"confidence: look at these before collecting new ones.{more}\n\n" + markdown_table(rows)
    )


def _image(name: str, figures: Mapping[str, str]) -> str:
    return f"![{CAPTIONS[name]}]({figures[name]})"
