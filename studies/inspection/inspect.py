"""`inspect`: figures of what a trained ViT attends to and has learned, drawn in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

from studies.errors import UsageError
from studies.machine.backends import check_backends, default_backend
from studies.machine.processes import ask


@dataclass(frozen=True)
class Options:
    """What to look into, and where the figures go."""

    checkpoint: Path  # a .keras file, or with `model` a weight file of another project
    images: str  # a folder of images or a data set
    model: str | None = None  # the name that the weights are for
    image_size: int = 224  # pixels, with `model`
    show: int = 6  # attention maps
    count: int = 128  # images that the attention distance is averaged over
    backend: str | None = None
    name: str | None = None  # of the results folder; None: after the checkpoint
    results: Path = Path("runs")

    @property
    def folder(self) -> Path:
        """Where the figures go."""
        # In its trial's folder every model is called best.keras: the folder tells which one it is.
        path = self.checkpoint
        title = path.resolve().parent.name if path.stem == "best" else path.stem
        return self.results.expanduser() / (self.name or f"inspect-{title}")

    @classmethod
    def from_order(cls, order: dict[str, Any]) -> Options:
        """The options as JSON carried them."""
        paths = {field: Path(order[field]) for field in ("checkpoint", "results")}
        return cls(**{**order, **paths})


def run(options: Options, address: Callable[[Path], str] = str) -> int:
    """Draw what a trained ViT attends to and what its embeddings have learned.

    Args:
        options: what, and where to.
        address: where a file lies, for people.
    """
    path = options.checkpoint
    if not path.exists():
        raise UsageError(f"There is no file {path}: give a .keras or weight file.")
    if not (path.is_file() or path.is_dir()):  # a pipe would be waited for
        raise UsageError(f"{path} is no file: give a .keras or weight file.")
    if options.model is None and not (path.suffix == ".keras" and is_zipfile(path)):
        raise UsageError(
            f"{path} is no .keras file: say with --model which model its weights are for."
        )
    if options.backend:
        check_backends([options.backend])
    order = asdict(options) | {"checkpoint": str(path), "results": str(options.results)}
    backend = options.backend or default_backend()
    for said in ask("studies.inspection.worker", order, backend):
        print(address(Path(said["path"])) if "path" in said else said["note"])
    return 0
