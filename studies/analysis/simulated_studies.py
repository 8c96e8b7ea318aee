"""Studies that take milliseconds and whose truth is known, to try intervals and verdicts on.

Every study draws its whole folder of images anew, then trains real classifiers: ridge regression on
one-hot labels (closed form) of Gaussian classes. What a trial depends on is what it depends on in a
real study: the split, the draw of training images and, with random features, weights drawn by seed.

Models a and b see the same coordinates in part, and otherwise coordinates of their own with equal
class means: which one is better is chance alone, and their expected accuracies are equal. Model c
has a weaker signal in its own coordinates: it is worse.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from studies.analysis.outcomes import Scores

MODELS = ("a", "b", "c")
SHARED, OWN = 3, 4  # coordinates that all models see, and that each sees alone
BURST = 0.3  # scatter of the images of one group, beside 1 between groups


@dataclass(frozen=True)
class World:
    """A kind of study.

    Attributes:
        test: number of test images.
        pool: number of images that training images are drawn from; where the test set is drawn anew
            by every seed, of all images.
        size: number of training images.
        signal: how far the classes are apart.
        weaker: part of the signal that model c has in its own coordinates.
        official: whether all seeds share one test set.
        features: number of random features, drawn by each seed; 0 trains on the images themselves,
            so that nothing but the data is random.
        shares: of the classes.
        group: images in a group; groups are split and drawn as wholes.
    """

    test: int
    pool: int
    size: int
    signal: float
    weaker: float
    official: bool
    features: int = 0
    shares: tuple[float, ...] = (0.25,) * 4
    group: int = 1

    @property
    def overlap(self) -> float:
        """Share of the training images that two seeds have in common."""
        return self.size / self.pool

    @property
    def uneven(self) -> bool:
        """Whether the classes are uneven, so that balanced accuracy is asked for."""
        return max(self.shares) > 2 * min(self.shares)

    def study(self, seeds: int, rng: np.random.Generator) -> dict[str, list[Scores]]:
        """One study: for each model, the scores of every seed on its test images."""
        count = self.pool + self.official * self.test
        images, labels, groups = self._draw(count, rng)
        found: dict[str, list[Scores]] = {model: [] for model in MODELS}
        for seed in range(seeds):
            order = self._shuffled(self.pool, rng)
            if self.official:
                test, train = np.arange(self.pool, count), order[: self.size]
            else:
                test, train = order[: self.test], order[self.test : self.test + self.size]
            known, asked = images[train], images[test]
            products = None if self.features else self._products(known, labels[train])
            for number, model in enumerate(MODELS):
                start = SHARED + number * OWN
                columns = np.r_[:SHARED, start : start + OWN, -1]  # the last coordinate is 1
                if products is None:
                    features = self._features(columns, rng)
                    weights = _ridge(*self._products(features(known), labels[train]))
                    scores = features(asked) @ weights
                else:
                    square, cross = products
                    weights = np.zeros_like(cross)
                    weights[columns] = _ridge(square[np.ix_(columns, columns)], cross[columns])
                    scores = asked @ weights
                right = scores.argmax(axis=1) == labels[test]
                found[model].append(Scores(seed, right, groups[test], labels[test]))
        return found

    def _products(self, inputs: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sums of squares of the inputs (D, D), and with the one-hot labels (D, K)."""
        heavy = inputs
        if self.uneven:  # rare classes weigh more, so that they are not given up
            heavy = inputs / np.array(self.shares, np.float32)[labels, None]
        targets = np.eye(len(self.shares), dtype=np.float32)[labels]
        return heavy.T @ inputs, heavy.T @ targets

    def _features(
        self, columns: np.ndarray, rng: np.random.Generator
    ) -> Callable[[np.ndarray], np.ndarray]:
        """New random features of a model's coordinates: ReLU, with thresholds."""
        random = np.zeros((self._centres.shape[1], self.features), np.float32)
        random[columns] = rng.standard_normal((len(columns), self.features))
        random[:-1] /= np.sqrt(len(columns) - 1)
        return lambda images: np.maximum(images @ random, 0.0)

    @cached_property
    def _centres(self) -> np.ndarray:
        """(K, D) class means of the coordinates: shared, of a, of b, of c, and a constant 1."""
        rng = np.random.default_rng(0)
        shared, own = (rng.normal(size=(len(self.shares), n)) for n in (SHARED, OWN))
        parts = []
        for block, strength in ((shared, 1.0), (own, 1.0), (own, 1.0), (own, self.weaker)):
            block = block - block.mean(axis=0)
            scale = self.signal * strength / np.sqrt(np.mean(np.sum(block**2, axis=1)))
            parts.append(block * scale)
        constant = np.ones((len(self.shares), 1))
        return np.concatenate([*parts, constant], axis=1).astype(np.float32)

    def _draw(
        self, count: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Images (n, D), labels and groups (n,)."""
        groups = np.arange(count) // self.group
        labels = rng.choice(len(self.shares), size=groups[-1] + 1, p=self.shares)
        images = self._centres[labels]
        images[:, :-1] += rng.standard_normal((len(labels), images.shape[1] - 1), np.float32)
        if self.group > 1:
            images, labels = images[groups], labels[groups]
            scatter = rng.standard_normal((count, images.shape[1] - 1), np.float32)
            images[:, :-1] += BURST * scatter
        return images, labels, groups

    def _shuffled(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Images in random order, those of a group one after the other."""
        if self.group == 1:
            return rng.permutation(count)
        order = rng.permutation(-(-count // self.group))[:, None] * self.group
        order = (order + np.arange(self.group)).ravel()
        return order[order < count]


def _ridge(square: np.ndarray, cross: np.ndarray) -> np.ndarray:
    return np.linalg.solve(square + np.eye(len(square), dtype=square.dtype), cross)
