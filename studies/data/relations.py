"""``relations``: images whose class is a relation between distant parts, drawn to need relations.

A puzzle shows glyphs in the cells of a grid. One of them lies on white, the query; of the others one
has the query's form, the match, and its colour is the class. Counting does not help: every colour is
there in every puzzle, each form may be any colour's, and nothing but the form joins query and match.
So a model must compare parts far from each other, which attention does in one step and a stack of
small convolutions only as far as it reaches. The data set shows what that is worth; it says nothing of
photographs.

Two things are to give each family its turn. Some puzzles tell: their query has the match's colour, too,
which is where a model begins to read queries. And most images are no puzzle but a crowd: glyphs that lie
at any pixel, in any colours, and the form that most of them have is the class, the first form for the
first class and so on. A convolution that knows a form knows it at every pixel; a patch cuts it in sixteen
ways, which a ViT must see one by one, so that it needs more images. Most matches are near their query, so
that the reach of convolutions goes a part of the way.

A puzzle's cells are as large as the patches of the built-in ViTs and lie on them. Random crops undo that:
a ViT then learns puzzles slowly, so studies of this data set are run without
(`--set recipe.augmentation=none`). Crops cut no glyph of a puzzle (an eighth of the side, see
`cropping.random_crop`). Larger images show the same bits as larger squares.

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
ROOM = 8  # pixels a side of the square within which a glyph of a crowd lies
LIT, APART = 8, 6  # of a glyph's 16 bits are lit, and as many differ between two glyphs at least


@dataclass(frozen=True)
class Knobs:
    """What makes it hard.

    Args:
        glyphs: their forms; the first ten are those of the classes in crowds.
        distractors: fewest and most glyphs that are neither query nor match.
        nearness: matches at distance d, in a king's steps, are as frequent as d to the power of minus
            this.
        told: part of the puzzles whose query has the match's colour.
        crowds: part of the images that are no puzzle but a crowd.
        own: part of a crowd's glyphs that have its class's form; the others are of other classes.
    """

    glyphs: int = 16
    distractors: tuple[int, int] = (9, 13)
    nearness: float = 1.5
    told: float = 0.25
    crowds: float = 0.6
    own: float = 0.6


KNOBS = Knobs()


class Relations(Drawn):
    """The source of the images.

    Raises:
        UsageError: as of `Drawn`, or a side is no multiple of 32 pixels.
    """

    kind = "relations"
    seed = 33
    class_names: ClassVar = [f"{colour} or form {n}" for n, colour in enumerate(COLOURS, start=1)]
    code = ("relations.py",)
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
        crowd = rng.random(BLOCK) < cls.knobs.crowds
        images = _puzzles(rng, classes, cls.knobs)
        images[crowd] = _crowds(rng, classes, cls.knobs)[crowd]
        for axis, unit in enumerate(SIZE, start=1):
            images = images.repeat(size[axis - 1] // unit, axis)
        images += rng.integers(0, NOISE, images.shape, np.uint8)
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


def _puzzles(rng: np.random.Generator, classes: np.ndarray, knobs: Knobs) -> np.ndarray:
    """Puzzles without noise, on black: (BLOCK, *SIZE, 3) uint8."""
    rows = np.arange(BLOCK)
    forms, colours, query = _cells(rng, classes, knobs)
    lit = np.concatenate([glyphs(knobs.glyphs), np.zeros((1, CELL, CELL), bool)])[forms]
    palette = np.array([*COLOURS.values(), (0, 0, 0)], np.uint8)
    cells = lit[..., None] * palette[colours][:, :, None, None]
    cells[rows, query] += ~lit[rows, query][..., None] * np.array(WHITE, np.uint8)
    around = ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0))
    return np.pad(_joined(cells, GRID), around)


def _crowds(rng: np.random.Generator, classes: np.ndarray, knobs: Knobs) -> np.ndarray:
    """Crowds without noise, on black: (BLOCK, *SIZE, 3) uint8."""
    number = len(COLOURS)
    side = SIZE[0] // ROOM
    shape = (BLOCK, side**2)
    others = (classes[:, None] + rng.integers(1, number, shape)) % number
    forms = np.where(rng.random(shape) < knobs.own, classes[:, None], others)
    top, left = rng.integers(0, ROOM - CELL + 1, (2, *shape))
    colours = np.array([*COLOURS.values()], np.uint8)[rng.integers(0, number, shape)]
    return _joined(_in_rooms(number)[forms, top, left][..., None] * colours[:, :, None, None], side)


@cache
def _in_rooms(number: int) -> np.ndarray:
    """The first glyphs at each place in a room: bool (number, tops, lefts, ROOM, ROOM)."""
    places = ROOM - CELL + 1
    rooms = np.zeros((number, places, places, ROOM, ROOM), bool)
    for top, left in np.ndindex(places, places):
        rooms[:, top, left, top : top + CELL, left : left + CELL] = glyphs(number)
    return rooms


def _joined(cells: np.ndarray, side: int) -> np.ndarray:
    """Cells (N, side ** 2, h, w, 3), row by row, as pictures (N, side * h, side * w, 3)."""
    number, _, height, width, _ = cells.shape
    grid = cells.reshape(number, side, side, height, width, 3).transpose(0, 1, 3, 2, 4, 5)
    return grid.reshape(number, side * height, side * width, 3)


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
