"""How far a ViT's heads look, and what its position embeddings know of the image's two dimensions.

The distance is the one of `keras_vit.inspection.attention_distance`, which this must not import: it
would load a backend.

Reference: Dosovitskiy et al., arXiv 2010.11929, section 4.5, figures 7, 10 and 11.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import numpy as np
from pydantic import Field

from studies.evaluation import EvaluationOptions, Inputs, Leads

READS = frozenset({"attention"})
UNITS = {"attention_distance": "pixels", "position": "correlation"}
LEADS = Leads(
    "attention_distance",
    "mean attention distance",
    "attention_distance_uniform",
    "a head that attends to all patches alike",
    "block",
)


class Options(EvaluationOptions):
    """What a ViT attends to.

    Args:
        images: test images over which distances are averaged, evenly over all; the paper takes 128.
    """

    images: Annotated[int, Field(ge=1)] = 128


def evaluate(inputs: Inputs, options: Options) -> dict[str, float]:
    """Mean attention distances, and how position embeddings follow the grid of patches.

    Returns:
        In pixels of the image: `attention_distance`, the mean over blocks and heads;
        `attention_distance_3`, that over the heads of block 3 (the first is 1);
        `attention_distance_3_2`, that of its head 2; `attention_distance_uniform`, that of a head which
        attends to all patches alike. Of models whose positions are embeddings, correlations in
        [-1, 1] over all pairs of different patches: `position_nearness`, of the embeddings' cosine
        similarity with minus the patches' distance; `position_rows` and `position_columns`, of it with
        being in one row and in one column.
    """
    if inputs.attention is None or inputs.grid is None or inputs.patch_size is None:
        raise ValueError("The inputs lack what the evaluation reads: fill what READS names.")
    apart = patch_distances(inputs.grid, inputs.patch_size)
    blocks = mean_distances(inputs.attention, apart)  # (L, heads)
    found = {
        "attention_distance": float(blocks.mean()),
        "attention_distance_uniform": float(apart.mean()),
    }
    for block, heads in enumerate(blocks, 1):
        found[f"attention_distance_{block}"] = float(heads.mean())
        found |= {f"attention_distance_{block}_{h}": float(d) for h, d in enumerate(heads, 1)}
    if inputs.position_embeddings is not None:
        found |= positions(inputs.position_embeddings, inputs.grid)
    return found


def patch_distances(grid: tuple[int, int], patch_size: tuple[float, float]) -> np.ndarray:
    """(N, N) distances between the centres of patches, numbered row by row, in pixels."""
    row, column = (axis.reshape(-1) for axis in np.indices(grid))
    height, width = patch_size
    return np.hypot((row[:, None] - row) * height, (column[:, None] - column) * width)


def mean_distances(attention: Iterable[np.ndarray], apart: np.ndarray) -> np.ndarray:
    """Mean distance between a patch and what it attends to, by block and head.

    Tokens before the patches have no place: they are left out, and a query's weights on the patches
    are scaled to sum to 1. A query without any does not count.

    Args:
        attention: (L, B, heads, T, T) each, some images at a time.
        apart: (N, N) distances of the patches.

    Returns:
        (L, heads), in the unit of `apart`.
    """
    total, count = 0.0, 0.0
    for scores in attention:
        patches = np.asarray(scores)[..., -len(apart) :, -len(apart) :]
        weight = patches.sum(axis=-1, dtype=np.float64)  # (L, B, heads, N)
        reach = np.einsum("lbhij,ij->lbhi", patches, apart)
        seen = weight > 0
        mean = np.divide(reach, weight, out=np.zeros_like(reach), where=seen)
        total, count = total + mean.sum(axis=(1, 3)), count + seen.sum(axis=(1, 3))
    return total / np.maximum(count, 1)


def positions(embeddings: np.ndarray, grid: tuple[int, int]) -> dict[str, float]:
    """How the cosine similarity of patches' position embeddings follows their places.

    Args:
        embeddings: (N, D), patches row by row.
        grid: rows and columns.

    Returns:
        The correlations that `evaluate` describes; those that a grid of one row, one column or one
        patch leaves open, and those of embeddings that are all alike, are left out.
    """
    vectors = np.asarray(embeddings, np.float64)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.maximum(length, np.finfo(np.float64).tiny)
    row, column = (axis.reshape(-1) for axis in np.indices(grid))
    pairs = np.triu_indices(len(vectors), k=1)
    similarity = (unit @ unit.T)[pairs]
    with_what = {
        "position_nearness": -patch_distances(grid, (1.0, 1.0))[pairs],
        "position_rows": (row[:, None] == row)[pairs].astype(float),
        "position_columns": (column[:, None] == column)[pairs].astype(float),
    }
    return {
        name: float(np.corrcoef(similarity, other)[0, 1])
        for name, other in with_what.items()
        if len(similarity) > 1 and np.ptp(similarity) > 0 and np.ptp(other) > 0
    }
