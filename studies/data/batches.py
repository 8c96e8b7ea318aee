"""Batches as a pure function of the global step: every backend sees the same pixels in the same order."""

from __future__ import annotations

import numpy as np

from studies.data.augmentation import NOTHING, Augmenting, augmented, check_augmentation
from studies.data.dataset import Split
from studies.data.mixing import mix
from studies.data.scramble import Scramble
from studies.errors import UsageError

_MIX = 4  # keeps the stream of the mixing apart from those of the order and the augmentation


class Batches:
    """Training batches, drawn in NumPy alone.

    The images of all epochs stand in one line, each epoch a new permutation drawn from
    ``default_rng([seed, epoch])``; step s takes the places s * batch_size to (s + 1) * batch_size.
    So nothing is dropped at an epoch's end, and a subset smaller than a batch repeats its images.
    Any step can be asked for at any time, which is what makes an exact resume possible.

    Args:
        split: the images and labels to draw from.
        indices: (n,) the subset of the split.
        batch_size: images a batch.
        seed: of order and augmentation, >= 0.
        augmentation: what is done to the images; nothing by default.
        num_classes: C of the targets; only mixup and CutMix need it.

    Raises:
        UsageError: the augmentation cannot be done, the subset is empty or the batch size below 1.

    Example:
        >>> batches = Batches(part.train, part.subset(500), 128, 0, Augmentation("crop"))
        >>> images, labels = batches.batch(17)  # (128, H, W, C) float32 in [-1, 1], (128,) int32
    """

    def __init__(
        self,
        split: Split,
        indices: np.ndarray,
        batch_size: int,
        seed: int,
        augmentation: Augmenting = NOTHING,
        num_classes: int | None = None,
    ) -> None:
        check_augmentation(augmentation)
        if len(indices) == 0 or batch_size < 1:
            raise UsageError(
                f"Batches need at least one image and a batch size of at least 1, not "
                f"{len(indices)} images and a batch size of {batch_size}."
            )
        self.split = split
        self.indices = np.asarray(indices)
        self.batch_size = int(batch_size)
        self.seed = int(seed)
        self.augmentation = augmentation
        self.mixes = augmentation.mixup > 0 or augmentation.cutmix > 0
        if self.mixes and num_classes is None:
            raise UsageError("Mixed labels need the number of classes: give Batches num_classes.")
        self.num_classes = num_classes
        cell = augmentation.scramble
        self._scramble = Scramble(cell, self.seed, split.images.shape[1:]) if cell else None
        self._epoch: tuple[int, np.ndarray] = (-1, self.indices)

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """The batch of a global step.

        Returns:
            images (B, H, W, C) float32 in [-1, 1], and labels (B,) int32; where mixup or CutMix mix
            them, the probabilities that are to be learned instead, (B, C) float32.
        """
        chosen = self.indices_of(step)
        images = augmented(self.split.images[chosen], self.augmentation, self.seed, step)
        pixels, labels = to_float(images), self.split.labels[chosen].astype(np.int32)
        if self.mixes:
            assert self.num_classes is not None
            rng = np.random.default_rng([self.seed, step, _MIX])
            mixup, cutmix = self.augmentation.mixup, self.augmentation.cutmix
            pixels, labels = mix(pixels, labels, self.num_classes, mixup, cutmix, rng)
        return (self._scramble(pixels) if self._scramble else pixels), labels

    def indices_of(self, step: int) -> np.ndarray:
        """The indices into the split of a global step's images: (B,) integers."""
        size, place = len(self.indices), step * self.batch_size
        parts, missing = [], self.batch_size
        while missing:
            epoch, start = divmod(place, size)
            part = self._order(epoch)[start : start + missing]
            parts.append(part)
            place, missing = place + len(part), missing - len(part)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _order(self, epoch: int) -> np.ndarray:
        kept, order = self._epoch
        if kept != epoch:
            self._epoch = (-1, self.indices)  # lets go of the last order before there is the next
            del order
            order = np.random.default_rng([self.seed, epoch]).permutation(self.indices)
            self._epoch = (epoch, order)
        return order


def to_float(images: np.ndarray) -> np.ndarray:
    """uint8 0..255 -> float32 in [-1, 1], both ends exact."""
    result = np.divide(images, np.float32(127.5), dtype=np.float32)
    result -= np.float32(1.0)
    return result
