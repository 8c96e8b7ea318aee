"""A checkpoint that has been read: arrays under the names of its format's table."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_vit.weights.description import (
    Description,
    configurations_beside,
    described_by_metadata,
)
from keras_vit.weights.formats import recognise
from keras_vit.weights.position import square_grid
from keras_vit.weights.readers import open_file
from keras_vit.weights.rules import CLASS_TOKEN, HEAD, POSITION, REPRESENTATION, Format


@dataclass
class Checkpoint:
    """Arrays by their name in the format's table, and what is known of the model they are for."""

    path: str
    format: Format
    arrays: dict[str, np.ndarray]
    origins: dict[str, str]  # name in the table -> name in the file
    description: Description

    @property
    def activation(self) -> str | None:
        """As the file or its configuration says, or else as the format means."""
        return self.description.arguments.get("activation", self.format.activation)

    @property
    def epsilon(self) -> float | None:
        """As the file or its configuration says, or else as the format means."""
        return self.description.arguments.get("epsilon", self.format.epsilon)

    @property
    def grid(self) -> tuple[int, int] | None:
        """Of the position embeddings; None where nothing says it, or it is another file's."""
        grid, positions = self.description.grid, self.array(POSITION)
        if grid is None or positions is None:
            return grid
        return grid if positions.shape[-2] - grid[0] * grid[1] in (0, 1) else None

    def position_grid(self, square: bool = False) -> tuple[int, int] | None:
        """Returns the grid of the position embeddings: what is said, or else a square one.

        Args:
            square: take a square one, whatever is said.
        """
        positions = self.array(POSITION)
        if positions is None:
            return None
        said = None if square else self.grid
        return square_grid(positions.shape[-2]) if said is None else said

    def array(self, ours: str) -> np.ndarray | None:
        """Returns the file's array for a weight of ours; None if it has none."""
        slot = self.format.slot(ours)
        return None if slot is None else self.arrays.get(slot.name)

    @property
    def classes(self) -> int | None:
        """The number of outputs; None without a head."""
        bias = self.array(HEAD[1])
        return None if bias is None else len(bias)

    @property
    def representation_size(self) -> int | None:
        """The width of the representation layer; None without one."""
        bias = self.array(REPRESENTATION[1])
        return None if bias is None else len(bias)

    @property
    def expects_class_slot(self) -> bool:
        """Whether the first position embedding belongs to the class token, as far as names tell."""
        if self.array(CLASS_TOKEN) is None:
            return False
        slot = self.format.slot(POSITION)
        origin = self.origins.get(slot.name, "") if slot else ""
        # big_vision, with the embedding at the top, adds positions before the class token comes.
        return self.format.source != "google" or "Transformer/" in origin

    def implied_arguments(self) -> dict:
        """Returns the arguments of VisionTransformer that the file decides."""
        said = self.description.arguments
        if self.format.family != "vit":
            return {"epsilon": said["epsilon"]} if "epsilon" in said else {}
        if self.array("pooling/probe") is not None:
            classifier = "map"
        else:
            classifier = "gap" if self.array(CLASS_TOKEN) is None else "token"
        implied = {
            "activation": self.activation,
            "epsilon": self.epsilon,
            "classifier": classifier,
            "representation_size": self.representation_size,
        }
        if "position_embedding" in said:
            implied["position_embedding"] = said["position_embedding"]
        elif self.array(POSITION) is None:
            # big_vision has sines and cosines where it has no learned embeddings.
            implied["position_embedding"] = "sincos2d" if self.format.source == "google" else "none"
        return implied


def read_checkpoint(path: str | os.PathLike, source: str | None = None) -> Checkpoint:
    """Reads a checkpoint file, or a folder of transformers or keras-hub.

    Args:
        path: an .npz, .safetensors or .weights.h5 file, or a folder with `config.json`.
        source: "google", "timm", "huggingface", "keras_hub"; None recognises it by its names.

    Raises:
        FileNotFoundError: if there is nothing at `path`.
        ValueError: for a damaged file or configuration, a pickle, or names of no known format.
    """
    if not isinstance(path, str | os.PathLike):
        raise ValueError(f"path is {path!r}; give the path of a checkpoint.")
    path = Path(path)
    files = _files_in(path) if path.is_dir() else [path]
    found: dict[str, tuple[str, np.ndarray]] = {}
    metadata: dict[str, str] = {}
    known: Format | None = None
    for file in files:
        with open_file(file) as opened:
            known = known or recognise(str(path), list(opened.arrays), source)
            found |= known.canonical(opened.arrays)
            metadata |= opened.metadata
    assert known is not None
    arrays = {name: array for name, (_, array) in found.items()}
    description = described_by_metadata(metadata, known.family)
    if description is None:
        description = known.described(configurations_beside(files[0]), arrays)
    origins = {name: origin for name, (origin, _) in found.items()}
    return Checkpoint(str(path), known, arrays, origins, description)


def _files_in(folder):
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    if (folder / "model.weights.h5").is_file():  # keras-hub: backbone, then head
        more = folder / "task.weights.h5"
        return [folder / "model.weights.h5", *([more] if more.is_file() else [])]
    raise ValueError(
        f"The folder {folder} has neither model.safetensors (transformers) nor model.weights.h5 "
        "(keras-hub); give the path of a checkpoint file."
    )
