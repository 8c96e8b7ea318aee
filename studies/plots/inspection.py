"""What a ViT attends to and has learned, drawn as in figures 6, 7, 10 and 11 of the paper.

Takes the arrays of `keras_vit.inspection`; loads no backend.

Reference:
    arXiv 2010.11929, sections 4.5, D.4, D.7 and D.8.
"""

from __future__ import annotations

import math

import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from studies.plots.style import new_axes, new_panels, styles, themed


@themed
def attention_maps(images: np.ndarray, maps: np.ndarray, title: str = "") -> list[Axes]:
    """Draws each image beside itself darkened where the output does not look (figure 6).

    Args:
        images: (B, H, W, C), values in [-1, 1], C 1 or 3.
        maps: (B, H, W) in [0, 1], from `keras_vit.inspection.attention_map`.
        title: stands above all.

    Returns:
        The Axes of one new figure: input, attention, input, attention, ...
    """
    number = len(images)
    pairs = min(number, 3)  # beside each other
    rows = math.ceil(number / pairs)
    height, width = images.shape[1:3]
    side = 1.9
    tall = side * height / width
    above = 0.3 + (0.3 if title else 0)
    axes = new_panels(2 * number, 2 * pairs, width=side, height=tall + 0.08 + above / rows)
    for index, ax in enumerate(axes):
        ax.set_axis_off()
        place, is_map = divmod(index, 2)
        picture = np.clip((np.asarray(images[place], "float64") + 1) / 2, 0, 1)
        if is_map:
            picture = picture * np.asarray(maps[place])[..., None]
        _show(ax, picture)
        if place < pairs:
            ax.set_title("attention" if is_map else "input")
    if title:
        axes[0].figure.suptitle(title)
    return axes


@themed
def patch_filters(filters: np.ndarray, ax: Axes | None = None) -> Axes:
    """Draws principal components of the patch embedding as tiles (figure 7, left).

    Args:
        filters: (n, ph, pw, C), C 1 or 3, from `keras_vit.inspection.patch_filters`. Each is
            scaled on its own: its zero is mid-grey, its largest value black or white.
        ax: draws here; None makes a new figure.
    """
    filters = np.asarray(filters, "float64")
    if filters.shape[-1] not in (1, 3):
        raise ValueError(
            f"The filters have {filters.shape[-1]} channels; 1 or 3 can be drawn as colours."
        )
    largest = np.abs(filters).max(axis=(1, 2, 3), keepdims=True)
    tiles = filters / np.maximum(largest, np.finfo("float64").tiny) / 2 + 0.5
    columns = math.ceil(math.sqrt(len(tiles) * 7 / 4))  # 28 components: 4 rows of 7, as there
    rows = math.ceil(len(tiles) / columns)
    ax = new_axes(5.6, 5.6 * rows / columns + 0.5) if ax is None else ax
    blank = np.ones((rows * columns - len(tiles), *tiles.shape[1:]))
    _show(ax, _mosaic(np.concatenate([tiles, blank]).reshape(rows, columns, *tiles.shape[1:])))
    height, width = tiles.shape[1:3]
    for index in range(len(tiles)):  # else white at a tile's edge would run into the gap
        row, column = divmod(index, columns)
        corner = (column * (width + 1) - 0.5, row * (height + 1) - 0.5)
        frame = Rectangle(corner, width, height, fill=False, edgecolor="0.6", clip_on=False)
        frame.set_linewidth(0.7)
        ax.add_patch(frame)
    ax.set_axis_off()
    ax.set_title(f"patch embedding: first {len(tiles)} principal components")
    return ax


