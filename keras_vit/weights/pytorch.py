"""What timm and transformers share: how PyTorch calls and lays out the weights of a layer."""

from collections.abc import Sequence

import numpy as np

from keras_vit.weights.rules import (
    CONVOLUTION,
    PATCHES_TRANSPOSED,
    POINTWISE_TRANSPOSED,
    TRANSPOSED,
    Rule,
    take_part,
)

LEAVES = {"kernel": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}
LAYOUTS = {
    "dense": {"kernel": TRANSPOSED},
    "convolution": {"kernel": CONVOLUTION},
    "patches": {"kernel": PATCHES_TRANSPOSED},
    "pointwise": {"kernel": POINTWISE_TRANSPOSED},
}


def unit_rules(ours: str, theirs: str) -> tuple[Rule, ...]:
    """Returns the rules of a residual unit; both projects took over the same names for it."""
    return (
        *(Rule(f"{ours}/conv{n}", f"{theirs}.conv{n}", "convolution") for n in (1, 2, 3)),
        *(Rule(f"{ours}/norm{n}", f"{theirs}.norm{n}", "norm") for n in (1, 2, 3)),
        Rule(f"{ours}/projection", f"{theirs}.downsample.conv", "convolution"),
        Rule(f"{ours}/projection_norm", f"{theirs}.downsample.norm", "norm"),
    )


def split_packed(found: dict, packed: str, names: Sequence[str]) -> None:
    """Puts the equal parts of an array, along its first axis, under names of their own.

    Args:
        found: `{name in the table: (name in the file, array)}`, which is changed.
        packed: the name of the whole.
        names: those of its parts; the whole's may be among them.
    """
    origin, array = found.pop(packed)
    for index, name in enumerate(names):
        found[name] = (origin, take_part(array, (index, len(names))))


def pack(arrays: dict, packed: str, names: Sequence[str]) -> None:
    """Puts arrays one behind the other under one name, in place of their own."""
    arrays[packed] = np.concatenate([arrays.pop(name) for name in names])


def fold_class_position(found: dict, token: str, positions: str) -> None:
    """Adds the first position embedding to the class token, where registers behind it have none.

    Args:
        found: `{name in the table: (name in the file, array)}`, which is changed.
        token, positions: the names of the class token and of the position embeddings.
    """
    if token in found and positions in found:  # else an error will name what is missing
        (token_name, class_token), (name, table) = found[token], found[positions]
        found[token] = (token_name, class_token + table[:, :1])
        found[positions] = (name, table[:, 1:])
