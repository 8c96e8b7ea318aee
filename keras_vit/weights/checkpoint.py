"""A checkpoint that has been read: arrays under the names of its format's table."""

import json
import os
import re
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from keras_vit.weights.configuration import ACTIVATIONS, described, vision_part
from keras_vit.weights.formats import recognise
from keras_vit.weights.readers import LazyArrays, open_file
from keras_vit.weights.rules import (
    CLASS_TOKEN,
    DISTILLATION_TOKEN,
    HEAD,
    PATCHES,
    POSITION,
    PREFIX_TOKENS,
    REGISTERS,
    REPRESENTATION,
    Format,
    Sizes,
    take_part,
)

START_OF_LAYER_SCALE = 1e-5  # of new factors, should there ever be some; files have values


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
    metadata: dict[str, str] = field(default_factory=dict)  # what the file says of itself
    config: dict = field(default_factory=dict)  # the configuration beside it

    def array(self, ours: str) -> np.ndarray | None:
        """Returns the file's array for a weight of ours; None if it has none."""
        slot = self.format.slot(ours)
        return None if slot is None else self.arrays.get(slot.name)

    def has(self, ours: str) -> bool:
        """Returns whether the file has a weight of ours."""
        return self.array(ours) is not None

    def value(self, ours: str) -> np.ndarray | None:
        """Returns the file's array for a weight of ours in our layout; None if it has none."""
        slot = self.format.slot(ours)
        if slot is None or slot.name not in self.arrays:
            return None
        part = take_part(self.arrays[slot.name], slot.part)
        return slot.layout.to_ours(part, Sizes(1, (1, 1)))  # which reading does not need

    @property
    def hidden_size(self) -> int:
        """The width of the tokens."""
        return self.patch[3]

    @property
    def patch(self) -> tuple[int, int, int, int]:
        """Height and width of a patch, channels, and the width of the tokens."""
        slot = self.format.slot("patch_embedding/projection/kernel")
        shape = self.arrays[slot.name].shape if slot and slot.name in self.arrays else ()
        if len(shape) != 4:
            raise ValueError(f"{self.path} has no convolution that embeds patches.")
        assert slot is not None
        return shape if slot.layout is PATCHES else (shape[2], shape[3], shape[1], shape[0])

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
    def slots(self) -> tuple[int, ...]:
        """How many position embeddings may belong to tokens before the patches, likeliest first."""
        number = 0
        for name in PREFIX_TOKENS:
            array = self.array(name)
            number += 0 if array is None else array.shape[-2] if array.ndim > 1 else 1
        slot = self.format.slot(POSITION)
        origin = self.origins.get(slot.name, "") if slot else ""
        if number == 0:
            return 0, 1
        # big_vision, with the embedding at the top, adds positions before the class token comes.
        before = self.format.source == "google" and "Transformer/" not in origin
        return (0, number) if before else (number, 0)

    def _head_width(self):
        kernel = self.value(HEAD[0])
        return None if kernel is None or self.representation_size else len(kernel)

    def implied_arguments(self) -> dict:
        """Returns the arguments of VisionTransformer that the file decides."""
        if self.format.family != "vit":
            return {}
        has_class_token = self.has(CLASS_TOKEN)
        if self.has("pooling/probe"):
            classifier = "map"
        elif self.has("distillation_head/bias"):
            classifier = "distilled"
        elif has_class_token and self._head_width() == 2 * self.hidden_size:
            classifier = "token_gap"
        else:
            classifier = "token" if has_class_token else "gap"
        after, before = self.has("pooling_norm/gamma"), self.has("encoder_norm/gamma")
        registers, scale = self.array(REGISTERS), self.has("block_0/attention_scale/scale")
        implied = {
            "activation": self.activation,
            "epsilon": self.epsilon,
            "classifier": classifier,
            "representation_size": self.representation_size,
            "class_token": has_class_token,
            "distilled": self.has(DISTILLATION_TOKEN),
            "registers": 0 if registers is None else registers.shape[-2],
            "layer_scale": START_OF_LAYER_SCALE if scale else None,
            "pre_norm": self.has("pre_norm/gamma"),
            "final_norm": "after" if after else "before" if before else "none",
            "patch_bias": self.has("patch_embedding/projection/bias"),
            "qkv_bias": self.has("block_0/attention/query/bias"),
        }
        if self.position_embedding is not None:
            implied["position_embedding"] = self.position_embedding
        elif not self.has(POSITION):
            # big_vision has sines and cosines where it has no learned embeddings.
            implied["position_embedding"] = "sincos2d" if self.format.source == "google" else "none"
        said = described(self.config)
        if classifier in ("map", "distilled", "token_gap"):  # the weights of the head say it
            said.pop("classifier", None)
        return implied | said


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
    with ExitStack() as stack:
        opened = [stack.enter_context(open_file(file)) for file in files]
        homes = {name: file.arrays for file in opened for name in file.arrays}
        arrays = LazyArrays(list(homes), lambda name: homes[name][name])
        known = recognise(str(path), list(arrays), source)
        found = known.canonical(arrays)
        metadata = {key: value for file in opened for key, value in file.metadata.items()}
    config = _config_beside(files[0], known.source)
    config = vision_part(config)
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
        metadata=metadata,
        config=config,
    )
    positions = checkpoint.array(POSITION)
    if checkpoint.grid is not None and positions is not None:
        patches = checkpoint.grid[0] * checkpoint.grid[1]
        if positions.shape[-2] - patches not in checkpoint.slots:
            checkpoint.grid = None  # a configuration that belongs to another file
    return checkpoint


def _files_in(folder):
    """Returns the files that hold a folder's weights: one, shards of one, or keras-hub's pair."""
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        named = _json_in(index, "says what is in which file").get("weight_map", {})
        return [folder / name for name in sorted(set(named.values()))]
    if (folder / "model.weights.h5").is_file():  # keras-hub: backbone, then head
        more = folder / "task.weights.h5"
        return [folder / "model.weights.h5", *([more] if more.is_file() else [])]
    alone = sorted(folder.glob("*.safetensors"))
    if len(alone) == 1:
        return alone
    raise ValueError(
        f"The folder {folder} has neither model.safetensors (or its shards with "
        "model.safetensors.index.json) nor model.weights.h5 (keras-hub); give the path of a "
        "checkpoint file."
    )


def _config_beside(file, source, name="config.json"):
    """Returns the configuration that transformers and keras-hub save beside the weights."""
    path = file.with_name(name)
    if source not in ("timm", "huggingface", "keras_hub") or not path.is_file():
        return {}
    config = _json_in(path, f"describes {file.name}")
    return config.get("config", {}) if source == "keras_hub" else config


def _json_in(path, what):
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}, which {what}, is no valid JSON.") from error
    return found if isinstance(found, dict) else {}


def _described_by(config, known):
    """Returns activation, epsilon and grid: a configuration's, or else the format's."""
    activation, epsilon = known.activation, known.epsilon
    if known.family == "vit":
        name = config.get("hidden_act")
        activation = ACTIVATIONS.get(name, name) or activation
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
