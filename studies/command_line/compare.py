"""`compare`: one study run twice, on two machines, backends or versions."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from studies.command_line.options import location
from studies.errors import UsageError
from studies.machine.cloud import is_url

DONE = 0


@dataclass(frozen=True)
class CompareOptions:
    """The two runs, and where the comparison is written to."""

    runs: tuple[str, str]  # folders, URLs, or names below `results`
    results: Path | str = Path("runs")
    output: Path | None = None


def compare(options: CompareOptions) -> int:
    """Print what two runs of one study have in common and where they differ; write it where asked."""
    from studies.report.comparison import compare_runs
    from studies.report.comparison_text import terminal
    from studies.report.runs import read_runs

    with ExitStack() as opened:
        folders: dict[Path | str, Path] = {}
        runs = read_runs([_folder(run, options.results, opened, folders) for run in options.runs])
        found = compare_runs(*runs)
        print(terminal(found))
        if options.output is not None:
            from studies.report.report import write_comparison

            print(f"\ncomparison: {write_comparison(options.output.expanduser(), found)}")
    return DONE


def _folder(
    run: str, results: Path | str, opened: ExitStack, folders: dict[Path | str, Path]
) -> Path:
    """The results folder that a path, a URL or a name means; one for each of these, whoever asks."""
    from studies.records.place import fetched

    places: list[Path | str] = [location(run)]
    if not is_url(run):
        below = f"{results.rstrip('/')}/{run}" if isinstance(results, str) else results / run
        places.append(below)
    for place in places:
        if place not in folders:
            folders[place] = opened.enter_context(fetched(place))
        if (folders[place] / "study.toml").is_file():
            return folders[place]
    looked = " or ".join(dict.fromkeys(map(str, places)))  # of an absolute path they are one
    raise UsageError(
        f"there are no results in {looked}: give the results folders of two runs, such as "
        f"runs/data-scale, or their names in --results"
    )
