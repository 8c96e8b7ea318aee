"""The same trials run twice (on two machines, backends or versions): how far apart their accuracies are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from studies.analysis.estimate import Estimate
from studies.analysis.intervals import difference_of
from studies.analysis.outcomes import Outcomes, Scores, right_minus_right
from studies.analysis.seed_intervals import difference_interval

Cell = tuple[str, int]  # model and number of training images
Place = tuple[Cell, int]  # and seed


class Pooled(NamedTuple):
    """A difference over several trials.

    Attributes:
        difference: second run minus first.
        trials: how many it is over, of each run.
    """

    difference: Estimate
    trials: int


def complete(places: Sequence[Place]) -> tuple[list[Cell], list[int]]:
    """The cells and seeds of the largest full grid among some trials: each cell with each seed.

    A mean over them has the same cells for every seed, so that seeds can be compared. Seeds are added
    by how many cells they have; of equals the grid of more seeds is taken.
    """
    cells_of: dict[int, set[Cell]] = {}
    for cell, seed in places:
        cells_of.setdefault(seed, set()).add(cell)
    seeds = sorted(cells_of, key=lambda seed: (-len(cells_of[seed]), seed))
    grids = [
        (set.intersection(*(cells_of[seed] for seed in seeds[:number])), seeds[:number])
        for number in range(1, len(seeds) + 1)
    ]
    best = max(grids, key=lambda grid: (len(grid[0]) * len(grid[1]), len(grid[1])), default=None)
    return (sorted(best[0]), sorted(best[1])) if best else ([], [])


def pooled_difference(
    a: Mapping[Place, Outcomes],
    b: Mapping[Place, Outcomes],
    balanced: bool = False,
    overlap: float = 0.0,
    level: float = 0.9,
) -> Pooled | None:
    """The difference b - a in mean accuracy over all trials of the largest full grid of both.

    Within a seed all trials are tested on the same images, so that an image's value is its mean over
    the cells; seeds and images then count as for the difference of two models.

    Args:
        a, b: outcomes by cell and seed.
        balanced, overlap, level: as for `studies.analysis.intervals.difference`; the overlap of the
            largest size holds for all.

    Returns:
        None where no trial is in both, or where the trials of a seed were tested on different images.
    """
    cells, seeds = complete([place for place in a if place in b])
    scores = []
    for seed in seeds:
        parts = [right_minus_right([b[cell, seed]], [a[cell, seed]])[0] for cell in cells]
        first = parts[0]
        if any(not np.array_equal(part.group, first.group) for part in parts):
            return None
        value = np.mean([part.value for part in parts], axis=0)
        scores.append(Scores(seed, value, first.group, first.label))
    if not scores:
        return None
    return Pooled(difference_of(scores, balanced, overlap, level), len(cells) * len(seeds))


def pooled_over_seeds(
    a: Mapping[Place, float],
    b: Mapping[Place, float],
    level: float = 0.9,
    images: int | None = None,
) -> Pooled | None:
    """The same from accuracies alone: over seeds, with the test set not in the interval.

    Args:
        a, b: accuracies by cell and seed.
        level, images: as for `studies.analysis.seed_intervals.difference_interval`.
    """
    cells, seeds = complete([place for place in a if place in b])
    if not seeds:
        return None
    means = [{s: float(np.mean([side[c, s] for c in cells])) for s in seeds} for side in (b, a)]
    found = difference_interval(means[0], means[1], level, images)  # type: ignore[arg-type]
    return Pooled(found.within(-1.0, 1.0), len(cells) * len(seeds))


def predicted_alike(a: Outcomes, b: Outcomes) -> float:
    """Share of the test images to which two trials on the same images give the same class."""
    first, second = a.predicted[np.argsort(a.image)], b.predicted[np.argsort(b.image)]
    return float(np.mean(first == second))