@themed
def position_similarity(
    similarity: np.ndarray, title: str = "position embedding similarity", ax: Axes | None = None
) -> Axes:
    """Draws a map for each patch: how similar its position embedding is to the others' (figures 7, 10).

    Args:
        similarity: (h, w, h, w), cosines, from `keras_vit.inspection.position_similarity`.
        title: stands above the Axes; figure 10 compares trainings.
        ax: draws here; None makes a new figure.
    """
    similarity = np.asarray(similarity, "float64")
    rows, columns = similarity.shape[:2]
    ax = new_axes(5.6, 5.2 * min(max(rows / columns, 0.5), 2)) if ax is None else ax
    seaborn.heatmap(
        _mosaic(similarity[..., None], np.nan)[..., 0], vmin=-1, vmax=1, cmap="viridis", square=True,
        xticklabels=False, yticklabels=False, rasterized=True, ax=ax,
        cbar_kws={"label": "cosine similarity", "fraction": 0.046, "pad": 0.03},
    )  # fmt: skip
    # A tile and its gap, in cells of the mosaic.
    for axis, number in ((ax.yaxis, rows), (ax.xaxis, columns)):
        shown = np.arange(0, number, math.ceil(number / 14))
        axis.set_ticks(shown * (number + 1) + number / 2, [str(i + 1) for i in shown])
    ax.grid(False)
    ax.tick_params(length=0, labelsize=9, rotation=0)
    ax.set_xlabel("input patch column")
    ax.set_ylabel("input patch row")
    ax.set_title(title)
    return ax


@themed
def attention_distance(
    distance: np.ndarray, image_size: tuple[int, int] | None = None, ax: Axes | None = None
) -> Axes:
    """Draws the mean attention distance of every head against depth (figures 7 and 11).

    Args:
        distance: (L, heads), pixels, from `keras_vit.inspection.attention_distance`.
        image_size: (height, width) in pixels; adds a line where attention would be uniform over
            an image of that size, in the limit of small patches.
        ax: draws here; None makes a new figure.
    """
    distance = np.asarray(distance, "float64")
    layers, heads = distance.shape
    ax = new_axes(6.0, 4.4) if ax is None else ax
    top = distance.max()
    if image_size is not None:
        uniform = _uniform_distance(*image_size)
        top = max(top, uniform)
        ax.axhline(uniform, color="0.5", linewidth=1, linestyle="--", label="uniform attention")
    depth = np.arange(1, layers + 1)
    looks = list(styles([str(head) for head in range(heads)]).values())
    for head in range(heads):
        label = f"head {head + 1}" if heads <= 4 else None
        ax.plot(
            depth, distance[:, head], looks[head].marker, color=looks[head].colour, markersize=6,
            alpha=0.85, label=label,
        )  # fmt: skip
    ax.set_xlim(0.5, layers + 0.5)
    ax.set_ylim(0, 1.06 * top or 1)
    ax.set_xticks(depth if layers <= 16 else depth[1::2])
    ax.set_xlabel("network depth (block)")
    ax.set_ylabel("mean attention distance (pixels)")
    if heads <= 4 or image_size is not None:
        # Above, since points may lie anywhere.
        ax.legend(fontsize=9, loc="lower right", bbox_to_anchor=(1, 1), ncols=5, frameon=False)
    return ax


def _mosaic(tiles: np.ndarray, gap: float = 1.0) -> np.ndarray:
    """(rows, columns, h, w, C) tiles with one cell between them -> (H, W, C)."""
    rows, columns, height, width, channels = tiles.shape
    out = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1, channels), gap)
    for row in range(rows):
        for column in range(columns):
            top, left = row * (height + 1), column * (width + 1)
            out[top : top + height, left : left + width] = tiles[row, column]
    return out


def _show(ax: Axes, picture: np.ndarray) -> None:
    grey = picture.shape[-1] == 1
    shown = picture[..., 0] if grey else picture
    ax.imshow(shown, cmap="gray" if grey else None, vmin=0, vmax=1, interpolation="nearest")


def _uniform_distance(height: float, width: float, points: int = 64) -> float:
    """The mean distance between two random points of a rectangle, on a grid of its points."""
    # Differences of coordinates have triangular weights: no need for all pairs.
    lag = np.arange(points)
    weight = np.where(lag == 0, points, 2 * (points - lag)) / points**2
    distances = np.hypot(lag[:, None] * height / points, lag[None] * width / points)
    return float(weight @ distances @ weight)
