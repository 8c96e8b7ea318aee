"""A checkpoint that has been read: arrays under the names of its format's table."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_vit.layers.activations import GELU_EXACT, GELU_TANH
from keras_vit.weights.formats import recognise
from keras_vit.weights.readers import open_file
from keras_vit.weights.rules import CLASS_TOKEN, HEAD, POSITION, REPRESENTATION, Format

# transformers' names of activations that have one here
_TRANSFORMERS_ACTIVATIONS = {
    "gelu": GELU_EXACT,
    "gelu_python": GELU_EXACT,
    "gelu_new": GELU_TANH,
    "gelu_pytorch_tanh": GELU_TANH,
    "gelu_fast": GELU_TANH,
    "gelu_accurate": GELU_TANH,
}


@dataclass
class Checkpoint:
    """Arrays by their name in the format's table, and what is known of the model they are for."""

    path: str
    format: Format
    arrays: dict[str, np.ndarray]
    origins: dict[str, str]  # name in the table -> name in the file
    activation: str | None
    epsilon: float | None
    grid: tuple[int, int] | None  # of the position embeddings; None where the file does not say
    position_embedding: str | None = None  # its kind; None where the file does not say
    pooling: str | None = None  # of keras-hub's classifier; None where the folder does not say

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
        if self.format.family != "vit":
            return {}
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
        if self.position_embedding is not None:
            implied["position_embedding"] = self.position_embedding
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
        ValueError: for a damaged file, a pickle, or names of no known format.
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
    config = _config_beside(files[0], known.source)
    activation, epsilon, grid = _described_by(config, known)
    checkpoint = Checkpoint(
        path=str(path),
        format=known,
        arrays={name: array for name, (_, array) in found.items()},
        origins={name: origin for name, (origin, _) in found.items()},
        activation=metadata.get("activation", activation),
        epsilon=_number(metadata.get("epsilon"), epsilon),
        grid=_grid_of(metadata.get("grid")) or grid,
        position_embedding=metadata.get("position_embedding"),
        pooling=_config_beside(files[0], known.source, "task.json").get("pooling"),
    )
    positions = checkpoint.array(POSITION)
    if checkpoint.grid is not None and positions is not None:
        patches = checkpoint.grid[0] * checkpoint.grid[1]
        if positions.shape[-2] - patches not in (0, 1):
            checkpoint.grid = None  # a configuration that belongs to another file
    return checkpoint


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


def _config_beside(file, source, name="config.json"):
    """Returns the configuration that transformers and keras-hub save beside the weights."""
    path = file.with_name(name)
    if source not in ("huggingface", "keras_hub") or not path.is_file():
        return {}
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}, which describes {file.name}, is no valid JSON.") from error
    config = config if isinstance(config, dict) else {}
    return config.get("config", {}) if source == "keras_hub" else config


def _described_by(config, known):
    """Returns activation, epsilon and grid: a configuration's, or else the format's."""
    activation, epsilon = known.activation, known.epsilon
    if known.family == "vit":
        name = config.get("hidden_act")
        activation = _TRANSFORMERS_ACTIVATIONS.get(name, name) or activation
        epsilon = config.get("layer_norm_eps", config.get("layer_norm_epsilon", epsilon))
    size, patch = config.get("image_size", config.get("image_shape")), config.get("patch_size")
    if size is None or patch is None or config.get("data_format") == "channels_first":
        return activation, epsilon, None
    rows, columns = ((n, n) if isinstance(n, int) else tuple(n)[:2] for n in (size, patch))
    grid = tuple(side // step for side, step in zip(rows, columns, strict=True))
    return activation, epsilon, grid


def _number(text, otherwise):
    try:
        return float(text)
    except (TypeError, ValueError):
        return otherwise


def _grid_of(text):
    match = re.fullmatch(r"(\d+)x(\d+)", text or "")
    return (int(match[1]), int(match[2])) if match else None
