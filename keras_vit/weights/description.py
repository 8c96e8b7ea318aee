"""What stands beside the arrays of a checkpoint: its metadata, or a configuration.

Names and shapes do not tell how many heads share a width, which GELU, epsilon or grid the weights were
trained with, or what the head is on. Files that we write say all of it in their metadata; others may
have a `config.json` beside them. Each format reads (and writes) its own kind of configuration.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from keras_vit.layers.rotary import UNTURNED
from keras_vit.weights.readers import read_json

# The arguments that decide numbers without a trace in names and shapes
DECIDING = {
    "vit": (
        *("num_heads", "patch_size", "classifier", "position_embedding", "activation", "epsilon"),
        "rotary",
    ),
    "resnet": ("groups", "epsilon", "stem", "bottleneck"),
}
CONFIG, OPENCLIP_CONFIG = "config.json", "open_clip_config.json"
PREPROCESSOR = "preprocessor_config.json"  # transformers' of how images are prepared
PROCESSOR = "processor_config.json"  # theirs of images and text, which may have the other inside
CONFIGURATIONS = (CONFIG, PREPROCESSOR, PROCESSOR, "task.json", OPENCLIP_CONFIG)  # keras-hub's task
INTERPOLATION = "position_interpolation"  # of position embeddings to another grid
PREPROCESSING = "preprocessing"  # how images are prepared, as JSON
WEIGHTS_FILE = "weights_file"  # which of the files beside it a file of ours describes


@dataclass(frozen=True)
class Description:
    """What a checkpoint says of the model that it belongs to, beside its arrays.

    Args:
        arguments: of our model's constructor.
        grid: `(rows, columns)` of the position embeddings.
        obstacles: what it says that no model here computes.
        head_obstacles: the same, where it concerns nothing but the head.
        place: where it is said, for messages.
        interpolation: of the position embeddings to another grid.
        preprocessing: how images are prepared, as the metadata of our files have it.
    """

    arguments: Mapping[str, Any] = field(default_factory=dict)
    grid: tuple[int, int] | None = None
    obstacles: tuple[str, ...] = ()
    head_obstacles: tuple[str, ...] = ()
    place: str = "its metadata"
    interpolation: str | None = None
    preprocessing: Any = None


def metadata_of(
    arguments: Mapping[str, Any],
    family: str,
    grid: tuple[int, int] | None,
    interpolation: str | None = None,
    preprocessing: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """Returns what a file's metadata says of a model: strings by name.

    Args:
        arguments: of its constructor.
        family: `"vit"` or `"resnet"`.
        grid: `(rows, columns)` of the position embeddings.
        interpolation: of the position embeddings to another grid; None where it has none.
        preprocessing: how its images are prepared.
    """
    said = {name: _plain(arguments[name]) for name in DECIDING[family] if name in arguments}
    if isinstance(said.get("activation"), dict):
        del said["activation"]  # a function of the user's own
    metadata = {
        name: value if isinstance(value, str) else json.dumps(value) for name, value in said.items()
    }
    if grid is not None:
        metadata["grid"] = "{}x{}".format(*grid)
    if interpolation is not None:
        metadata[INTERPOLATION] = interpolation
    if preprocessing is not None:
        metadata[PREPROCESSING] = json.dumps(preprocessing)
    return metadata


def described_by_metadata(metadata: Mapping[str, str], family: str) -> Description | None:
    """Returns what the metadata of a file of ours says; None for any other file's."""
    said = {name: metadata[name] for name in DECIDING[family] if name in metadata}
    if not said:
        return None
    match = re.fullmatch(r"(\d+)x(\d+)", metadata.get("grid", ""))
    grid = (int(match[1]), int(match[2])) if match else None
    arguments = {name: _value(text) for name, text in said.items()}
    if family == "vit":  # older files say nothing of it
        arguments.setdefault("rotary", asdict(UNTURNED))
    return Description(
        arguments,
        grid,
        interpolation=metadata.get(INTERPOLATION),
        preprocessing=_value(metadata[PREPROCESSING]) if PREPROCESSING in metadata else None,
    )


def configurations_beside(file: Path) -> dict[str, dict]:
    """Returns `{name: configuration}` of the files that describe `file`; empty where there is none.

    Raises:
        ValueError: if one of them is no valid JSON.
    """
    return {name: _configuration(file, file.with_name(name)) for name in CONFIGURATIONS}


def differences(arguments: Mapping[str, Any], description: Description) -> list[str]:
    """Returns the names of the arguments in which a model is not as the checkpoint says."""
    return [
        name
        for name, value in description.arguments.items()
        if name in arguments and _plain(arguments[name]) != _plain(value)
    ]


def _configuration(file, path):
    if not path.is_file():
        return {}
    try:
        config = read_json(path)
    except ValueError as error:
        raise ValueError(f"{path}, which describes {file.name}, is no valid JSON.") from error
    if not isinstance(config, dict) or config.get(WEIGHTS_FILE, file.name) != file.name:
        return {}
    return config


def _plain(value):
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _value(text):
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return tuple(value) if isinstance(value, list) else value
