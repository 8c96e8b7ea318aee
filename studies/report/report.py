"""A study's report: summary.csv, report.md and figures, from study.toml and trials.jsonl.

Everything is derived from the records alone, also while the study still runs, and equal records
give equal bytes: the bootstrap is seeded by the study's name and nothing carries a date.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from studies.analysis import Crossing
from studies.analysis.findings import Findings, Pair, compared_pairs, find, main_backend
from studies.plots.learning_curves import error_laws, fewshot_curves, learning_curves
from studies.plots.style import DPI, new_figure
from studies.plots.training_curves import backend_curves, training_curves
from studies.records.frames import Results, read_results, summary_frame
from studies.report.text import markdown, table_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Report(NamedTuple):
    """A written report."""

    path: Path  # of report.md
    table: str  # the answer and the accuracies, for a terminal


def write_report(folder: str | os.PathLike[str]) -> Report:
    """Writes summary.csv, report.md and figures/*.png of a results folder.

    Args:
        folder: holds study.toml and trials.jsonl; the latter may be missing or partial.

    Returns:
        Where it is, and its short form for a terminal.

    Raises:
        UsageError: the folder has no readable study.toml, or it cannot be written to.
    """
    from studies.errors import UsageError

    folder = Path(folder)
    results = read_results(folder)
    findings = analyse(results)
    try:
        _write(folder / "summary.csv", summary_frame(results).to_csv(index=False).encode())
        figures = _draw_all(folder / "figures", results, findings)
        path = folder / "report.md"
        _write(path, markdown(results, findings, figures).encode())
    except OSError as error:
        raise UsageError(f"cannot write the report to {folder}: {error.strerror}") from error
    return Report(path, table_text(results, findings))


def analyse(results: Results) -> Findings:
    """Analyses test accuracy on the backend with most results."""
    return find(
        results.frame,
        list(results.study.models),
        compared_pairs(results.families, results.flops),
        results.study.name,
        results.num_classes,
        backend=main_backend(results.frame),
    )


def crossing_to_show(pair: Pair | None) -> Crossing | None:
    """The measured crossing where there is one, else the laws'."""
    if pair is None:
        return None
    if pair.measured is not None and pair.measured.kind == "measured":
        return pair.measured
    return pair.laws


def _draw_all(folder: Path, results: Results, findings: Findings) -> dict[str, str]:
    """Draws what the records allow; file name by what it shows, in the report's order."""
    study, frame = results.study, results.frame
    models = list(study.models)
    if not len(frame):
        return {}
    mine = frame[frame["backend"] == findings.backend]
    figures: dict[str, Figure] = {}
    title = f"{study.name}: {_short(study.dataset)}, {results.shape_text}"
    pair = findings.pairs[0] if findings.pairs else None
    figures["accuracy"] = new_figure()
    learning_curves(
        mine,
        models=models,
        laws=findings.laws,
        crossing=crossing_to_show(pair),
        names=(pair.a, pair.b) if pair else None,
        title=title,
        ax=figures["accuracy"].subplots(),
    )
    if findings.laws:
        figures["laws"] = new_figure()
        ax = figures["laws"].subplots()
        error_laws(mine, findings.laws, models=models, title=title, ax=ax)
    if results.shots:
        rows = (len(results.shots) + 1) // 2
        columns = min(2, len(results.shots))
        figure = new_figure(4.5 * columns, 3.5 * rows)
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for spare in axes[len(results.shots) :]:
            spare.set_axis_off()
        fewshot_curves(mine, results.shots, list(axes[: len(results.shots)]), models)
        figures["fewshot"] = figure
    records = [r for r in results.done if r["backend"] == findings.backend]
    ends = sorted({r["size"] for r in records if r.get("history")})
    if ends:
        ends = ends if len(ends) < 2 else [ends[0], ends[-1]]
        figure = new_figure(4.5 * len(ends), 4.0)
        for size, ax in zip(ends, figure.subplots(1, len(ends), squeeze=False)[0], strict=True):
            training_curves(records, size, models, ax)
        figures["training"] = figure
    shared = results.on_several_backends()
    if shared:
        shared = shared[:4]
        figure = new_figure(4.5 * min(2, len(shared)), 3.8 * ((len(shared) + 1) // 2))
        axes = figure.subplots((len(shared) + 1) // 2, min(2, len(shared)), squeeze=False).ravel()
        for spare in axes[len(shared) :]:
            spare.set_axis_off()
        for (model, size, seed), ax in zip(shared, axes, strict=False):
            backend_curves(results.done, model, size, seed, ax)
        figures["backends"] = figure
    folder.mkdir(exist_ok=True)
    for name, figure in figures.items():
        # Without the program's version in it, equal records give equal files.
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
        _write(folder / f"{name}.png", buffer.getvalue())
    return {name: f"figures/{name}.png" for name in figures}


def _short(dataset: str) -> str:
    """A data set's name as a figure has room for it: of an image folder's path, the last part."""
    return f"folder:{Path(dataset).name}" if dataset.startswith("folder:") else dataset


def _write(path: Path, content: bytes) -> None:
    """Replaces a file in one step: a reader sees the old or the new one, never half of it."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)  # mkstemp's files are private; a report is to be read
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
