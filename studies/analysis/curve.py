"""A learning curve's observations: means over seeds, and how much single results scatter."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Curve:
    """Log errors of one model, arranged by seed and size.

    An entry is taken to be the law's log error, plus a shift that its seed has at all sizes, plus
    noise of its own.

    Attributes:
        sizes: (I,) numbers of training images, ascending, each once.
        table: (S, I) log errors; NaN where a seed has no result at a size. Without seed labels a
            row is only a slot: its entries do not belong together.
        seeds: the rows' labels, or None when observations are independent of each other.
        notes: what had to be done to the data, in words.
    """

    sizes: np.ndarray
    table: np.ndarray
    seeds: tuple[Hashable, ...] | None
    notes: tuple[str, ...] = ()

    @property
    def present(self) -> np.ndarray:
        return np.isfinite(self.table)

    @property
    def counts(self) -> np.ndarray:
        return self.present.sum(axis=0)

    @property
    def log_x(self) -> np.ndarray:
        """(I,) logs of size / largest size."""
        return np.log(self.sizes / self.sizes[-1])

    @property
    def means(self) -> np.ndarray:
        """(I,) mean log errors, those of a missing seed made up for by its shift elsewhere."""
        return self._effects[0]

    @property
    def shifts(self) -> np.ndarray | None:
        """(S,) by how much each seed's curve lies above their mean; None without comparable seeds."""
        return self._effects[1]

    @property
    def scatter(self) -> tuple[float, int]:
        """Sum of squares around means and shifts, and its degrees of freedom."""
        means, shifts = self._effects
        fitted = means if shifts is None else means + shifts[:, None]
        squares = float(np.nansum((self.table - fitted) ** 2))
        spent = len(means) + (0 if shifts is None else len(shifts) - 1)
        return squares, int(self.counts.sum()) - spent

    @cached_property
    def _effects(self) -> tuple[np.ndarray, np.ndarray | None]:
        means = np.nanmean(self.table, axis=0)
        num_rows, num_sizes = self.table.shape
        if self.seeds is None or num_rows < 2:
            return means, None
        # Least squares with one effect a size and one a seed, the seeds' adding up to zero.
        row, column = np.nonzero(self.present)
        design = np.zeros((len(row) + 1, num_sizes + num_rows))
        design[np.arange(len(row)), column] = 1.0
        design[np.arange(len(row)), num_sizes + row] = 1.0
        design[-1, num_sizes:] = 1.0
        target = np.append(self.table[row, column], 0.0)
        effects, _, rank, _ = np.linalg.lstsq(design, target, rcond=None)
        if rank < num_sizes + num_rows:  # seeds without a size in common cannot be compared
            return means, None
        return effects[:num_sizes], effects[num_sizes:]

    def same_design(self, other: Curve) -> bool:
        """Whether every observation has a partner of the same seed and size in the other curve."""
        return (
            self.seeds is not None
            and self.seeds == other.seeds
            and np.array_equal(self.sizes, other.sizes)
            and np.array_equal(self.present, other.present)
        )


def make_curve(sizes: ArrayLike, errors: ArrayLike, seeds: Sequence[Hashable] | None) -> Curve:
    """Arranges flat observations; see `fit_scaling_law` for what is allowed.

    Raises:
        ValueError: lengths differ, nothing is left, a size is not positive, an error is outside
            [0, inf) or all errors are zero.
    """
    x = np.asarray(sizes, dtype=float).ravel()
    e = np.asarray(errors, dtype=float).ravel()
    labels = None if seeds is None else list(np.asarray(seeds).ravel().tolist())
    if len(x) != len(e) or (labels is not None and len(labels) != len(x)):
        raise ValueError(
            f"sizes, errors and seeds must be equally long; got {len(x)}, {len(e)} and "
            f"{'none' if labels is None else len(labels)}."
        )
    notes: list[str] = []
    known = np.isfinite(e) & np.isfinite(x)
    if not known.all():
        notes.append(f"{int((~known).sum())} missing or infinite value(s) left out")
        x, e = x[known], e[known]
        labels = None if labels is None else [s for s, k in zip(labels, known, strict=True) if k]
    if len(x) == 0:
        raise ValueError("There is no finite error to fit a scaling law to.")
    if np.any(x <= 0):
        raise ValueError(f"Sizes must be positive; got {x.min():g}.")
    if np.any(e < 0):
        raise ValueError(f"Errors must not be negative; got {e.min():g} (error = 1 - accuracy).")
    if not np.any(e > 0):
        raise ValueError("All errors are zero: the test set is too easy or too small for a law.")
    if np.any(e == 0):
        # Zero mistakes in a finite test set mean "fewer than one", not "none ever".
        floor = 0.5 * float(e[e > 0].min())
        notes.append(f"{int((e == 0).sum())} error(s) of zero counted as {floor:.2g}")
        e = np.where(e == 0, floor, e)
    unique = np.unique(x)
    column = np.searchsorted(unique, x)
    log_e = np.log(e)
    if labels is None:
        row = np.zeros(len(x), dtype=int)
        for i in range(len(unique)):
            here = column == i
            row[here] = np.arange(here.sum())
        names = None
        num_rows = int(row.max()) + 1
    else:
        names = tuple(sorted(set(labels), key=lambda s: (str(type(s)), s)))
        row = np.array([names.index(s) for s in labels])
        num_rows = len(names)
    total = np.zeros((num_rows, len(unique)))
    number = np.zeros_like(total)
    np.add.at(total, (row, column), log_e)
    np.add.at(number, (row, column), 1.0)
    if np.any(number > 1):
        notes.append("repeated results of one size and seed averaged")
    table = np.where(number > 0, total / np.maximum(number, 1), np.nan)
    return Curve(unique, table, names, tuple(notes))
