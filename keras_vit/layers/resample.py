"""Learned position embeddings for another number of patches, and the matrices of any resize.

A resize is two matrices, one for the rows and one for the columns, whose entries are a kernel's
values at the distances between old and new points. `array` is NumPy or `keras.ops`: the same formula
serves files and, for images of any size, the graph, where the number of new points is a tensor.
"""

import numpy as np

from keras_vit.layers.arguments import check_choice, check_count
from keras_vit.layers.patches import as_pair

INTERPOLATIONS = ("bilinear", "bicubic", "bicubic_antialias")


def resample_position_embedding(
    embedding, old_grid, new_grid, num_prefix_tokens=1, interpolation="bilinear"
):
    """Interpolates position embeddings from one grid of patches to another.

    Args:
        embedding: `(1, P + rows * columns, D)`, prefix tokens first, patches row by row.
        old_grid: `(rows, columns)` of the embedding; an int for a square, here and below.
        new_grid: `(rows, columns)` wanted; neither needs to be square.
        num_prefix_tokens: P; their embeddings are kept as they are.
        interpolation: `"bilinear"` is the authors' (the corners of both grids coincide);
            `"bicubic"` is Hugging Face's (pixel centres, a = -0.75, edges repeated);
            `"bicubic_antialias"` is timm's (pixel centres, a = -0.5, the kernel as much wider as
            the grid gets smaller, and cut off at the edges).

    Returns:
        float32 array `(1, P + new rows * new columns, D)`.

    Raises:
        ValueError: if the old grid does not fit the embedding, for a grid or number of tokens that is
            none, or for an unknown interpolation.

    Example:
        >>> table = np.zeros((1, 1 + 14 * 14, 768))
        >>> keras_vit.resample_position_embedding(table, (14, 14), (24, 24)).shape
        (1, 577, 768)

    Reference:
        arXiv 2010.11929, section 3.2; `scipy.ndimage.zoom(order=1)` in vit_jax; PyTorch's
        `interpolate(mode="bicubic", antialias=...)` in the others.
    """
    embedding = np.asarray(embedding, "float32")
    check_choice("interpolation", interpolation, INTERPOLATIONS)
    old_grid, new_grid = as_pair(old_grid, "old_grid"), as_pair(new_grid, "new_grid")
    check_count(num_prefix_tokens=num_prefix_tokens)
    expected = num_prefix_tokens + old_grid[0] * old_grid[1]
    if embedding.ndim != 3 or embedding.shape[:2] != (1, expected):
        raise ValueError(
            f"A grid of {old_grid[0]} x {old_grid[1]} patches with {num_prefix_tokens} prefix "
            f"tokens needs an embedding of shape (1, {expected}, D), not {embedding.shape}."
        )
    if old_grid == new_grid:
        return embedding
    prefix, patches = embedding[0, :num_prefix_tokens], embedding[0, num_prefix_tokens:]
    patches = patches.reshape(*old_grid, -1).astype("float64")
    patches = resample_grid(patches, new_grid, interpolation)
    patches = patches.reshape(new_grid[0] * new_grid[1], -1)
    return np.concatenate([prefix, patches])[None].astype("float32")


def resample_grid(values, new_grid, interpolation, array=np):
    """Returns `(rows, columns, D)` on another grid; see `resample_position_embedding`."""
    rows, columns = (
        interpolation_matrix(old, new, interpolation, array)
        for old, new in zip(values.shape[:2], new_grid, strict=True)
    )
    values = array.einsum("ij,jkd->ikd", rows, values)
    return array.einsum("ij,kjd->kid", columns, values)


def interpolation_matrix(old, new, interpolation, array=np):
    """Returns the `(new, old)` matrix of one axis.

    Args:
        old: number of points.
        new: number wanted; a scalar tensor with `keras.ops`.
        interpolation: as in `resample_position_embedding`, or `"lanczos3"` with antialias, as Pillow
            resizes images, with NumPy alone.
        array: NumPy or `keras.ops`.
    """
    dtype = "float64" if array is np else "float32"
    target, source = array.arange(new, dtype=dtype)[:, None], array.arange(old, dtype=dtype)[None]
    count = target[-1, 0] + 1  # `new`, in their dtype wherever it comes from
    scale = old / count
    if interpolation == "bilinear":
        # A single new point takes the first old one.
        step = (old - 1) / array.maximum(count - 1, 1)
        return array.maximum(1 - array.abs(target * step - source), 0)
    if interpolation == "bicubic":
        centre = (target + 0.5) * scale - 0.5
        # Two points more on either side, which stand for the edge.
        source = array.arange(-2, old + 2, dtype=dtype)[None]
        weights = _cubic(centre - source, a=-0.75, array=array)  # (new, old + 4)
        first = array.sum(weights[:, :3], axis=1, keepdims=True)
        last = array.sum(weights[:, old + 1 :], axis=1, keepdims=True)
        if old == 1:
            return array.ones_like(first)
        return array.concatenate([first, weights[:, 3 : old + 1], last], axis=1)
    centre, width = (target + 0.5) * scale, array.maximum(scale, 1)
    distance = (source + 0.5 - centre) / width
    lanczos = interpolation == "lanczos3"
    weights = _lanczos3(distance) if lanczos else _cubic(distance, a=-0.5, array=array)
    return weights / array.sum(weights, axis=1, keepdims=True)


def _cubic(distance, a, array):
    """Keys' cubic convolution kernel, which ends at a distance of 2."""
    t = array.abs(distance)
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = a * (((t - 5) * t + 8) * t - 4)
    return array.where(t <= 1, near, array.where(t < 2, far, array.zeros_like(t)))


def _lanczos3(distance):
    """The sinc function in a window that is one, three times as wide."""
    return np.where(abs(distance) < 3, np.sinc(distance) * np.sinc(distance / 3), 0)
