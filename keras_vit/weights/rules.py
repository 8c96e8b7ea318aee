"""How a weight of ours is called and laid out in another project's files.

A format is a table of rules. A rule says what a layer of ours is called there and what kind of layer
it is; the kind says how each of its arrays is laid out. Every layout goes both ways without
arithmetic, so that the same table reads and writes, bit for bit.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from keras_vit.weights.description import Description

HEAD = ("head/kernel", "head/bias")
DISTILLATION_HEAD = ("distillation_head/kernel", "distillation_head/bias")
REPRESENTATION = ("pre_logits/kernel", "pre_logits/bias")
PATCH_KERNEL = "patch_embedding/projection/kernel"
POSITION = "position_embedding/position_embedding"
CLASS_TOKEN = "class_token/class_token"
DISTILLATION_TOKEN = "distillation_token/class_token"
REGISTERS = "registers/registers"
PREFIX_TOKENS = (CLASS_TOKEN, DISTILLATION_TOKEN, REGISTERS)  # in the order of the tokens


# Kinds of encoder blocks: those of a VisionTransformer; with gated MLPs; with rotary positions
PLAIN, GATED, ROTARY = "plain", "gated", "rotary"


class Sizes(NamedTuple):
    """What a layout must know of the model besides the array itself."""

    heads: int
    patch: tuple[int, int]


@dataclass(frozen=True)
class Layout:
    """A reshape or transposition and its inverse."""

    to_ours: Callable[[np.ndarray, Sizes], np.ndarray]
    to_theirs: Callable[[np.ndarray, Sizes], np.ndarray]


SAME = Layout(lambda a, _: a, lambda a, _: a)
TRANSPOSED = Layout(lambda a, _: a.T, lambda a, _: a.T)  # (out, in) and (in, out)
CONVOLUTION = Layout(  # (out, in, h, w) and (h, w, in, out)
    lambda a, _: a.transpose(2, 3, 1, 0), lambda a, _: a.transpose(3, 2, 0, 1)
)
PATCHES = Layout(  # (ph, pw, C, D) and (ph * pw * C, D)
    lambda a, _: a.reshape(-1, a.shape[-1]),
    lambda a, s: a.reshape(*s.patch, -1, a.shape[-1]),
)
PATCHES_TRANSPOSED = Layout(  # (D, C, ph, pw) and (ph * pw * C, D)
    lambda a, _: a.transpose(2, 3, 1, 0).reshape(-1, a.shape[0]),
    lambda a, s: a.reshape(*s.patch, -1, a.shape[-1]).transpose(3, 2, 0, 1),
)
HEADS_OUT = Layout(  # (..., heads, d) and (..., D)
    lambda a, _: a.reshape(*a.shape[:-2], -1),
    lambda a, s: a.reshape(*a.shape[:-1], s.heads, -1),
)
HEADS_IN = Layout(  # (heads, d, D) and (D, D)
    lambda a, _: a.reshape(-1, a.shape[-1]),
    lambda a, s: a.reshape(s.heads, -1, a.shape[-1]),
)
POINTWISE = Layout(lambda a, _: a[0, 0], lambda a, _: a[None, None])  # (1, 1, in, out), (in, out)
POINTWISE_TRANSPOSED = Layout(  # (out, in, 1, 1) and (in, out)
    lambda a, _: a[:, :, 0, 0].T, lambda a, _: a.T[:, :, None, None]
)
TOKEN = Layout(lambda a, _: a[None, None], lambda a, _: a[0, 0])  # (D,) and (1, 1, D)
WITHOUT_BATCH = Layout(lambda a, _: a[None], lambda a, _: a[0])  # (N, D) and (1, N, D)


@dataclass(frozen=True)
class Rule:
    """One line of a table.

    `ours` and `theirs` are names of layers; `{i}` is a block's index, `{s}` and `{u}` a stage's and
    a unit's number. `theirs` may also say `{s0}`, `{u0}` (counted from 0), `{u2}` (two digits) and
    `{tail}` (nothing, `_1`, `_2` ...). A rule of the kind "whole" names a weight, not a layer.
    """

    ours: str
    theirs: str
    kind: str = "dense"
    part: tuple[int, int] = (0, 1)  # which of how many equal parts along their first axis


class Slot(NamedTuple):
    """Where one weight of ours lies in a file."""

    name: str
    layout: Layout
    part: tuple[int, int]


@dataclass(frozen=True)
class Format:
    """A project's naming of one family of models.

    `canonical` turns a file's arrays into `{name in this table: (name in the file, array)}`, which
    is where a project's older layouts are translated; `exported` turns a name of the table into the
    one to write.
    """

    source: str
    family: str
    title: str  # what to call it in sentences
    rules: tuple[Rule, ...]
    leaves: Mapping[str, str]
    layouts: Mapping[str, Mapping[str, Layout]]
    recognises: Callable[[list[str]], bool]
    canonical: Callable[[Mapping[str, np.ndarray]], dict[str, tuple[str, np.ndarray]]]
    exported: Callable[[str, dict], str] = lambda name, config: name
    # which of these names of the table no forward pass of theirs reads beside the others
    unread: Callable[[Collection[str]], list[str]] = lambda names: []
    separator: str = "."
    blocks: tuple[str, ...] = (PLAIN,)  # the kinds of encoder blocks that it has
    activation: str | None = None
    interpolation: str = "bilinear"  # of position embeddings to another grid
    epsilon: float | None = None
    obstacle: Callable[[dict], str | None] = lambda config: None  # why a model cannot be exported
    # where the project computes something else with what is written, the configuration included
    differences: Callable[[dict], list[str]] = lambda config: []
    # what the files beside the weights say, by their name, with the arrays of `canonical` at hand
    described: Callable[[dict, dict], Description] = lambda configurations, arrays: Description()
    # the config.json with which the project builds the model, from its arguments and grid
    configuration: Callable[[dict, tuple | None], dict | None] = lambda arguments, grid: None
    # Arrays that the project's files have and a model of ours does not, put beside those to write.
    completed: Callable[[dict, dict], dict] = lambda arrays, config: arrays

    def slot(self, name: str) -> Slot | None:
        """Returns where the weight `name` of ours lies; None if the format has no place for it."""
        layer, _, leaf = name.rpartition("/")
        for rule in self.rules:
            whole = rule.kind == "whole"
            match = _pattern(rule.ours).fullmatch(name if whole else layer)
            if match is None or not (whole or leaf in self.leaves):
                continue
            theirs = rule.theirs.format(**_numbers(match.groupdict()))
            if not whole:
                theirs = f"{theirs}{self.separator}{self.leaves[leaf]}"
            layout = self.layouts.get(rule.kind, {}).get(leaf, SAME)
            return Slot(theirs, layout, rule.part)
        return None


def blocks_of(arguments: Mapping) -> str:
    """Returns the kind of encoder blocks of a model with these arguments."""
    rotary = arguments.get("rotary")
    if rotary is not None and rotary["coordinates"] != "none":
        return ROTARY
    return GATED if arguments.get("gated") or arguments.get("inner_norms") else PLAIN


def their_shape(slot: Slot, shape: tuple[int, ...], sizes: Sizes) -> tuple[int, ...]:
    """Returns the shape of the file's array for a weight of ours of the given shape."""
    # An empty array costs no memory as long as nobody writes to it.
    first, *rest = slot.layout.to_theirs(np.empty(shape, "float32"), sizes).shape
    return (first * slot.part[1], *rest)


def take_part(array: np.ndarray, part: tuple[int, int]) -> np.ndarray:
    """Returns part `part[0]` of `part[1]` equal parts along the first axis."""
    index, count = part
    size = len(array) // count
    return array if count == 1 else array[index * size : (index + 1) * size]


@cache
def _pattern(ours: str) -> re.Pattern:
    return re.compile(re.sub(r"\{(\w)\}", r"(?P<\1>\\d+)", ours))


def _numbers(groups: dict[str, str]) -> dict[str, int | str]:
    numbers: dict[str, int | str] = {key: int(value) for key, value in groups.items()}
    for key in ("s", "u"):
        if key in numbers:
            numbers[f"{key}0"] = int(groups[key]) - 1
            numbers[f"{key}2"] = f"{int(groups[key]):02d}"
    if "i" in numbers:
        numbers["tail"] = f"_{numbers['i']}" if numbers["i"] else ""
    return numbers
