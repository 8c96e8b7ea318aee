"""A checkpoint that has been read: arrays under the names of its format's table."""

import os
import re
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from keras_vit.layers.arguments import ATTENTION_PARTS, check_biased
from keras_vit.layers.rotary import UNTURNED
from keras_vit.layers.rotary_block import BRANCHES
from keras_vit.weights.adapting import DECODER, find_prefix, left_aside, skipping
from keras_vit.weights.description import (
    Description,
    configurations_beside,
    described_by_metadata,
)
from keras_vit.weights.formats import FORMATS, recognise
from keras_vit.weights.position import square_grid
from keras_vit.weights.readers import LazyArrays, open_file, read_json
from keras_vit.weights.rules import (
    CLASS_TOKEN,
    DISTILLATION_TOKEN,
    HEAD,
    PATCH_KERNEL,
    PATCHES,
    PLAIN,
    POSITION,
    PREFIX_TOKENS,
    REGISTERS,
    REPRESENTATION,
    Format,
    Sizes,
    blocks_of,
    take_part,
)

_BESIDE = re.compile(r"(?!\.\.?$)[^/\\\0]+")  # the name of a file in the same folder
START_OF_LAYER_SCALE = 1e-5  # of new factors; those of a file have values


@dataclass
class Checkpoint:
    """Arrays by their name in the format's table, and what is known of the model they are for."""

    path: str
    format: Format
    arrays: dict[str, np.ndarray]
    origins: dict[str, str]  # name in the table -> name in the file
    description: Description
    configurations: dict[str, dict]  # the files beside it, by their name
    notes: tuple[str, ...] = ()  # what was adapted or left aside
    skips: Callable[[str], bool] = lambda name: False  # which names need not be there

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
        return grid if positions.shape[-2] - grid[0] * grid[1] in self.slots else None

    @property
    def interpolation(self) -> str:
        """Of the position embeddings to another grid: as the file says, or as its project does."""
        return self.description.interpolation or self.format.interpolation

    def position_grid(self, square: bool = False) -> tuple[int, int] | None:
        """Returns the grid of the position embeddings: what is said, or else a square one.

        Args:
            square: take a square one, whatever is said.
        """
        positions = self.array(POSITION)
        if positions is None:
            return None
        said = None if square else self.grid
        return square_grid(positions.shape[-2], self.slots) if said is None else said

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
    def patch(self) -> tuple[int, int, int, int]:
        """Height and width of a patch, channels, and the width of the tokens."""
        slot = self.format.slot(PATCH_KERNEL)
        shape = self.arrays[slot.name].shape if slot and slot.name in self.arrays else ()
        if len(shape) != 4:
            raise ValueError(f"{self.path} has no convolution that embeds patches.")
        assert slot is not None
        return shape if slot.layout is PATCHES else (shape[2], shape[3], shape[1], shape[0])

    @property
    def image_size(self) -> tuple[int, int] | None:
        """What timm's configuration says of the images' size; None where it says nothing."""
        told = self.configurations["config.json"].get("pretrained_cfg") or {}
        size = told.get("input_size")
        return None if size is None else (size[-2], size[-1])

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
        tokens = [self.value(name) for name in PREFIX_TOKENS]
        number = sum(token.shape[1] for token in tokens if token is not None)
        if number == 0:
            return 0, 1
        slot = self.format.slot(POSITION)
        origin = self.origins.get(slot.name, "") if slot else ""
        # big_vision, with the embedding at the top, adds positions before the class token comes.
        before = self.format.source == "google" and "Transformer/" not in origin
        return (0, number) if before else (number, 0)

    def implied_arguments(self) -> dict:
        """Returns the arguments of VisionTransformer that the file decides."""
        said = self.description.arguments
        if self.format.family != "vit":
            return {"epsilon": said["epsilon"]} if "epsilon" in said else {}
        implied = {
            "activation": self.activation,
            "epsilon": self.epsilon,
            "classifier": said.get("classifier", self._classifier()),
            "representation_size": self.representation_size,
            **self._tokens(),
            **self._block(),
            **self._inside(),
        }
        if "position_embedding" in said:
            implied["position_embedding"] = said["position_embedding"]
        elif self.has(POSITION):
            implied["position_embedding"] = "learned"
        else:
            # big_vision has sines and cosines where it has no learned embeddings.
            implied["position_embedding"] = "sincos2d" if self.format.source == "google" else "none"
        return implied

    def _classifier(self):
        if self.has("pooling/probe"):
            return "map"
        if self.has("distillation_head/bias"):
            return "distilled"
        if not self.has(CLASS_TOKEN):
            return "gap"
        kernel = self.value(HEAD[0])
        if kernel is None or self.representation_size is not None:
            return "token"
        return "token_gap" if len(kernel) == 2 * self.patch[3] else "token"

    def _tokens(self):
        registers = self.array(REGISTERS)
        return {
            "class_token": self.has(CLASS_TOKEN),
            "distilled": self.has(DISTILLATION_TOKEN),
            "registers": 0 if registers is None else registers.shape[-2],
        }

    def _block(self):
        after, before = self.has("pooling_norm/gamma"), self.has("encoder_norm/gamma")
        scale = self.has("block_0/attention_scale/scale")
        biased = [part for part in ATTENTION_PARTS if self.has(f"block_0/attention/{part}/bias")]
        return {
            "layer_scale": START_OF_LAYER_SCALE if scale else None,
            "pre_norm": self.has("pre_norm/gamma"),
            "final_norm": "after" if after else "before" if before else "none",
            "patch_bias": self.has("patch_embedding/projection/bias"),
            "qkv_bias": check_biased("qkv_bias", biased or False),
        }

    def _inside(self):
        """What only the blocks of a RotaryVisionTransformer have; nothing where they have none."""
        found = {
            "gated": self.has("block_0/mlp/gate/kernel"),
            "inner_norms": tuple(
                branch for branch in BRANCHES if self.has(f"block_0/{branch}/norm/gamma")
            ),
            "rotary": self.description.arguments.get("rotary", asdict(UNTURNED)),
        }
        return {} if blocks_of(found) == PLAIN else found


