"""A report's short form for a terminal of 60 columns."""

from __future__ import annotations

import math

from studies.records.frames import Results
from studies.report.evidence import Evidence
from studies.report.headline import opening, remarks
from studies.report.numbers import METRICS, POINTS, percent
from studies.report.tables import plain_table, wrapped
from studies.report.words import baseline_name

_LETTERS = 30  # of a model's name


def table_text(results: Results, evidence: Evidence) -> str:
    """The answer and the accuracies."""
    findings = evidence.findings
    lines = [line for sentence in opening(evidence.answer) for line in wrapped(sentence)]
    lines += [line for note in remarks(evidence.answer) for line in wrapped(f"({note})")]
    if not findings.estimates:
        return "\n".join(lines)
    of = METRICS[findings.metric]
    title = f"{of} in %, mean over seeds ({100 * findings.level:g} % interval)"
    lines += ["", *wrapped(title), *plain_table(_by_size(evidence))]
    lines += ["", "at the largest size, in %:", *plain_table(_at_the_end(evidence))]
    if findings.barred:
        reasons = sorted({why for reasons in findings.barred.values() for why in reasons})
        lines += wrapped(f"* {' or '.join(reasons)}: nothing is concluded from it")
    return "\n".join(lines)


def _by_size(evidence: Evidence) -> list[list[str]]:
    findings = evidence.findings
    models = list(evidence.answer.outlooks)
    rows = [["images", *(_short(model) for model in models)]]
    for size in sorted({size for _, size in findings.estimates}):
        row = [f"{size:,}"]
        for model in models:
            estimate = findings.estimates.get((model, size))
            mark = "*" if findings.barred.get((model, size)) else ""
            row.append(f"{mark}{percent(estimate)}" if estimate else "-")
        rows.append(row)
    return rows


def _at_the_end(evidence: Evidence) -> list[list[str]]:
    """Each model's numbers beside each other, and what always naming the commonest class reaches."""
    findings, answer = evidence.findings, evidence.answer
    metrics = sorted(evidence.accuracies, key=lambda metric: metric != findings.metric)
    rows = [["", *("top-1" if m == "test_top1" else "balanced" for m in metrics)]]
    if evidence.calibration:
        rows[0].append("calibration error")
    for model, outlook in answer.outlooks.items():
        key = (model, outlook.size)
        row = [_short(model) + ("*" if outlook.barred else "")]
        for metric in metrics:
            estimate = evidence.accuracies[metric].get(key)
            row.append(f"{POINTS * estimate.mean:.1f}" if estimate else "-")
        if evidence.calibration:
            error = evidence.calibration.get(key)
            row.append("-" if error is None else f"{POINTS * error:.1f}")
        rows.append(row)
    known = [evidence.baselines.get(metric, math.nan) for metric in metrics]
    cells = ["-" if math.isnan(value) else f"{POINTS * value:.1f}" for value in known]
    name = "commonest class" if answer.commonest else baseline_name(answer)
    rows.append([name, *cells, *[""] * bool(evidence.calibration)])
    return rows


def _short(name: str) -> str:
    return name if len(name) <= _LETTERS else name[: _LETTERS - 1] + "…"
