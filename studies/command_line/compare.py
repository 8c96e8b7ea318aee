"""`compare`: one study run twice, on two machines, backends or versions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from studies.errors import UsageError

DONE = 0


@dataclass(frozen=True)
class CompareOptions:
    """The two runs, and where the comparison is written to."""

    runs: tuple[str, str]  # folders, or names below `results`
    results: Path = Path("runs")
    output: Path | None = None


def compare(options: CompareOptions) -> int:
    """Print what two runs of one study have in common and where they differ; write it where asked."""
    from studies.report.comparison import compare_runs
    from studies.report.comparison_text import terminal
    from studies.report.runs import read_runs

    runs = read_runs([_folder(run, options.results) for run in options.runs])
    found = compare_runs(*runs)
    print(terminal(found))
    if options.output is not None:
        from studies.report.report import write_comparison

        print(f"\ncomparison: {write_comparison(options.output.expanduser(), found)}")
    return DONE


def _folder(run: str, results: Path) -> Path:
    """The results folder that a path or a name means."""
    places = [Path(run).expanduser(), results.expanduser() / run]
    for place in places:
        if (place / "study.toml").is_file():
            return place
    looked = " or ".join(dict.fromkeys(map(str, places)))  # of an absolute path they are one
    raise UsageError(
        f"there are no results in {looked}: give the results folders of two runs, such as "
        f"runs/data-scale, or their names in --results"
    )
