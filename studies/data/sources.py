"""Which source a data set's name means.

The modules of the sources are loaded where they are needed: a command's help should not wait for them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studies.data.dataset import DRAWN
from studies.data.images import ImageSize
from studies.data.options import Reading, check_options
from studies.errors import UsageError

if TYPE_CHECKING:
    from studies.data.drawn import Drawn
    from studies.data.listing import Listing

# A data set of TensorFlow Datasets, its config and version; what stands before a colon is whose it is.
_NAME = r"[a-zA-Z]\w*(/[\w+.-]+)*(:[\d.*]+)?"


@dataclass(frozen=True)
class Found:
    """What a name means.

    Args:
        key: JSON-able; what decides the content, besides the image size.
        build: writes the prepared data into a folder and gives their description (see `building`).
        label: see `cache.prepared`.
        left_out, notes: see `checks.Facts`.
        current: the description of data that were prepared before, perhaps with a note; None where they are
            to be prepared anew.
    """

    key: Any
    build: Callable[[Path], dict[str, Any]]
    label: str | None = None
    left_out: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    current: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda description: description


def find(name: str, size: ImageSize | None, options: Reading, cache: Path) -> Found:
    """Finds the source of a data set's images.

    Args:
        name, options: as for `studies.data.load`.
        size: (H, W) in pixels; None keeps the native size.
        cache: the cache's folder.

    Raises:
        UsageError: the name means nothing, or what it means is not in order.
    """
    from studies.data.building import build

    check_options(options)
    if (listed := listing(name, options)) is not None:
        from studies.data.digests import Digests
        from studies.data.image_files import ImageFiles, content_key
        from studies.data.reading import looked_through, noted

        digests = Digests(cache)
        images = ImageFiles(listed, size, options.fit, digests)
        return Found(
            key=[content_key(listed, digests), options.fit],
            build=lambda folder: noted(build(folder, images)),
            label=name.partition(":")[0],
            left_out=dict(listed.left_out),
            notes=listed.notes,
            current=lambda info: looked_through(info, chain.from_iterable(listed.files.values())),
        )
    _refuse_groups(name, options)
    if name.partition(":")[0] in DRAWN:
        drawn = _drawn(name.partition(":")[0])(name, size)
        return Found(drawn.version(), lambda folder: build(folder, drawn))
    if name == "fashion_mnist":
        from studies.data.fashion_mnist import write_fashion_mnist

        return Found(
            options.fit, lambda folder: write_fashion_mnist(folder, cache, size, options.fit)
        )
    if name == "digits":
        from studies.data.digits import Digits

        return Found(options.fit, lambda folder: build(folder, Digits(size, options.fit)))
    _refuse_path(name)
    if name.startswith("scrambled-"):
        raise UsageError(
            f"The images of {name} are scrambled by the recipe of a study: give the name to plan or run, "
            f"and name {name.partition(':')[2] or 'the data set itself'} here."
        )
    if not re.fullmatch(_NAME, name):
        raise UsageError(
            f"The data set {name!r} is unknown: choose {', '.join(DRAWN)}, digits, fashion_mnist, "
            f"folder:PATH, csv:FILE or a name of TensorFlow Datasets, such as cifar10. (Names of others' "
            f"collections, such as huggingface:cifar10, are not taken: their code would run.)"
        )
    from studies.data.tfds import module_files, write_tfds

    return Found(
        key=["tfds", options.fit, module_files(options.imports)],
        build=lambda folder: write_tfds(folder, name, cache, size, options),
    )


def listing(name: str, options: Reading) -> Listing | None:
    """The files of a data set that is made of files, else None.

    Raises:
        UsageError: as of `folder.list_folder` and `table.list_table`.
    """
    if name.startswith("folder:"):
        from studies.data.folder import list_folder

        return list_folder(name, options)
    if name.startswith("csv:"):
        from studies.data.table import list_table

        return list_table(name, options)
    return None


def _drawn(kind: str) -> type[Drawn]:
    if kind == "shapes":
        from studies.data.shapes import Shapes

        return Shapes
    from studies.data.relations import Relations

    return Relations


def _refuse_groups(name: str, options: Reading) -> None:
    if options.groups:
        raise UsageError(
            f"--groups is for images in files, whose paths it looks at, and {name} has none: leave "
            f"it out, or name the data set folder:PATH or csv:FILE."
        )


def _refuse_path(name: str) -> None:
    """Before TensorFlow Datasets, which takes seconds to load, is asked for a name that it cannot know."""
    path = Path(name).expanduser()
    if name and path.is_dir():
        raise UsageError(f"The data set {name!r} is a folder: did you mean folder:{name}?")
    if path.is_file():
        table = path.suffix.lower() in (".csv", ".tsv", ".txt")
        hint = f"did you mean csv:{name}?" if table else "give folder:PATH, csv:FILE or a name."
        raise UsageError(f"The data set {name!r} is a file: {hint}")
