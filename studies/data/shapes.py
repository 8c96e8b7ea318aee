"""``shapes``: ten kinds of figures, drawn with NumPy, whose images cost nothing and never run out.

Every image shows one figure of random place, size, turn, stretch, colour and style on a patterned
ground among bars and arcs, some of which lie over it. Turning and clutter make the task one of
shape, not of colour or place. And as in photographs, the looks of a class have a long tail: most of
its images show the figure that it is named for, the others one of many blobs, the k-th of them k
times as seldom as the first. The more images, the more of them were met, so accuracy keeps rising
over two orders of magnitude of images.

Other sizes than 32 are drawn, not resized: the same figures at another resolution. How blocks of
images follow from their numbers is said in `drawn`.
"""

from __future__ import annotations

import numpy as np

from studies.data import figures
from studies.data.drawn import BLOCK, Drawn
from studies.data.images import ImageSize

CLASS_NAMES = list(figures.FIGURES)

# What makes it hard. Lengths are parts of the image's side, colours parts of the full range.
RADIUS = (0.25, 0.45)  # of the figure
PLACE = 0.5  # how far from the middle a figure may lie, in parts of the room that there is
STRETCH = 1.4  # the longest ratio of the figure's two axes
TURN = 0.6  # the largest turn to either side
OUTLINED = 0.2  # the part of figures drawn as outlines
STROKE = (0.16, 0.26)  # an outline's width, in parts of the radius
GROUND = 0.6  # the brightest colour of the ground; figures are lighter, clutter is of any colour
CONTRAST = 0.35  # how much lighter than the ground a figure is, at least
PATTERN = 0.12  # the strongest stripes of ground and figure
BEHIND, BEFORE = 3, 1  # pieces of clutter behind the figure and over it
PIECE_LENGTH, PIECE_WIDTH = (0.08, 0.30), (0.015, 0.045)
NOISE = 0.07  # half the range of each pixel's noise
SELDOM = 0.15  # the part of figures that are blobs
BLOBS = 300  # of each class
WAVES, SWING = 5, 0.10  # of a blob's edge: frequencies, from 2 a turn on, and each one's scale

_SEED = 32
_EDGES_STREAM = 3  # behind those of the three splits
_EDGES = np.random.default_rng([_SEED, _EDGES_STREAM]).normal(
    scale=SWING, size=(len(CLASS_NAMES), BLOBS, 2, WAVES)
)
_EDGES = _EDGES.astype(np.float32)
_UP_TO = np.cumsum(1 / np.arange(1, BLOBS + 1))
_UP_TO /= _UP_TO[-1]  # the part of blobs that are among the first k


class Shapes(Drawn):
    """The source of the images."""

    kind = "shapes"
    seed = _SEED
    class_names = CLASS_NAMES
    code = ("shapes.py", "figures.py")

    @classmethod
    def _images(cls, rng: np.random.Generator, classes: np.ndarray, size: ImageSize) -> np.ndarray:
        canvas = _Canvas(size)
        ground = rng.random((BLOCK, 3), np.float32) * np.float32(GROUND)
        canvas.fill(ground)
        canvas.pattern(rng, None)
        for _ in range(BEHIND):
            canvas.piece(rng)
        canvas.figure(rng, classes, ground)
        for _ in range(BEFORE):
            canvas.piece(rng)
        return canvas.developed(rng)


def _uniform(rng: np.random.Generator, low: float, high: float) -> np.ndarray:
    """One number an image, shaped to meet the pixels: (BLOCK, 1, 1) float32."""
    values = rng.random((BLOCK, 1, 1), np.float32)
    values *= np.float32(high - low)
    values += np.float32(low)
    return values


