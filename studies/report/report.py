"""A study's report: summary.csv, report.md, report.html and figures, from study.toml, records and outcomes.

Everything is derived from what the trials left, also while the study still runs, and equal records
give equal bytes: all randomness is seeded by the study's name and nothing carries a date.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from studies.machine.files import make_own_folder, remove_leftovers, replace
from studies.plots.style import DPI
from studies.records.evaluations import evaluations_frame
from studies.records.frames import read_results, summary_frame
from studies.records.place import RECORDS, Place, unwritable
from studies.report import comparison_text
from studies.report.evidence import Evidence, gather
from studies.report.figures import CAPTIONS, draw
from studies.report.html import page
from studies.report.tables import csv
from studies.report.terminal import table_text
from studies.report.text import markdown

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from studies.report.comparison import Comparison


LISTS = {
    "classes.csv",
    "suspects.csv",
    "evaluations.csv",
}  # written where there is something in them
FIGURES = "figures"  # their folder
LONGEST_WRITING = 3600  # seconds that another report, of another process, may take for one file
_TURNS = 3  # of writing a report while records come


class Report(NamedTuple):
    """A written report."""

    path: Path  # of report.md
    page: Path  # of report.html
    table: str  # the answer and the accuracies, for a terminal


def newest_report(place: Place, folder: Path) -> Report:
    """Writes the report of a results folder where that lies, again if records came in the meantime.

    A run gives its folder back before it writes: another one may have run and reported by the end of it,
    and its report must not be replaced by an older one. While trials end all the time the last one counts,
    since that run's own is still to come.

    Args:
        place: of all studies' results.
        folder: of the study, in it.

    Raises:
        UsageError: as of `write_report`.
    """
    for _ in range(_TURNS):
        place.fetch(folder.name)
        before = _records(folder)
        written = write_report(folder)
        place.fetch(folder.name)
        if _records(folder) == before:
            break
    try:
        place.store(folder)
    except OSError as error:
        raise unwritable(place.location, str(error.strerror or error)) from error
    return written


def write_report(folder: str | os.PathLike[str]) -> Report:
    """Writes summary.csv, report.md, report.html, figures/*.png and lists of a results folder.

    Args:
        folder: holds study.toml, trials.jsonl and outcomes/; the latter two may be missing or
            partial.

    Returns:
        Where it is, and its short form for a terminal.

    Raises:
        UsageError: the folder has no readable study.toml, or it cannot be written to.
    """
    from studies.errors import UsageError

    folder = Path(folder)
    results = read_results(folder)
    evidence = gather(results)
    tables = {"summary.csv": summary_frame(results), **_lists(evidence)}
    if results.extras:
        tables["evaluations.csv"] = evaluations_frame(results).round(6)
    try:
        for part in (folder, folder / FIGURES):
            remove_leftovers(part, after=LONGEST_WRITING)
        for name, table in tables.items():
            replace(folder / name, csv(table))
        for name in LISTS - tables.keys():
            (folder / name).unlink(missing_ok=True)
        pictures = _save(folder, draw(results, evidence))
        figures = {name: f"{FIGURES}/{name}.png" for name in pictures}
        text = markdown(results, evidence, figures)
        path, to_send = folder / "report.md", folder / "report.html"
        replace(path, text.encode())
        replace(to_send, page(text, {figures[name]: pictures[name] for name in figures}).encode())
    except OSError as error:
        raise UsageError(f"cannot write the report to {folder}: {error.strerror}") from error
    return Report(path, to_send, table_text(results, evidence))


def write_comparison(folder: Path, found: Comparison) -> Path:
    """Writes compare.md and its figure.

    Args:
        folder: made where it is not there.
        found: what two runs have in common.

    Returns:
        The path of compare.md.

    Raises:
        UsageError: the folder cannot be written to.
    """
    from studies.errors import UsageError

    figure = comparison_text.draw(found)
    path = folder / "compare.md"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if figure is not None:
            replace(folder / comparison_text.FIGURE, _png(figure))
        name = comparison_text.FIGURE if figure is not None else None
        replace(path, comparison_text.markdown(found, name).encode())
    except OSError as error:
        raise UsageError(f"cannot write the comparison to {folder}: {error.strerror}") from error
    return path


def write_figure(path: Path, figure: Figure) -> Path:
    """Writes a figure that belongs to no report as a PNG file, in one step.

    Raises:
        UsageError: it cannot be written there.
    """
    from studies.errors import UsageError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, _png(figure))
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    return path


def _records(folder: Path) -> list[int]:
    """What tells whether more has come, since records and command lines are only added."""
    paths = (folder / RECORDS, folder / "study.toml")
    return [path.stat().st_size if path.exists() else 0 for path in paths]


def _lists(evidence: Evidence) -> dict[str, pd.DataFrame]:
    """What may be too long for a report: every class, every suspect label."""
    import pandas as pd

    rows = [
        [
            *(each.model, each.size, evidence.class_names[k], round(float(each.images[k]), 3)),
            *(round(value, 6) for value in (recall.mean, recall.low, recall.high)),
        ]
        for each in evidence.classes
        for k, recall in enumerate(each.recalls)
        if recall is not None
    ]
    columns = ["model", "size", "class", "test_images", "recall", "recall_low", "recall_high"]
    if not rows:  # no outcomes, so that nothing is known of single images
        return {}
    return {
        "classes.csv": pd.DataFrame(rows, columns=columns),
        "suspects.csv": evidence.suspects.round(6),
    }


def _save(folder: Path, figures: Iterable[tuple[str, Figure]]) -> dict[str, bytes]:
    """Writes figures as PNG files, each before the next is drawn; these by name."""
    pictures = {}
    for name, figure in figures:
        make_own_folder(folder / FIGURES)
        pictures[name] = _png(figure)
        replace(folder / FIGURES / f"{name}.png", pictures[name])
    for name in CAPTIONS.keys() - pictures.keys():  # of an earlier report, on other records
        if not (folder / FIGURES).is_symlink():
            (folder / FIGURES / f"{name}.png").unlink(missing_ok=True)
    return pictures


def _png(figure: Figure) -> bytes:
    # Without the program's version in it, equal records give equal files.
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()