def read_checkpoint(
    path: str | os.PathLike,
    source: str | None = None,
    adapt: bool = False,
    skip: str | Iterable[str] | None = None,
) -> Checkpoint:
    """Reads a checkpoint file, or a folder of transformers or keras-hub.

    Args:
        path: an .npz, .safetensors or .weights.h5 file, or a folder with `config.json`.
        source: "google", "timm", "huggingface", "openclip", "keras_hub"; None recognises it by its
            names.
        adapt: look for the model below a prefix of the names, and leave a decoder aside.
        skip: regular expressions; names in which one is found are left aside.

    Raises:
        FileNotFoundError: if there is nothing at `path`.
        ValueError: for a damaged file or configuration, a pickle, or names of no known format.
    """
    if not isinstance(path, str | os.PathLike):
        raise ValueError(f"path is {path!r}; give the path of a checkpoint.")
    path = Path(path)
    files = _files_in(path) if path.is_dir() else [path]
    skips, notes, prefix = skipping(skip), [], ""
    with ExitStack() as stack:
        opened = [stack.enter_context(open_file(file)) for file in files]
        homes = {name: file.arrays for file in opened for name in file.arrays}
        names = list(homes)
        if adapt:
            prefix, names, notes = _below_prefix(names)
        whole = LazyArrays(names, lambda name: homes[prefix + name][prefix + name])
        known = recognise(str(path), names, source)
        found = known.canonical(whole)
        metadata = {key: value for file in opened for key, value in file.metadata.items()}
    if skipped := {name for name, (origin, _) in found.items() if skips(name) or skips(origin)}:
        notes.append(left_aside("what skip names", (found[name][0] for name in skipped)))
    if unread := set(known.unread(found.keys() - skipped)):
        what = f"what {known.title} does not read beside a head"
        notes.append(left_aside(what, (found[name][0] for name in unread)))
    aside = skipped | unread
    arrays = {name: array for name, (_, array) in found.items() if name not in aside}
    beside = configurations_beside(files[0])
    description = described_by_metadata(metadata, known.family)
    if description is None:
        try:
            description = known.described(beside, arrays)
        except (LookupError, TypeError, AttributeError, ArithmeticError) as error:
            raise ValueError(
                f"The configuration beside {path} is damaged: {type(error).__name__} ({error})."
            ) from error
    origins = {name: prefix + origin for name, (origin, _) in found.items()}
    return Checkpoint(str(path), known, arrays, origins, description, beside, tuple(notes), skips)


def _below_prefix(names):
    """Returns the prefix of a model's names, these without it and a decoder's, and what to tell."""
    prefix = find_prefix(names, lambda names: any(known.recognises(names) for known in FORMATS))
    if prefix is None:
        return "", names, []  # recognising them fails, with a message
    below = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
    decoder = [name for name in below if DECODER.search(name)]
    notes = []
    if prefix:
        notes.append(f"the prefix {prefix!r} taken off its names")
    if outside := [name for name in names if not name.startswith(prefix)]:
        notes.append(left_aside("what has no such prefix", outside))
    if decoder:
        notes.append(left_aside("a decoder", decoder))
    return prefix, [name for name in below if name not in set(decoder)], notes


def _files_in(folder):
    """Returns the files that hold a folder's weights: one, shards of one, or keras-hub's pair."""
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            shards = sorted(set(read_json(index)["weight_map"].values()))
            elsewhere = [name for name in shards if not _BESIDE.fullmatch(name)]
        except (ValueError, LookupError, AttributeError, TypeError) as error:
            raise ValueError(f"{index} does not say which file has which weights.") from error
        if elsewhere or not shards:
            raise ValueError(
                f"{index} must name files beside it, not {elsewhere[0] if shards else 'none'!r}."
            )
        return [folder / name for name in shards]
    if (folder / "model.weights.h5").is_file():  # keras-hub: backbone, then head
        more = folder / "task.weights.h5"
        return [folder / "model.weights.h5", *([more] if more.is_file() else [])]
    alone = list(folder.glob("*.safetensors"))
    if len(alone) == 1:
        return alone
    raise ValueError(
        f"The folder {folder} has neither model.safetensors (or its shards with "
        "model.safetensors.index.json) nor model.weights.h5 (keras-hub); give the path of a "
        "checkpoint file."
    )
