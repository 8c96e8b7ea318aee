"""A study's report as Markdown, and its short form for a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from studies.analysis.findings import Findings
from studies.records.frames import Results
from studies.report.words import POINTS, answer, crossing_cell, points
from studies.running.estimate import duration

_CAPTIONS = {
    "accuracy": "Test accuracy against the number of training images",
    "laws": "Test error and the fitted laws",
    "fewshot": "Few-shot linear accuracy of the representation",
    "training": "Validation accuracy during training, at the smallest and the largest size",
    "backends": "The same trials on several backends",
}


def markdown(results: Results, findings: Findings, figures: Mapping[str, str]) -> str:
    """The report.

    Args:
        results: the folder's content.
        findings: test accuracy analysed.
        figures: paths relative to the report, by name.
    """
    study = results.study
    parts = [f"# {study.name} on {study.dataset}", _answers(results, findings)]
    if "accuracy" in figures:
        parts.append(_image("accuracy", figures))
    parts += [_setting(results, findings), _progress(results)]
    if len(findings.means):
        parts += [_accuracies(results, findings), _differences(findings), _laws(findings)]
        parts.append(_crossings(findings))
    parts += [_backends(results), _intervals(results, findings)]
    others = [_image(name, figures) for name in figures if name != "accuracy"]
    if others:
        parts.append("## More figures\n\n" + "\n\n".join(others))
    parts.append(_made(results))
    return "\n\n".join(part for part in parts if part) + "\n"


def table_text(results: Results, findings: Findings) -> str:
    """The answer and the accuracies, for a terminal."""
    lines = [_plain_answer(results, findings)]
    if len(findings.means):
        header, *rows = _accuracy_rows(results, findings)
        widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
        lines += ["", f"test accuracy in %, mean over seeds ({100 * findings.level:g} % interval)"]
        lines += [
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            for row in (header, *rows)
        ]
    return "\n".join(lines)


def _answers(results: Results, findings: Findings) -> str:
    main, *others = _plain_answer(results, findings).split("\n")
    lines = [f"**{results.study.question}**" if results.study.question else "", f"**{main}**"]
    if others:
        lines.append("\n".join(f"- {other}" for other in others))
    return "\n\n".join(line for line in lines if line)


def _plain_answer(results: Results, findings: Findings) -> str:
    """One line a pair, the main pair first."""
    if not len(findings.means):
        return f"No trial has finished yet (0 of {results.planned}): there is nothing to report."
    if not findings.pairs:
        return "There is only one model with results so far: nothing can be compared."
    lines = [answer(pair, findings) for pair in findings.pairs]
    if len(results.done) < results.planned:
        lines[0] += f" Preliminary: {len(results.done)} of {results.planned} trials are finished."
    return "\n".join(lines)


def _setting(results: Results, findings: Findings) -> str:
    study, data, recipe = results.study, results.study.data, results.study.recipe
    lines = ["## What was trained", ""]
    lines.append(
        f"- Data: {study.dataset}, images {results.shape_text} (height x width x channels)"
    )
    if data:
        counts = ", ".join(f"{count:,} {split}" for split, count in data.counts.items())
        lines[-1] += f", {data.num_classes} classes; {counts or 'splits unknown'}."
        lines.append(f"- Fingerprint of the pixels: `{data.fingerprint}`.")
    sizes = ", ".join(f"{size:,}" for size in study.sizes)
    lines.append(
        f"- Training images: {sizes}; nested, stratified subsets, the same for all models; "
        f"{study.seeds} seed{'s' if study.seeds > 1 else ''}; {', '.join(study.backends)}."
    )
    lines.append(
        f"- Recipe, the same for every size: {recipe.steps:,} steps of batches of "
        f"{recipe.batch_size}, Adam (learning rate {recipe.learning_rate:g}, decoupled weight decay "
        f"{recipe.weight_decay:g} x learning rate), {100 * recipe.warmup_fraction:g} % linear "
        f"warmup, {recipe.schedule} decay, gradients clipped at {recipe.clip_norm:g}, label "
        f"smoothing {recipe.label_smoothing:g}, augmentation {recipe.augmentation}, "
        f"{recipe.dtype}; best of {recipe.validations} validations kept."
    )
    rows = [["model", "base", "changed", "MFLOPs an image", "parameters", "own recipe"]]
    for name, entry in study.models.items():
        own = {"learning rate": entry.learning_rate, "weight decay": entry.weight_decay}
        rows.append(
            [
                name,
                entry.base,
                ", ".join(f"{key}={value}" for key, value in entry.overrides.items()) or "-",
                _scaled(results.flops[name], 1e6, ".1f"),
                _scaled(results.params[name], 1, ",.0f"),
                ", ".join(f"{key} {value:g}" for key, value in own.items() if value) or "-",
            ]
        )
    lines += ["", _markdown_table(rows), ""]
    lines += [f"- {_matched(results, pair.a, pair.b)}" for pair in findings.pairs]
    return "\n".join(lines).rstrip()


def _matched(results: Results, a: str, b: str) -> str:
    texts = []
    for word, values in (("forward FLOPs", results.flops), ("parameters", results.params)):
        one, two = values[a], values[b]
        if not one or not two:
            return f"{a} and {b}: sizes not known yet."
        texts.append(f"{one / two:.2f} times the {word}")
        if word == "forward FLOPs":
            off = max(one / two, two / one) > 1.1
    verdict = (
        "**not matched in FLOPs**: keep that in mind when comparing"
        if off
        else "matched in FLOPs to within 10 %"
    )
    return f"{a} has {texts[0]} and {texts[1]} of {b}: {verdict}."


def _progress(results: Results) -> str:
    lines = []
    left = results.planned - len(results.done) - len(results.failed)
    if left or results.failed or results.problems or results.foreign:
        lines += [
            "## State",
            "",
            f"{len(results.done)} of {results.planned} trials finished, {len(results.failed)} "
            f"failed, {left} to come.",
        ]
    if results.failed:
        lines += ["", "Failed trials are in none of the numbers below:", ""]
    for r in results.failed:
        reason = " ".join(str(r.get("reason") or "no reason recorded").split())
        lines.append(
            f"- {r['model']}, size {r['size']:,}, seed {r['seed']}, {r['backend']}: {reason}"
        )
    notes = [problem.rsplit("/", 1)[-1] for problem in results.problems]
    if results.foreign:
        notes.append(
            f"{results.foreign} record(s) belong to no trial of the study as it is now and are "
            f"left out"
        )
    if notes:
        lines += ["", *(f"- Note: {note}." for note in notes)]
    return "\n".join(lines)


def _accuracies(results: Results, findings: Findings) -> str:
    rows = _accuracy_rows(results, findings)
    used = f" on {findings.backend}" if len(results.study.backends) > 1 else ""
    return (
        f"## Test accuracy\n\nIn %{used}: mean over seeds ({100 * findings.level:g} % t interval). "
        f"All metrics are in [summary.csv](summary.csv).\n\n" + _markdown_table(rows)
    )


def _accuracy_rows(results: Results, findings: Findings) -> list[list[str]]:
    models = [m for m in results.study.models if m in set(findings.means["model"])]
    rows = [["images", *models]]
    table = findings.means.set_index(["model", "size"])
    most = int(findings.means["n"].max())
    for size in sorted(set(findings.means["size"])):
        row = [f"{size:,}"]
        for model in models:
            if (model, size) not in table.index:
                row.append("-")
                continue
            e = table.loc[(model, size)]
            cell = f"{POINTS * e['mean']:.1f}"
            if not math.isnan(e["low"]):
                cell += f" ({POINTS * e['low']:.1f} to {POINTS * e['high']:.1f})"
            if int(e["n"]) < most or most == 1:
                cell += f", {int(e['n'])} seed{'s' if e['n'] > 1 else ''}"
            row.append(cell)
        rows.append(row)
    return rows


def _differences(findings: Findings) -> str:
    pairs = [pair for pair in findings.pairs if len(pair.differences)]
    if not pairs:
        return ""
    tables = []
    for pair in pairs:
        rows = [["images", f"{pair.a} - {pair.b}", "interval", "seeds"]]
        for _, row in pair.differences.iterrows():
            how = "paired" if row["paired"] else "not paired"
            rows.append(
                [
                    f"{int(row['size']):,}",
                    f"{POINTS * row['mean']:+.1f}",
                    points(row["low"], row["high"], findings.level),
                    f"{int(row['n'])}, {how}",
                ]
            )
        tables.append(_markdown_table(rows))
    return "## Differences by size\n\nIn points of test accuracy.\n\n" + "\n\n".join(tables)


def _laws(findings: Findings) -> str:
    if not findings.laws and not findings.without_law:
        return ""
    lines = ["## Scaling laws", ""]
    if findings.laws:
        largest = max(float(law.curve.sizes[-1]) for law in findings.laws.values())
        rows = [
            ["model", "law (x: images)", "form", "rms miss", f"accuracy at {largest:,.0f}"]
            + [f"forecast at {2 * largest:,.0f}"]
        ]
        for model, law in findings.laws.items():
            cells = [_accuracy_of(law, x, findings.level) for x in (largest, 2 * largest)]
            rows.append(
                [model, f"`{law.summary()}`", law.form, f"{100 * law.residual:.1f} %", *cells]
            )
        lines += [
            f"Fitted in log error; in brackets {100 * findings.level:g} % intervals. The forecast is "
            "an extrapolation. The miss is that of the mean errors, relative.",
            "",
            _markdown_table(rows),
            "",
        ]
        lines += [f"- {model}: {law.reason}." for model, law in findings.laws.items()]
        lines += [f"- {m}: {note}." for m, law in findings.laws.items() for note in law.notes]
    lines += [f"- {m}: no law. {why.rstrip('.')}." for m, why in findings.without_law.items()]
    return "\n".join(lines)


def _accuracy_of(law, size: float, level: float) -> str:  # type: ignore[no-untyped-def]
    low, high = (float(end[0]) for end in law.interval([size], level))
    text = f"{POINTS * (1 - float(law.predict([size])[0])):.1f} %"
    return (
        text
        if math.isnan(low)
        else f"{text} ({POINTS * (1 - high):.1f} to {POINTS * (1 - low):.1f})"
    )


def _crossings(findings: Findings) -> str:
    if not findings.pairs:
        return ""
    rows = [["pair", "measured means cross at", "fitted laws cross at"]]
    rows += [
        [f"{p.a}, {p.b}", crossing_cell(p.measured), crossing_cell(p.laws)] for p in findings.pairs
    ]
    return (
        "## Crossing\n\nIn training images. The means' crossing lies between measured points and "
        "needs no law; the laws use all sizes at once and can forecast. A crossing outside the "
        "measured sizes is an extrapolation and says so. An interval is open where the data do not "
        "exclude that one model leads all the way.\n\n" + _markdown_table(rows)
    )


def _backends(results: Results) -> str:
    shared = results.on_several_backends()
    if not shared:
        return ""
    names = [b for b in results.study.backends if b in set(results.frame["backend"])]
    rows = [["model", "images", "seed", *names, "apart (points)"]]
    by_key = {(r["model"], r["size"], r["seed"], r["backend"]): r for r in results.done}
    for key in shared:
        values = [
            (by_key[*key, name]["metrics"] or {}).get("test_top1")
            if (*key, name) in by_key
            else None
            for name in names
        ]
        known = [value for value in values if value is not None]
        apart = f"{POINTS * (max(known) - min(known)):.2f}" if len(known) > 1 else "-"
        rows.append(
            [key[0], f"{key[1]:,}", str(key[2])]
            + ["-" if v is None else f"{POINTS * v:.2f}" for v in values]
            + [apart]
        )
    return "## Backends\n\nTest accuracy in % of the same trials.\n\n" + _markdown_table(rows)


def _intervals(results: Results, findings: Findings) -> str:
    if not len(findings.means):
        return ""
    level = f"{100 * findings.level:g} %"
    lines = [
        "## What the intervals hold, and what not",
        "",
        f"- All are {level} intervals over seeds (initial weights, order of batches, augmentation): "
        "Student's t for means and paired differences, that of a mean accuracy carried to the logit "
        "scale by the delta method, so that it stays between 0 and 100 %; for laws and their crossing "
        "a residual bootstrap, pooled over sizes with seeds as blocks, widened for the small number "
        "of seeds.",
        "- The subsets of the training images are drawn once and shared by all models and seeds; "
        "another draw would move the curves, mostly all in the same direction.",
    ]
    tests = results.study.data.counts.get("test") if results.study.data else None
    if tests:
        worst = float(
            np.max(np.sqrt(findings.means["mean"] * (1 - findings.means["mean"]) / tests))
        )
        lines.append(
            f"- So is the test set: {tests:,} images leave a standard error of up to "
            f"{POINTS * worst:.2f} points in every accuracy. It is common to all models and "
            "cancels in part, not wholly, in differences."
        )
    return "\n".join(lines)


def _made(results: Results) -> str:
    study = results.study
    lines = ["## How it was made", ""]
    commands = [f"`{command}`" for command in study.command.splitlines()]
    if commands:
        word = "Commands, in turn" if len(commands) > 1 else "Command"
        lines.append(f"- {word}: " + ", ".join(commands))
    for key, word in (("commit", "Commit"), ("device", "Device"), ("threads", "Threads a trial")):
        values = results.values(key)
        if values:
            lines.append(f"- {word}: {_counted(values)}")
    if results.values("cores"):
        lines.append(f"- Cores a trial: {_counted(results.values('cores'))}")
    versions = results.versions()
    if versions:
        lines.append(
            "- Versions: " + ", ".join(f"{p} {' / '.join(v)}" for p, v in versions.items())
        )
    seconds = [float(r["seconds"]) for r in results.done if r.get("seconds") is not None]
    if seconds:
        lines.append(
            f"- Time of all finished trials together: {duration(sum(seconds))} "
            f"({duration(sum(seconds) / len(seconds))} on average)"
        )
    if "images_per_second" in results.frame and len(results.frame):
        speeds = results.frame.groupby(["model", "backend"])["images_per_second"].median()
        told = [
            f"{model} {speeds[model, backend]:,.0f} ({backend})"
            for model in study.models
            for backend in study.backends
            if (model, backend) in speeds.index and not math.isnan(speeds[model, backend])
        ]
        if told:
            lines.append("- Training images a second, median: " + ", ".join(told))
    return "\n".join(lines) if len(lines) > 2 else ""


def _image(name: str, figures: Mapping[str, str]) -> str:
    return f"![{_CAPTIONS[name]}]({figures[name]})"


def _markdown_table(rows: Sequence[Sequence[str]]) -> str:
    header, *body = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = [header, ["---"] * len(header), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _counted(values: Mapping[str, int]) -> str:
    if len(values) == 1:
        return next(iter(values))
    return ", ".join(f"{value} ({count} trials)" for value, count in values.items())


def _scaled(value: float | None, unit: float, form: str) -> str:
    return "?" if value is None else format(value / unit, form)
