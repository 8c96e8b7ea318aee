"""Options that several commands share, and the words that an option may be."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from studies.errors import UsageError
from studies.machine.cloud import is_url

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


class LogFormat(StrEnum):
    """What a run says while it is at work."""

    text = "text"
    json = "json"


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


def location(text: str) -> Path | str:
    """A path of this machine, or a URL."""
    text = str(text)
    if is_url(text) and not text.startswith("file://"):
        return text
    return Path(text.removeprefix("file://")).expanduser()


def here(text: str) -> Path:
    """A path of this machine."""
    found = location(text)
    if isinstance(found, str):
        raise UsageError(f"{text} is a URL: what this command writes goes to this machine's files")
    return found


def _results(text: str) -> Path | str:
    if not str(text).strip():  # Path("") would be the folder one happens to be in
        raise UsageError("--results is empty: give a folder, such as --results runs")
    return location(text)


StudyName = Annotated[
    str, typer.Argument(metavar="STUDY", help="A built-in study, or a TOML file's path.")
]
Name = Annotated[str | None, option("Name of the results folder (the study's by default).")]
Results = Annotated[
    Any, option("Folder of all results, or a URL (s3://...).", metavar="DIR", parser=_results)
]
LogFormatOption = Annotated[
    LogFormat,
    option("text, or json: one object a line for each change of a state.", "--log-format"),
]
Address = Annotated[
    str | None, option("Ray cluster; none: one here for this run.", metavar="HOST:PORT")
]
Workers = Annotated[int | None, option("Trials at a time (1; on a cluster as many as it takes).")]
KeepModelsOption = Annotated[
    KeepModels | None,
    option("Each model's best at the largest size (by default), all, or none."),
]
RetryFailed = Annotated[bool, option("Run the trials that failed again.", "--retry-failed")]
TensorBoard = Annotated[bool, option("Write curves for TensorBoard, too.", "--tensorboard")]
ImageSize = Annotated[int | None, option("Pixels of the images' sides.", min=1)]
Weights = Annotated[
    str | None,
    option(
        "Published names or files to fine-tune from; MODEL=NAME says of which model.",
        metavar="NAME,FILE",
    ),
]
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
Checkpoint = Annotated[
    Any,
    typer.Argument(
        metavar="CHECKPOINT",
        help="A .keras file, or its URL; with --model also a weight file of another project.",
        parser=location,
    ),
]
KeptModel = Annotated[
    Any,
    typer.Argument(
        metavar="MODEL",
        help="A .keras file of a results folder's models/, or its URL.",
        parser=location,
    ),
]
