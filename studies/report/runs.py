"""Two results folders of one study: read, named, and refused where they are of different ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studies.errors import UsageError
from studies.records.frames import Results, read_results

if TYPE_CHECKING:
    from studies.study.entries import ModelEntry
    from studies.study.study import Study

# What two runs of one study may differ in: words, the extent of the grid, and how data are found.
_FREE = {
    *("question", "command", "run_time", "expected", "name", "dataset", "keep_models"),
    *("sizes", "seeds", "backends", "models", "data", "evaluations", "pairs"),
}


@dataclass(frozen=True)
class Run:
    """A results folder that is compared.

    Attributes:
        name: which tells the two apart.
        results: what it holds.
    """

    name: str
    results: Results


def read_runs(folders: Sequence[Path]) -> tuple[Run, Run]:
    """Two results folders, checked to be of one study.

    Raises:
        UsageError: they are one folder, cannot be read, or are of different data, recipes or models.
    """
    first, second = (folder.expanduser().resolve() for folder in folders)
    if first == second:
        raise UsageError(
            f"both runs are {first}: give two results folders, such as those of two machines"
        )
    one, two = (Run(name, read_results(at)) for name, at in zip(_names(first, second), folders))
    _refuse_different(one, two)
    return one, two


def _names(first: Path, second: Path) -> tuple[str, str]:
    """The ends of two paths, as long as it takes to tell them apart."""
    for length in range(1, max(len(first.parts), len(second.parts)) + 1):
        names = ["/".join(path.parts[-length:]) for path in (first, second)]
        if names[0] != names[1]:
            break
    return names[0], names[1]


def _refuse_different(a: Run, b: Run) -> None:
    one, two = a.results.study, b.results.study
    pairs = [("data", _data(one), _data(two))]
    fields = [name for name in type(one).model_fields if name not in _FREE]
    pairs += [(name, getattr(one, name), getattr(two, name)) for name in fields]
    pairs += [
        (f"model {name!r}", _by_content(entry), _by_content(two.models[name]))
        for name, entry in one.models.items()
        if name in two.models
    ]
    for what, before, after in pairs:
        if before != after:
            raise UsageError(
                f"{a.name} and {b.name} are not runs of one study, since they differ in {what}"
                f"{_where(before, after)}: compare two runs of the same data and recipe"
            )
    if not one.models.keys() & two.models.keys():
        raise UsageError(f"{a.name} and {b.name} have no model in common: nothing can be compared")


def _data(study: Study) -> Any:
    """What the images are: by their content where it is known."""
    return study.data.fingerprint if study.data else study.dataset


def _by_content(entry: ModelEntry) -> ModelEntry:
    """A model whose files count by what they hold, wherever they lie."""
    return entry.model_copy(update={"overrides": {**entry.overrides, **entry.files}})


def _where(before: Any, after: Any) -> str:
    """The first field that differs, if there are fields."""
    if not hasattr(before, "model_dump") or not hasattr(after, "model_dump"):
        return ""
    one, two = before.model_dump(mode="json"), after.model_dump(mode="json")
    name = next(name for name in one if one[name] != two.get(name))
    return f" ({name} {one[name]}, not {two.get(name)})"
