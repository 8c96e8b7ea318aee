"""``relations``: images whose class is a relation between distant parts, drawn to need relations.

A puzzle shows glyphs in the cells of a grid. One of them lies on white, the query; of the others one
has the query's form, the match, and its colour is the class. Counting does not help: every colour is
there in every puzzle, each form may be any colour's, and nothing but the form joins query and match.
So a model must compare parts far from each other, which attention does in one step and a stack of
small convolutions only as far as it reaches. The data set shows what that is worth; it says nothing of
photographs.

Two things are to give each family its turn. Some puzzles tell: their query has the match's colour, too,
which is where a model begins to read queries. And most images are no puzzle but a figure of `shapes`, the
first for the first class and so on, which convolutions learn to see from fewer images than attention
does. Most matches are near their query, so that the reach of convolutions goes a part of the way.

The cells are as large as the patches of the built-in ViTs and lie on them, which random crops undo: with
them a ViT learns puzzles slowly, and without them (`--set recipe.augmentation=none`) a ResNet the figures.
Crops cut no glyph (an eighth of the side, see `cropping.random_crop`) and mirrored images keep their
class. Larger images show the same bits as larger squares.

References:
    Johnson et al., "CLEVR", CVPR 2017, arXiv 1612.06890, for classes that are relations; and for
    lookup by content as what attention does: Graves et al., "Neural Turing Machines", arXiv 1410.5401.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np

from studies.data.drawn import BLOCK, SIZE, Drawn
from studies.data.images import ImageSize
from studies.data.shapes import Shapes
from studies.errors import UsageError

COLOURS = {
    "red": (210, 30, 30),
    "orange": (220, 120, 0),
    "yellow": (220, 210, 20),
    "green": (30, 140, 40),
    "mint": (100, 220, 150),
    "cyan": (20, 170, 210),
    "blue": (40, 60, 220),
    "violet": (130, 50, 190),
    "pink": (224, 110, 180),
    "brown": (110, 70, 30),
}
WHITE = (224, 224, 224)
NOISE = (
    32  # levels that noise adds to each pixel and channel; the brightest colour leaves them room
)
GRID, CELL = 6, 4  # cells a side; pixels a cell, as many as a patch of the built-in ViTs
MARGIN = (SIZE[0] - GRID * CELL) // 2  # pixels
LIT, APART = 8, 6  # of a glyph's 16 bits are lit, and as many differ between two glyphs at least


@dataclass(frozen=True)
class Knobs:
    """What makes it hard.

    Args:
        glyphs: their forms.
        distractors: fewest and most glyphs that are neither query nor match.
        nearness: matches at distance d, in a king's steps, are as frequent as d to the power of minus
            this.
        figures: part of the images that show a figure instead of a puzzle.
        told: part of the puzzles whose query has the match's colour.
    """

    glyphs: int = 8
    distractors: tuple[int, int] = (9, 13)
    nearness: float = 1.5
    figures: float = 0.6
    told: float = 0.35


KNOBS = Knobs()


class Relations(Drawn):
    """The source of the images.

    Raises:
        UsageError: as of `Drawn`, or a side is no multiple of 32 pixels.
    """

    kind = "relations"
    seed = 33
    class_names: ClassVar = [
        f"{a} or {b}" for a, b in zip(COLOURS, Shapes.class_names, strict=True)
    ]
    code = ("relations.py", *Shapes.code)
    knobs = KNOBS

    def __init__(self, name: str | None = None, size: ImageSize | None = None) -> None:
        if size is not None and any(side % unit for side, unit in zip(size, SIZE)):
            raise UsageError(
                f"The images of relations cannot be drawn in {size[1]}x{size[0]} pixels, since its "
                f"glyphs are made of whole pixels: choose an image size of {SIZE[0]} or a multiple of it."
            )
        super().__init__(name, size)

    @classmethod
    def _images(cls, rng: np.random.Generator, classes: np.ndarray, size: ImageSize) -> np.ndarray:
        rows = np.arange(BLOCK)
        figure = rng.random(BLOCK) < cls.knobs.figures
        forms, colours, query = _cells(rng, classes, cls.knobs)
        lit = np.concatenate([glyphs(cls.knobs.glyphs), np.zeros((1, CELL, CELL), bool)])[forms]
        palette = np.array([*COLOURS.values(), (0, 0, 0)], np.uint8)
        cells = lit[..., None] * palette[colours][:, :, None, None]
        cells[rows, query] += ~lit[rows, query][..., None] * np.array(WHITE, np.uint8)
        cells = cells.reshape(BLOCK, GRID, GRID, CELL, CELL, 3)
        picture = cells.transpose(0, 1, 3, 2, 4, 5).reshape(BLOCK, GRID * CELL, GRID * CELL, 3)
        for axis, unit in enumerate(SIZE, start=1):
            picture = picture.repeat(size[axis - 1] // unit, axis)
        height, width = picture.shape[1:3]
        top, left = (size[0] - height) // 2, (size[1] - width) // 2
        images = rng.integers(0, NOISE, (BLOCK, *size, 3), np.uint8)
        images[:, top : top + height, left : left + width] += picture
        images[figure] = Shapes._images(rng, classes, size)[figure]
        return images


@cache
def glyphs(number: int) -> np.ndarray:
    """The first glyphs: bool (number, CELL, CELL), none lighter or darker than another.

    Args:
        number: at most 40.
    """
    values = np.arange(2 ** (CELL * CELL))
    words = (values[:, None] >> np.arange(CELL * CELL)[::-1]) & 1
    words = words[words.sum(1) == LIT].astype(bool)
    chosen: list[np.ndarray] = []
    # In an order of their own, since in that of the numbers the first ones look alike.
    for word in words[np.random.default_rng(Relations.seed).permutation(len(words))]:
        if len(chosen) == number:
            break
        if all((word != other).sum() >= APART for other in chosen):
            chosen.append(word)
    return np.stack(chosen).reshape(-1, CELL, CELL)


def _cells(
    rng: np.random.Generator, classes: np.ndarray, knobs: Knobs
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Forms and colours of all cells, (BLOCK, GRID ** 2) integers, and which cell is the query, (BLOCK,).

    The form behind the last glyph is an empty cell's, the colour behind the last of all is black.
    """
    least, most = knobs.distractors
    number, empty = len(COLOURS), knobs.glyphs
    black = number
    pairs = _pairs(knobs.nearness)
    query, match = np.divmod(np.searchsorted(pairs, rng.random(BLOCK), "right"), GRID**2)
    form = rng.integers(0, knobs.glyphs, BLOCK)
    others = (form[:, None] + rng.integers(1, knobs.glyphs, (BLOCK, most))) % knobs.glyphs
    told = rng.random(BLOCK) < knobs.told
    # The nine other colours, then some of all ten: how often a colour comes tells nothing of the class.
    further = rng.permuted(np.tile(np.arange(1, number), (BLOCK, 1)), axis=1)
    again = rng.permuted(np.tile(np.arange(number), (BLOCK, 1)), axis=1)
    shades = np.concatenate([(classes[:, None] + further) % number, again], axis=1)[:, :most]
    shown = np.arange(most) < rng.integers(least, most + 1, BLOCK)[:, None]

    order = rng.random((BLOCK, GRID**2))
    np.put_along_axis(order, query[:, None], -2, axis=1)
    np.put_along_axis(order, match[:, None], -1, axis=1)
    laid = order.argsort(axis=1)[:, : most + 2]  # the cells of query, match and distractors
    forms = np.full((BLOCK, GRID**2), empty)
    forms_laid = [form, form, np.where(shown, others, empty)]
    np.put_along_axis(forms, laid, np.column_stack(forms_laid), axis=1)
    colours = np.full((BLOCK, GRID**2), black)
    colours_laid = [np.where(told, classes, black), classes, np.where(shown, shades, black)]
    np.put_along_axis(colours, laid, np.column_stack(colours_laid), axis=1)
    return forms, colours, query


@cache
def _pairs(nearness: float) -> np.ndarray:
    """How likely the pairs of cells are, summed up: by their distance, and alike at each distance."""
    place = np.stack(np.divmod(np.arange(GRID**2), GRID), axis=1)
    distance = np.abs(place[:, None] - place).max(2).ravel()
    number = np.bincount(distance)
    weight = np.where(distance > 0, distance.clip(1) ** -nearness / number[distance], 0).cumsum()
    return weight / weight[-1]