class _Canvas:
    """A block of images, on which layers are laid one over the other."""

    def __init__(self, size: ImageSize) -> None:
        height, width = size
        self.side = np.float32(min(size))
        self.planes = np.empty((3, BLOCK, height, width), np.float32)  # colours first: one add each
        # Pixel centres, from the image's middle.
        self.y = (np.arange(height, dtype=np.float32) - (height - 1) / 2)[None, :, None]
        self.x = (np.arange(width, dtype=np.float32) - (width - 1) / 2)[None, None, :]

    def fill(self, colour: np.ndarray) -> None:
        self.planes[:] = colour.T[:, :, None, None]

    def pattern(self, rng: np.random.Generator, coverage: np.ndarray | None) -> None:
        """Lightens and darkens in soft stripes of random direction and width; all, or what is covered."""
        angle = _uniform(rng, 0, 2 * np.pi)
        waves = _uniform(rng, 0.3, 5) * np.float32(2 * np.pi) / self.side
        strength = _uniform(rng, 0, PATTERN)
        start = _uniform(rng, 0, 2 * np.pi)
        cos, sin = figures.exactly(np.cos, angle), figures.exactly(np.sin, angle)
        across, down = self.x * (cos * waves), self.y * (sin * waves) + start
        # sin(across + down), but with sines of rows and columns alone: those of all pixels cost more.
        wave = figures.exactly(np.sin, across) * (strength * figures.exactly(np.cos, down))
        change = figures.exactly(np.cos, across) * (strength * figures.exactly(np.sin, down))
        wave += change
        if coverage is not None:
            wave *= coverage
        tint = rng.random((3, BLOCK, 1, 1), np.float32)
        for plane, part in zip(self.planes, tint, strict=True):
            plane += np.multiply(wave, part, out=change)

    def piece(self, rng: np.random.Generator) -> None:
        """Lays one bar or arc somewhere: long and thin, so that it is none of the figures."""
        x, y = (self.side * _uniform(rng, -0.5, 0.5) for _ in range(2))
        u, v = self._turned(x, y, _uniform(rng, 0, 2 * np.pi))
        length = self.side * _uniform(rng, *PIECE_LENGTH)
        width = self.side * _uniform(rng, *PIECE_WIDTH)
        # Every other image gets a bar, the rest an arc; which of them changes from piece to piece.
        first = int(rng.integers(2))
        bars, arcs = np.s_[first::2], np.s_[1 - first :: 2]
        distance = np.empty_like(u)
        overhang = np.abs(u[bars])
        overhang -= length[bars]
        np.maximum(overhang, np.abs(v[bars]), out=distance[bars])
        ring = figures.length(u[arcs], v[arcs])
        ring -= np.float32(0.7) * length[arcs]
        np.maximum(np.abs(ring, out=ring), u[arcs], out=distance[arcs])
        self._lay(distance, width, rng.random((BLOCK, 3), np.float32))

    def figure(self, rng: np.random.Generator, classes: np.ndarray, ground: np.ndarray) -> None:
        """Lays the figure that gives each image its class."""
        radius = _uniform(rng, *RADIUS)
        room = np.float32(0.5) - radius * np.float32(0.8)  # a corner may leave the image
        reach = room * np.float32(PLACE)
        x, y = (self.side * _uniform(rng, -1, 1) * reach for _ in range(2))
        radius *= self.side
        u, v = self._turned(x, y, _uniform(rng, -TURN, TURN))
        stretch = figures.exactly(np.exp, _uniform(rng, -0.5, 0.5) * np.float32(np.log(STRETCH)))
        u /= radius * stretch
        v /= radius / stretch
        distance = np.empty_like(u)
        for label, figure in enumerate(figures.FIGURES.values()):
            chosen = classes == label
            distance[chosen] = figure(u[chosen], v[chosen])
        seldom = rng.random(BLOCK) < SELDOM
        edges = _EDGES[classes, np.searchsorted(_UP_TO, rng.random(BLOCK), side="right")]
        distance[seldom] = figures.blob(u[seldom], v[seldom], edges[seldom])
        stroke = _uniform(rng, *STROKE) / 2
        outlined = (_uniform(rng, 0, 1) < OUTLINED).ravel()
        distance[outlined] = np.abs(distance[outlined] + stroke[outlined]) - stroke[outlined]
        distance *= radius
        coverage = self._lay(distance, np.float32(0), _lighter(rng, ground))
        self.pattern(rng, coverage)

    def developed(self, rng: np.random.Generator) -> np.ndarray:
        """Adds noise to every pixel and colour, and gives (BLOCK, H, W, 3) uint8."""
        images = np.empty((*self.planes.shape[1:], 3), np.uint8)
        for channel, plane in enumerate(self.planes):
            noise = rng.integers(0, 256, plane.shape, np.uint8)
            plane *= np.float32(255)
            plane += noise * np.float32(2 * NOISE)
            plane -= np.float32(255 * NOISE)
            images[..., channel] = np.clip(plane, 0, 255, out=plane)
        return images

    def _turned(
        self, x: np.ndarray, y: np.ndarray, angle: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates about (x, y), turned, in pixels: two arrays (BLOCK, H, W)."""
        cos, sin = figures.exactly(np.cos, angle), figures.exactly(np.sin, angle)
        across, down = self.x - x, self.y - y  # (BLOCK, 1, W), (BLOCK, H, 1)
        return across * cos + down * sin, down * cos - across * sin

    def _lay(
        self, distance: np.ndarray, width: np.ndarray | np.floating, colour: np.ndarray
    ) -> np.ndarray:
        """Paints where the distance, in pixels, is less than the width; smooth over one pixel."""
        coverage = np.subtract(width + np.float32(0.5), distance, out=distance)
        np.clip(coverage, 0, 1, out=coverage)
        change = np.empty_like(coverage)
        for plane, shade in zip(self.planes, colour.T, strict=True):
            np.subtract(shade[:, None, None], plane, out=change)
            change *= coverage
            plane += change
        return coverage


def _lighter(rng: np.random.Generator, ground: np.ndarray) -> np.ndarray:
    """Colours (BLOCK, 3) whose mean is CONTRAST or more above the ground's."""
    colour = rng.random((BLOCK, 3), np.float32)
    missing = np.maximum(ground.mean(1) + np.float32(CONTRAST) - colour.mean(1), 0)
    # What a channel cannot take without leaving the range is little; the others keep the hue.
    return np.clip(colour + missing[:, None], 0, 1)
