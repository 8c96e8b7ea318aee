"""The figures of ``shapes`` as distances from their edge: ten with names, and blobs without end.

Each function takes coordinates u (to the right) and v (down) of any equal shape, in radii from the
figure's middle, and gives a float32 array of that shape: negative inside, 0 on the edge, and near it
about the distance in radii, so that edges can be drawn smooth and outlines of even width.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_HALF_TURN = np.float32(np.pi)


def exactly(function: np.ufunc, *values: np.ndarray) -> np.ndarray:
    """A sine or the like of float32 numbers, computed in float64 and rounded: float32.

    NumPy's float32 sines differ in the last bit from one kind of processor to another, and with them
    pixels; in float64 they differ far behind what is kept.
    """
    return function(*values, dtype=np.float64).astype(np.float32)


def length(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The distance from the middle."""
    squares = u * u
    squares += v * v
    return np.sqrt(squares, out=squares)


def _box(u: np.ndarray, v: np.ndarray, half_width: float, half_height: float) -> np.ndarray:
    return np.maximum(np.abs(u) - np.float32(half_width), np.abs(v) - np.float32(half_height))


def _beyond(u: np.ndarray, v: np.ndarray, turn: float, offset: float) -> np.ndarray:
    """The distance beyond a straight line that lies `offset` from the middle, in a direction."""
    return u * np.float32(np.cos(turn)) + v * np.float32(np.sin(turn)) - np.float32(offset)


def disc(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return length(u, v) - np.float32(0.85)


def semicircle(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    v = v - np.float32(0.45)
    return np.maximum(length(u, v) - np.float32(1.0), v)


def square(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return _box(u, v, 0.75, 0.75)


def triangle(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    sides = [_beyond(u, v, np.pi / 2 + k * 2 * np.pi / 3, 0.5) for k in range(3)]
    return np.maximum(np.maximum(sides[0], sides[1]), sides[2])


def cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.minimum(_box(u, v, 0.95, 0.3), _box(u, v, 0.3, 0.95))


def star(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Five points: all ten halves of them are folded onto one edge."""
    tenth = np.float32(np.pi / 5)
    turn = np.abs((exactly(np.arctan2, u, -v) + _HALF_TURN) % (2 * tenth) - tenth)  # 0 .. tenth
    radius = length(u, v)
    # The fold puts a hollow at turn 0 and a point, at length 1, at turn tenth.
    hollow, point = 0.42, np.array([np.cos(np.pi / 5), np.sin(np.pi / 5)])
    edge = point - [hollow, 0.0]
    normal = np.array([edge[1], -edge[0]]) / np.hypot(*edge)
    along, across = radius * exactly(np.cos, turn), radius * exactly(np.sin, turn)
    return (along - np.float32(hollow)) * np.float32(normal[0]) + across * np.float32(normal[1])


def crescent(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    u = u - np.float32(0.25)
    return np.maximum(
        length(u, v) - np.float32(0.95), np.float32(0.8) - length(u - np.float32(0.45), v)
    )


def heart(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """A square on its corner, and a disc on each of its two upper sides."""
    u, v = np.abs(u), v + np.float32(0.05)
    half, root = 0.56, np.float32(np.sqrt(0.5))
    corner = (u + np.abs(v)) * root - np.float32(half)
    middle = np.float32(half) * root
    return np.minimum(corner, length(u - middle, v + middle) - np.float32(half))


def arrow(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    head = np.maximum(_beyond(u, np.abs(v), np.pi / 4, 0.67), np.float32(0.1) - u)
    return np.minimum(head, _box(u + np.float32(0.4), v, 0.55, 0.24))


def bow_tie(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    u, v = np.abs(u), np.abs(v)
    return np.maximum(u - np.float32(0.9), _beyond(-u, v, np.pi / 4, 0.08))


def blob(u: np.ndarray, v: np.ndarray, waves: np.ndarray) -> np.ndarray:
    """An irregular figure, whose edge lies at a radius that changes with the direction.

    Args:
        u, v: (N, H, W) coordinates.
        waves: (N, 2, M) the cosines' and the sines' parts of the radius, from 2 waves a turn to M + 1.
    """
    radius = length(u, v)
    from_zero = np.maximum(radius, np.float32(0.1))
    cos, sin = u / from_zero, v / from_zero
    cos_m, sin_m = cos, sin
    edge, slope = np.full_like(radius, 0.8), np.zeros_like(radius)
    for m, (cosine, sine) in enumerate(waves.transpose(2, 1, 0)[..., None, None], start=2):
        # The angle's multiples by addition theorems: products alone, the same on every processor.
        cos_m, sin_m = cos_m * cos - sin_m * sin, sin_m * cos + cos_m * sin
        edge += cosine * cos_m + sine * sin_m
        slope += np.float32(m) * (sine * cos_m - cosine * sin_m)
    slope /= from_zero
    # Where the edge runs aslant to its direction, it is nearer than along the direction.
    return (radius - edge) / np.sqrt(np.float32(1) + slope * slope)


FIGURES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "disc": disc,
    "semicircle": semicircle,
    "square": square,
    "triangle": triangle,
    "cross": cross,
    "star": star,
    "crescent": crescent,
    "heart": heart,
    "arrow": arrow,
    "bow tie": bow_tie,
}
