"""Learned position embeddings for another number of patches."""

import numpy as np

METHODS = ("bilinear", "bicubic")


def resample_position_embedding(
    embedding, old_grid, new_grid, num_prefix_tokens=1, method="bilinear"
):
    """Interpolates position embeddings from one grid of patches to another.

    Args:
        embedding: `(1, P + rows * columns, D)`, prefix tokens first, patches row by row.
        old_grid: `(rows, columns)` of the embedding.
        new_grid: `(rows, columns)` wanted; neither needs to be square.
        num_prefix_tokens: P; their embeddings are kept as they are.
        method: `"bilinear"` is the authors' (the corners of both grids coincide);
            `"bicubic"` is what timm and Hugging Face use when they change the resolution
            (pixel centres, a = -0.75, without antialiasing).

    Returns:
        float32 array `(1, P + new rows * new columns, D)`.

    Raises:
        ValueError: if the old grid does not fit the embedding, or for an unknown method.

    Example:
        >>> table = np.zeros((1, 1 + 14 * 14, 768))
        >>> keras_vit.resample_position_embedding(table, (14, 14), (24, 24)).shape
        (1, 577, 768)

    Reference:
        arXiv 2010.11929, section 3.2; `scipy.ndimage.zoom(order=1)` in vit_jax.
    """
    embedding = np.asarray(embedding, "float32")
    if method not in METHODS:
        raise ValueError(f"method is {method!r}; use one of {', '.join(map(repr, METHODS))}.")
    expected = num_prefix_tokens + old_grid[0] * old_grid[1]
    if embedding.ndim != 3 or embedding.shape[:2] != (1, expected):
        raise ValueError(
            f"A grid of {old_grid[0]} x {old_grid[1]} patches with {num_prefix_tokens} prefix "
            f"tokens needs an embedding of shape (1, {expected}, D), not {embedding.shape}."
        )
    prefix, patches = embedding[0, :num_prefix_tokens], embedding[0, num_prefix_tokens:]
    if tuple(old_grid) == tuple(new_grid):
        return embedding
    matrix = _bilinear if method == "bilinear" else _bicubic
    patches = patches.reshape(*old_grid, -1).astype("float64")
    patches = np.einsum("ij,jkd->ikd", matrix(old_grid[0], new_grid[0]), patches)
    patches = np.einsum("ij,kjd->kid", matrix(old_grid[1], new_grid[1]), patches)
    patches = patches.reshape(new_grid[0] * new_grid[1], -1)
    return np.concatenate([prefix, patches])[None].astype("float32")


def _bilinear(old, new):
    """The (new, old) matrix of linear interpolation in which first and last points coincide."""
    position = np.linspace(0, old - 1, new) if new > 1 else np.zeros(1)
    left = np.minimum(position.astype(int), max(old - 2, 0))
    right = np.minimum(left + 1, old - 1)
    weight, rows = position - left, np.arange(new)
    matrix = np.zeros((new, old))
    np.add.at(matrix, (rows, left), 1 - weight)
    np.add.at(matrix, (rows, right), weight)
    return matrix


def _bicubic(old, new, a=-0.75):
    """The (new, old) matrix of cubic convolution at pixel centres, edges repeated."""
    position = (np.arange(new) + 0.5) * old / new - 0.5
    floor = np.floor(position).astype(int)
    matrix, rows = np.zeros((new, old)), np.arange(new)
    for step in range(-1, 3):
        t = np.abs(position - (floor + step))
        near = (a + 2) * t**3 - (a + 3) * t**2 + 1
        far = a * (t**3 - 5 * t**2 + 8 * t - 4)
        np.add.at(matrix, (rows, np.clip(floor + step, 0, old - 1)), np.where(t <= 1, near, far))
    return matrix
