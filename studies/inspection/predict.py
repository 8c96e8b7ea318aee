"""`predict`: a kept model classifies new images, in a process of its own."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TextIO
from zipfile import is_zipfile

from pydantic import BaseModel, Field

from studies.errors import UsageError
from studies.machine.backends import check_backends, default_backend
from studies.machine.files import file_bytes, parsed_json, replaced
from studies.machine.processes import ask
from studies.shown import cell, printable
from studies.study.strict import Side

DONE, FAILED = 0, 1
LISTED = 20  # unreadable files


@dataclass(frozen=True)
class Options:
    """Which model classifies what, and where the answer goes."""

    model: Path  # a .keras file with its .json beside it, as in RUN/models/
    images: Path  # a folder, searched with all folders below it, or one file
    csv: Path | None = None  # None: stdout
    all_classes: bool = False  # a column with the probability of each class
    backend: str | None = None


def run(options: Options) -> int:
    """Write one line an image: its file, the class, and how sure the model is."""
    card = read_card(options.model)
    root, files = _files(options.images)
    if options.backend:
        check_backends([options.backend])
    order = {
        "model": str(options.model),
        "image_shape": card.image_shape,
        "classes": len(card.class_names),
        "fit": card.fit,
        "scramble": card.scramble,
        "seed": card.seed,
        "root": str(root),
        "files": files,
    }
    names = [cell(name) for name in card.class_names]
    unreadable: list[tuple[str, str]] = []
    backend = options.backend or default_backend()
    with _table(options.csv) as file:
        writer = csv.writer(file, lineterminator="\n")
        columns = [f"p({name})" for name in names] if options.all_classes else []
        writer.writerow(["file", "predicted", "confidence", *columns])
        for said in ask("studies.inspection.predictor", order, backend):
            unreadable += said["unreadable"]
            for name, probabilities in said["images"]:
                best = max(range(len(names)), key=probabilities.__getitem__)
                told = [f"{p:.4f}" for p in (probabilities if options.all_classes else [])]
                writer.writerow(
                    [cell(printable(name)), names[best], f"{probabilities[best]:.4f}", *told]
                )
    if options.csv:
        print(f"{len(files) - len(unreadable):,} images classified: {options.csv}")
    if unreadable:
        count = f"{len(unreadable):,} of {len(files):,} images cannot be read"
        print(f"{count} and are left out:", file=sys.stderr)
        for name, reason in unreadable[:LISTED]:
            print(f"  {printable(f'{name}: {reason}')}", file=sys.stderr)
        if len(unreadable) > LISTED:
            print(f"  and {len(unreadable) - LISTED:,} more", file=sys.stderr)
    return FAILED if unreadable else DONE


class Card(BaseModel):
    """What stands beside a model that is of use here; see `studies.running.models`."""

    class_names: Annotated[list[str], Field(min_length=1)]
    image_shape: tuple[Side, Side, Literal[1, 3]]
    fit: Literal["crop", "pad", "squash"]
    scramble: Annotated[int, Field(ge=0)] = 0
    seed: Annotated[int, Field(ge=0, le=10**12)] = 0


def read_card(model: Path) -> Card:
    """What stands beside a model: class names, and how images are prepared.

    Raises:
        UsageError: there is no such model, or nothing beside it.
    """
    if not model.is_file() or model.suffix != ".keras" or not is_zipfile(model):
        what = f"There is no model {model}" if not model.exists() else f"{model} is no model"
        raise UsageError(
            f"{what}: give a .keras file, such as those that run leaves in the "
            f"folder models of its results."
        )
    path = model.with_suffix(".json")
    try:
        return Card.model_validate(parsed_json(file_bytes(path)))
    except (OSError, ValueError):
        raise UsageError(
            f"Beside the model {model} there is no {path.name} with its class names: give a model "
            f"of the folder models of some results, and keep the two files together."
        ) from None


def _files(images: Path) -> tuple[Path, list[str]]:
    """A folder, and the image files in it and below it: paths relative to it, in order."""
    from studies.data.images import (
        is_image,
    )  # it loads NumPy: a command's help need not wait for it

    if images.is_file():
        return images.parent, [images.name]
    if not images.is_dir():
        raise UsageError(f"There is no folder {images}: give a folder of images, or one image.")
    found = []
    for folder, folders, names in os.walk(images):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(folder, name).relative_to(images).as_posix()
            for name in names
            if is_image(name) and not name.startswith(".")
        ]
    if not found:
        raise UsageError(f"There is no image in {images}: give a folder of image files.")
    return images, sorted(found)


@contextmanager
def _table(path: Path | None) -> Iterator[TextIO]:
    """A file to write to that is there once it is whole, or stdout."""
    if path is None:
        yield sys.stdout
        return
    try:
        with replaced(path) as beside, beside.open("w", encoding="utf-8", newline="") as file:
            yield file
    except OSError as error:
        raise UsageError(
            f"The table cannot be written to {path} ({error.strerror}): choose another --csv."
        ) from error
