"""Fitting a file's position embeddings to a model's grid and tokens."""

import math

import numpy as np

from keras_vit.layers.resample import resample_position_embedding
from keras_vit.weights.rules import PREFIX_TOKENS


def fit_position_embedding(
    embedding: np.ndarray,
    new_grid: tuple[int, int],
    num_slots: int,
    old_grid: tuple[int, int] | None = None,
    slots: tuple[int, ...] = (1, 0),
    interpolation: str = "bilinear",
) -> np.ndarray:
    """Interpolates position embeddings and gives or takes the entries of the tokens before patches.

    Where the file has no entries for them (its positions are added before the tokens come), the
    model's are zero: the same sum. Where the model has none, the file's entries go; what they add to
    tokens that the model has, `fold_slots` adds.

    Args:
        embedding: `(1, n, D)` of the file.
        new_grid: `(rows, columns)` of the model.
        num_slots: how many tokens before the patches have an entry in the model.
        old_grid: of the file; None works it out from n.
        slots: how many of the file's entries may be such tokens', the likeliest number first.
        interpolation: as in `resample_position_embedding`.

    Returns:
        `(1, num_slots + rows * columns, D)`.

    Raises:
        ValueError: if the file's grid cannot be told from n, or contradicts `old_grid`, or its
            entries are those of other tokens.
    """
    found, grid = slots_and_grid(embedding.shape[1], new_grid, old_grid, slots)
    if num_slots and found not in (0, num_slots):
        raise ValueError(
            f"The file has position embeddings of {found} tokens before the patches, the model of "
            f"{num_slots}."
        )
    if found > num_slots:
        embedding = embedding[:, found:]
    elif found < num_slots:
        zeros = np.zeros_like(embedding, shape=(1, num_slots, embedding.shape[2]))
        embedding = np.concatenate([zeros, embedding], axis=1)
    if grid == tuple(new_grid):
        return embedding
    return resample_position_embedding(embedding, grid, new_grid, num_slots, interpolation)


def fold_slots(values: dict[str, np.ndarray], entries: np.ndarray) -> None:
    """Adds the position embeddings of tokens to the tokens themselves, in place of `values`.

    Args:
        values: {name of ours: array}; the tokens before the patches among them.
        entries: `(1, n, D)`, those of class token, distillation token and registers, in this order;
            tokens that they do not reach have none.
    """
    for name in PREFIX_TOKENS:
        if name in values and entries.shape[1]:
            count = values[name].shape[1]
            values[name] = values[name] + entries[:, :count]
            entries = entries[:, count:]


def square_grid(count: int, slots: tuple[int, ...] = (1, 0)) -> tuple[int, int] | None:
    """Returns the square grid of so many position embeddings, of which `slots` may be of tokens."""
    for slot in slots:
        side = math.isqrt(max(count - slot, 0))
        if side > 0 and side * side == count - slot:
            return side, side
    return None


def slots_and_grid(count, new_grid, old_grid=None, slots=(1, 0)):
    """Returns how many entries belong to tokens before the patches, and the grid of the others."""
    if old_grid is not None:
        for slot in slots:
            if math.prod(old_grid) == count - slot:
                return slot, tuple(old_grid)
        raise ValueError(
            f"The file has {count} position embeddings, which do not fill a grid of "
            f"{old_grid[0]} x {old_grid[1]}, with or without those of a class token."
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
