"""`check` and the head of `plan` and `run`: what is known of the data before anything is trained."""

from __future__ import annotations

import math
import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from studies.command_line.findings import in_bytes, lines, span
from studies.errors import UsageError
from studies.shown import printable_lines

if TYPE_CHECKING:
    from studies.study.study import Study

DONE, REFUSED = 0, 1
STUDY = "data-scale"  # the one that is suggested


@dataclass(frozen=True)
class CheckOptions:
    """A data set, and how its images are read."""

    dataset: str
    program: str = "python -m studies"  # as it was started
    image_size: int | None = None
    fit: str = "crop"
    skip_broken: bool = False
    groups: str = ""
    imports: tuple[str, ...] = ()


def check(options: CheckOptions) -> int:
    """Print what is known of a data set and suggest a study of it; 1 where `run` would refuse it."""
    from studies import data

    try:
        size = options.image_size or data.default_image_size(options.dataset, options)
        facts = data.check(options.dataset, size, options)
        print(printable_lines("\n".join(lines(options.dataset, facts, options))), flush=True)
        data.describe(options.dataset, size, options)
        print("\n".join(_suggestion(options)))
    except UsageError as error:
        print(f"{options.dataset}: run would refuse it. {error}")
        return REFUSED
    return DONE


def head(study: Study) -> str:
    """What `plan` and `run` begin with: the data in a few lines."""
    from studies import data

    facts = data.check(study.dataset, study.image_size, study.reading)
    return printable_lines("\n".join(lines(study.dataset, facts, study.reading, listed=0))) + "\n"


def _suggestion(options: CheckOptions) -> list[str]:
    """A study of the data as `run` would take it by itself, with what it costs.

    Raises:
        UsageError: it would be refused.
    """
    from studies.executors.local import LocalExecutor
    from studies.machine.backends import default_backend
    from studies.records.place import Here
    from studies.running import epochs
    from studies.running.estimate import Estimator, duration, records_of
    from studies.running.models import model_bytes, number_kept
    from studies.running.runner import make_plan
    from studies.study import file as study_file

    given = {
        "dataset": options.dataset,
        "image_size": options.image_size,
        "fit": options.fit,
        "skip_broken": options.skip_broken,
        "groups": options.groups,
        "imports": list(options.imports),
        "backends": [default_backend()],
    }
    with tempfile.TemporaryDirectory() as nowhere:  # results that are there say nothing here
        plan = make_plan(study_file.resolve(STUDY, given), Here(Path(nowhere)))
    study, data = plan.study, plan.study.data
    assert data is not None
    threads = LocalExecutor().threads
    left = Estimator(records_of(Path("runs")), threads, data.counts).total(
        plan.trials, plan.costs, workers=1
    )
    kept = number_kept(study, plan.trials)
    models = sum(n * model_bytes(plan.costs[name].params) for name, n in kept.items())
    images = math.prod(data.image_shape) * sum(data.official.values())
    steps = sorted({trial.recipe.steps for trial in plan.trials})
    height, width, _ = data.image_shape
    few = epochs.advice(plan)
    return [
        f"suggestion: images of {width}x{height}, sizes {', '.join(f'{n:,}' for n in study.sizes)}, "
        f"{study.seeds} seeds, {span(steps[0], steps[-1])} steps: {len(plan.trials)} trials in about "
        f"{duration(left)}; {in_bytes(images)} of images and {in_bytes(models)} of models on disk",
        f"  {_command(options)}",
        *([f"note: {few}"] if few else []),
    ]


def _command(options: CheckOptions) -> str:
    words = [*options.program.split(), "run", STUDY, "--dataset", options.dataset]
    if options.image_size:
        words += ["--image-size", str(options.image_size)]
    if options.fit != "crop":
        words += ["--fit", options.fit]
    if options.groups:
        words += ["--groups", options.groups]
    for module in options.imports:
        words += ["--import", module]
    return shlex.join([*words, *(["--skip-broken"] if options.skip_broken else [])])
