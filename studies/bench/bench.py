"""`python -m studies bench`: how fast models compute here, beside every peer that is installed.

Contenders of a case (a model, a backend, a dtype, training or inference) take turns, each in a process
of its own; a large matrix product takes turns with them. With --fit the cases are the built-in
studies' models: a trial's `fit` beside its bare compiled step and the reading of its batches.

Nothing here loads a backend; `studies.bench.worker` does.
"""

from __future__ import annotations

import math
import re
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from studies.bench import table
from studies.bench.cases import Case, chosen, contenders, of_studies
from studies.bench.turns import measure
from studies.errors import UsageError
from studies.machine.devices import instructions
from studies.machine.threads import cores
from studies.machine.versions import commit, versions

DTYPES = ("float32", "mixed_bfloat16", "mixed_float16")


@dataclass(frozen=True)
class Options:
    """What to measure and for how long; words with commas between several."""

    fit: bool = False  # the built-in studies' models instead of published ones, and no `mode`
    model: str | None = None  # ViT-S/16; with `fit` all
    mode: str = "train"
    image_size: int | None = None  # pixels; those of the model or, with `fit`, of its study
    batch_size: str | None = None  # images a step; likewise
    backend: str | None = None  # those that are installed
    dtype: str = "float32"
    rounds: int = 11
    seconds: float = 4.0  # of a turn
    cold: bool = True  # time the first step with nothing compiled before, too
    threads: int | None = None  # one a core
    output: Path = Path("runs/bench")
    command: str = "python -m studies bench"  # as it was typed


def run(options: Options) -> int:
    """Measure, print a table, and write the files."""
    cases = _cases(options)
    threads = options.threads or len(cores())
    if threads > len(cores()):
        raise UsageError(
            f"--threads {threads} is more than the {len(cores())} cores here; give at most that"
        )
    done = []
    for case in cases:
        names = ", ".join(contender.name for contender in contenders(case))
        print(f"{_words(case)}: {names} ...", file=sys.stderr, flush=True)
        about = {
            "instructions": instructions(),
            "threads": threads,
            "versions": _versions(case),
            "commit": commit(),
            "command": options.command,
        }
        found = measure(case, threads, options.rounds, options.seconds, options.cold)
        new = table.rows(case, found, about)
        try:
            done.append(table.write(options.output, new))
        except OSError as error:
            raise UsageError(
                f"cannot write to {options.output} ({error.strerror}): choose another --output"
            ) from error
        _print(_words(case), new)
    for path in dict.fromkeys(path for paths in done for path in paths):
        print(path)
    return 0


def _cases(options: Options) -> list[Case]:
    if options.rounds < 1 or not 0 < options.seconds < math.inf:
        raise UsageError("--rounds must be at least 1 and --seconds above 0")
    dtypes = _several(options.dtype)
    for dtype in dtypes:
        if dtype not in DTYPES:
            raise UsageError(f"unknown dtype {dtype!r}; choose from {', '.join(DTYPES)}")
    sizes = [_positive(word) for word in _several(options.batch_size or "")]
    backends = _backends(options.backend)
    if options.fit:
        cases = of_studies(backends, dtypes, options.image_size, sizes)
        return cases if options.model is None else _named(cases, _several(options.model))
    models, modes = _several(options.model or "ViT-S/16"), _several(options.mode)
    return chosen(models, modes, backends, dtypes, options.image_size, sizes)


def _named(cases: list[Case], names: list[str]) -> list[Case]:
    there = list(dict.fromkeys(case.model for case in cases))
    for name in names:
        if name not in there:
            raise UsageError(f"--fit has no model {name!r}; choose from {', '.join(there)}")
    return [case for case in cases if case.model in names]


def _backends(text: str | None) -> list[str]:
    from studies.machine.backends import BACKENDS, check_backends

    if text is None:
        from importlib.util import find_spec

        return [name for name in BACKENDS if find_spec(name)]
    names = _several(text)
    for name in names:
        if name not in BACKENDS:
            raise UsageError(f"unknown backend {name!r}; choose from {', '.join(BACKENDS)}")
    check_backends(names)
    return names


def _several(text: str) -> list[str]:
    return list(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def _positive(word: str) -> int:
    if not re.fullmatch("0*[1-9][0-9]{0,9}", word):
        raise UsageError(f"--batch-size has {word!r}; give whole numbers of images, such as 8,64")
    return int(word)


def _versions(case: Case) -> str:
    found: dict[str, str] = versions(case.backend)
    for contender in contenders(case):
        for package in contender.needs:
            found[package] = metadata.version(package.replace("_", "-"))
    return ", ".join(f"{name} {version}" for name, version in found.items())


def _words(case: Case) -> str:
    return (
        f"{case.backend}, {case.dtype}, {case.mode}, {case.model}, {case.shape[0]} px, "
        f"batch {case.batch_size}"
    )


def _print(title: str, rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    shown, of_case = Table(title=title), len(table.KEY)
    for heading in table.HEADINGS[of_case:]:
        shown.add_column(heading)
    for row in rows:
        shown.add_row(*table.cells(row)[of_case:])
    Console().print(shown)
