"""Two results folders of one study: read, named, and refused where they are of different ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studies.errors import UsageError
from studies.records.frames import Results, read_results
from studies.study.study import other_key

if TYPE_CHECKING:
    from studies.study.chain import Pretraining
    from studies.study.entries import ModelEntry
    from studies.study.factors import Arm
    from studies.study.study import Study

# What two runs of one study may differ in, as it decides no trial's weights: words, the extent of the
# grid, what curves are drawn over, what machines give; and what is compared by content, wherever it lies.
_FREE = {
    *("question", "command", "run_time", "expected", "name", "keep_models", "x", "resources"),
    *("sizes", "seeds", "backends", "evaluations", "pairs", "about", "rounds"),
    *("dataset", "image_size", "reading", "data", "other_data", "files"),
    *("models", "pretraining", "finetuning", "factors", "design"),  # which make the arms
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
    shared = [name for name in one.arms if name in two.arms]
    for name in shared:
        its, other = _arm(one, one.arms[name]), _arm(two, two.arms[name])
        pairs += [(f"{what} {name!r}", its[what], other.get(what)) for what in its]
    for what, before, after in pairs:
        if before != after:
            raise UsageError(
                f"{a.name} and {b.name} are not runs of one study, since they differ in {what}"
                f"{_where(before, after)}: compare two runs of the same data and recipe"
            )
    if not shared:
        raise UsageError(f"{a.name} and {b.name} have no model in common: nothing can be compared")


def _data(study: Study) -> Any:
    """What the images are: by their content, which reading has made, where it is known."""
    if study.data is None:
        return study.dataset, study.image_size, study.reading
    return study.data.fingerprint


def _arm(study: Study, arm: Arm) -> dict[str, Any]:
    """What trains an arm, by what it is of."""
    found: dict[str, Any] = {"model": _by_content(study, arm.entry), "recipe of": arm.recipe}
    before = arm.pretraining
    if before is None:
        return {**found, "pre-training of": None}
    several = not isinstance(before.sizes, str) and len(before.sizes) > 1
    return {
        **found,
        "pre-training of": _before(study, before),
        # Of several each has its number of images in its name.
        "images of the pre-training of": None if several else before.sizes,
        "fine-tuning of": arm.finetuning,
    }


def _by_content(study: Study, entry: ModelEntry) -> ModelEntry:
    """A model whose files count by what they hold, wherever they lie."""
    overrides = {**entry.overrides, **entry.files}
    if known := study.files.get(str(overrides.get("weights"))):
        overrides["weights"] = known
    return entry.model_copy(update={"overrides": overrides, "files": {}})


def _before(study: Study, before: Pretraining) -> Pretraining:
    """A pre-training but for how many images, its weights and images told by what they are."""
    data = study.data
    if before.dataset or before.image_size:
        key = other_key(before.dataset or study.dataset, before.image_size or study.image_size)
        data = study.other_data.get(key)
    weights = study.files.get(before.weights or "", before.weights)
    update: dict[str, Any] = {"weights": weights, "sizes": "all"}
    if data is not None:
        update |= {"dataset": data.fingerprint, "image_size": None}
    return before.model_copy(update=update)


def _where(before: Any, after: Any) -> str:
    """The first field that differs, if there are fields."""
    if not hasattr(before, "model_dump") or not hasattr(after, "model_dump"):
        return ""
    one, two = before.model_dump(mode="json"), after.model_dump(mode="json")
    name = next(name for name in one if one[name] != two.get(name))
    return f" ({name} {one[name]}, not {two.get(name)})"
