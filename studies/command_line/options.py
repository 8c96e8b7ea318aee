"""Options that several commands share, and the words that an option may be."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from studies.errors import UsageError

RUNS = Path("runs")


class Backend(StrEnum):
    """Keras backends."""

    tensorflow = "tensorflow"
    jax = "jax"
    torch = "torch"


class ExecutorName(StrEnum):
    """Where trials run."""

    local = "local"
    ray = "ray"
    slurm = "slurm"


class KeepModels(StrEnum):
    """Which trained models lie in the results folder."""

    best = "best"
    all = "all"
    none = "none"


class Fit(StrEnum):
    """How images of other proportions are made to fit."""

    crop = "crop"
    pad = "pad"
    squash = "squash"


def option(help: str, *names: str, metavar: str | None = None, **limits: Any) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, **limits)


def _folder(text: str) -> Path:
    if not str(text).strip():  # Path("") would be the folder one happens to be in
        raise UsageError("--results is empty: give a folder, such as --results runs")
    return Path(text).expanduser()


StudyName = Annotated[
    str, typer.Argument(metavar="STUDY", help="A built-in study, or a TOML file's path.")
]
Name = Annotated[str | None, option("Name of the results folder (the study's by default).")]
Results = Annotated[Path, option("Folder of all results.", metavar="DIR", parser=_folder)]
DATASETS = "shapes, relations, digits, fashion_mnist, a TFDS name, folder:PATH or csv:FILE."
FitOption = Annotated[
    Fit | None,
    option("Of other proportions: cut off (crop), filled up (pad) or squashed.", "--fit"),
]
SkipBroken = Annotated[
    bool, option("Leave out images that cannot be read.", "--skip-broken", show_default=False)
]
Groups = Annotated[
    str | None,
    option("Its first bracket, in a file's path, is what belongs together.", metavar="REGEX"),
]
Imports = Annotated[
    list[str] | None,
    option("A module with builders for TFDS; may be repeated.", "--import", metavar="MODULE"),
]
