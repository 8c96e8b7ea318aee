"""Fitting a file's position embeddings to a model's grid and tokens."""

import math

import numpy as np

from keras_vit.layers.resample import resample_position_embedding


def fit_position_embedding(
    embedding: np.ndarray,
    new_grid: tuple[int, int],
    num_prefix_tokens: int,
    old_grid: tuple[int, int] | None = None,
    expects_class_slot: bool = True,
    interpolation: str = "bilinear",
) -> np.ndarray:
    """Interpolates position embeddings and gives or takes the class token's entry.

    Where the file has no entry for the class token (its positions are added before the token comes),
    the model's is zero: the same sum. Where the model has no class token, the file's entry goes.

    Args:
        embedding: `(1, n, D)` of the file.
        new_grid: `(rows, columns)` of the model.
        num_prefix_tokens: 1 with a class token, else 0.
        old_grid: of the file; None works it out from n.
        expects_class_slot: whether the first entry is likely the class token's.
        interpolation: as in `resample_position_embedding`.

    Returns:
        `(1, num_prefix_tokens + rows * columns, D)`.

    Raises:
        ValueError: if the file's grid cannot be told from n, or contradicts `old_grid`.
    """
    slot, grid = _slot_and_grid(embedding.shape[1], new_grid, old_grid, expects_class_slot)
    if slot > num_prefix_tokens:
        embedding = embedding[:, 1:]
    elif slot < num_prefix_tokens:
        embedding = np.concatenate([np.zeros_like(embedding[:, :1]), embedding], axis=1)
    if grid == tuple(new_grid):
        return embedding
    return resample_position_embedding(embedding, grid, new_grid, num_prefix_tokens, interpolation)


def square_grid(count: int) -> tuple[int, int] | None:
    """Returns the square grid of so many position embeddings, one of which may be the class token's."""
    for patches in (count - 1, count):
        side = math.isqrt(max(patches, 0))
        if patches > 0 and side * side == patches:
            return side, side
    return None


def _slot_and_grid(count, new_grid, old_grid, expects_class_slot):
    """Returns how many entries (0 or 1) belong to the class token, and the grid of the others."""
    slots = (1, 0) if expects_class_slot else (0, 1)
    if old_grid is not None:
        for slot in slots:
            if math.prod(old_grid) == count - slot:
                return slot, tuple(old_grid)
        raise ValueError(
            f"The file has {count} position embeddings, which do not fill a grid of "
            f"{old_grid[0]} x {old_grid[1]}, with or without one for the class token."
        )
    for slot in slots:
        grids = _candidates(count - slot, tuple(new_grid))
        if len(grids) == 1:
            return slot, grids[0]
        if grids:
            raise ValueError(
                f"The file's {count - slot} position embeddings fill the model's grid and a square "
                "one: load them with load_weights (not create_model) and say which, "
                f"{' or '.join(f'grid={grid}' for grid in grids)}."
            )
    raise ValueError(
        f"The file has {count} position embeddings, which fill no square grid; load them with "
        "load_weights (not create_model) and give the grid that they are for, grid=(rows, columns)."
    )


def _candidates(patches, new_grid):
    """Returns the grids that so many patches may come from, `new_grid` first."""
    side = math.isqrt(max(patches, 0))
    grids = [new_grid] if math.prod(new_grid) == patches else []
    if patches > 0 and side * side == patches and (side, side) not in grids:
        grids.append((side, side))
    if grids:
        return grids
    # A smaller or larger grid of the model's own proportions
    scale = math.sqrt(max(patches, 0) / math.prod(new_grid))
    scaled = tuple(round(length * scale) for length in new_grid)
    fits = math.prod(scaled) == patches > 0
    return [scaled] if fits and scaled[0] * new_grid[1] == scaled[1] * new_grid[0] else []
