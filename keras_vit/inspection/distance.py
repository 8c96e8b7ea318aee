"""How far heads look: the Transformer's counterpart of a receptive field (paper, section 4.5)."""

import numpy as np

from keras_vit.inspection.attention import check_scores
from keras_vit.layers.patches import as_pair

MOST_PREFIX_TOKENS = 10  # before the patches; more of them, and the grid is another model's


def attention_distance(scores, grid, patch_size):
    """Returns the mean distance between a patch and what it attends to, for each head.

    For each query patch, the distances to all patches (between their centres) are averaged with
    the attention weights; then over queries and images. Tokens before the patches have no place in
    the image: they are left out, and the weights on the patches are scaled to sum to 1.

    Args:
        scores: `(L, B, heads, N, N)` from `attention_scores`; the paper takes 128 images.
        grid: `(rows, columns)` of the patches, such as `model.grid`; an int for a square.
        patch_size: height and width of a patch in pixels of the image, a number or a pair. In a
            hybrid a token stands for the image size divided by the grid.

    Returns:
        float32 array `(L, heads)`, pixels.

    Raises:
        ValueError: if the tokens are not the grid's patches, with or without a class token.

    Example:
        >>> scores = keras_vit.inspection.attention_scores(model, images)
        >>> keras_vit.inspection.attention_distance(scores, model.grid, 16).shape
        (12, 3)

    Reference:
        arXiv 2010.11929, figures 7 and 11.
    """
    scores, (rows, columns) = check_scores(scores), as_pair(grid, "grid")
    sides = np.asarray(patch_size, "float64")
    if sides.shape not in ((), (2,)) or not (sides > 0).all():
        raise ValueError(f"patch_size is {patch_size!r}; give pixels, a positive number or a pair.")
    height, width = np.broadcast_to(sides, 2)
    prefix = scores.shape[-1] - rows * columns
    if not 0 <= prefix <= max(1, min(MOST_PREFIX_TOKENS, rows * columns - 1)):
        raise ValueError(
            f"The scores are of {scores.shape[-1]} tokens, which a grid of {rows} x {columns} "
            "patches does not have, with or without a class token and registers; give model.grid."
        )
    row, column = (axis.reshape(-1) for axis in np.indices((rows, columns)))
    distance = np.hypot(
        (row[:, None] - row[None]) * height, (column[:, None] - column[None]) * width
    )  # (N, N)
    patches = scores[..., prefix:, prefix:]
    total = patches.sum(axis=-1, dtype="float64")  # (L, B, heads, N)
    weighted = np.einsum("lbhij,ij->lbhi", patches, distance)
    # A query that attends to no patch at all has no distance: it does not count.
    seen = total > 0
    mean = np.divide(weighted, total, out=np.zeros_like(total), where=seen)
    counts = np.maximum(seen.sum(axis=(1, 3)), 1)
    return (mean.sum(axis=(1, 3)) / counts).astype("float32")
