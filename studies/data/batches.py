"""Batches as a pure function of the global step: every backend sees the same pixels in the same order."""

from __future__ import annotations

import numpy as np

from studies.data.dataset import Split
from studies.errors import UsageError

AUGMENTATIONS = ("none", "crop", "crop_flip")
_AUGMENT = 1  # keeps the stream of the augmentation apart from that of the order


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
        augmentation: "none"; "crop": a random window after padding all sides by an eighth of the
            size, edges repeated (black borders would be new to images on light ground);
            "crop_flip": the same, then mirrored left to right in half of the cases.

    Raises:
        UsageError: the augmentation is unknown, the subset empty or the batch size below 1.

    Example:
        >>> batches = Batches(part.train, part.subset(500), batch_size=128, seed=0, augmentation="crop")
        >>> images, labels = batches.batch(17)  # (128, H, W, C) float32 in [-1, 1], (128,) int32
    """

    def __init__(
        self,
        split: Split,
        indices: np.ndarray,
        batch_size: int,
        seed: int,
        augmentation: str = "none",
    ) -> None:
        if augmentation not in AUGMENTATIONS:
            raise UsageError(
                f"The augmentation {augmentation!r} is unknown: choose {', '.join(AUGMENTATIONS)}."
            )
        if len(indices) == 0 or batch_size < 1:
            raise UsageError(
                f"Batches need at least one image and a batch size of at least 1, not "
                f"{len(indices)} images and a batch size of {batch_size}."
            )
        self.split = split
        self.indices = np.asarray(indices, np.int64)
        self.batch_size = int(batch_size)
        self.seed = int(seed)
        self.augmentation = augmentation
        self._epoch: tuple[int, np.ndarray] = (-1, self.indices)

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """The batch of a global step: images (B, H, W, C) float32 in [-1, 1], labels (B,) int32."""
        chosen = self.indices_of(step)
        images = self.split.images[chosen]
        if self.augmentation != "none":
            rng = np.random.default_rng([self.seed, step, _AUGMENT])
            images = random_crop(images, rng)
            if self.augmentation == "crop_flip":
                images = random_flip(images, rng)
        return to_float(images), self.split.labels[chosen].astype(np.int32)

    def indices_of(self, step: int) -> np.ndarray:
        """The indices into the split of a global step's images: (B,) int64."""
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
            order = np.random.default_rng([self.seed, epoch]).permutation(self.indices)
            self._epoch = (epoch, order)
        return order


def to_float(images: np.ndarray) -> np.ndarray:
    """uint8 0..255 -> float32 in [-1, 1], both ends exact."""
    result = np.divide(images, np.float32(127.5), dtype=np.float32)
    result -= np.float32(1.0)
    return result


def random_crop(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A window of the same size out of each image padded by an eighth: (B, H, W, C) -> the same."""
    size, height, width, channels = images.shape
    tall, wide = height // 8, width // 8
    padded = np.empty((size, height + 2 * tall, width + 2 * wide, channels), images.dtype)
    middle = padded[:, tall : tall + height]
    middle[:, :, wide : wide + width] = images
    middle[:, :, :wide] = images[:, :, :1]
    middle[:, :, wide + width :] = images[:, :, -1:]
    padded[:, :tall] = middle[:, :1]
    padded[:, tall + height :] = middle[:, -1:]
    rows = rng.integers(0, 2 * tall + 1, size)
    columns = rng.integers(0, 2 * wide + 1, size)
    # A view of every possible window, of which one an image is copied: no index arrays by pixel.
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
    windows = windows.transpose(0, 1, 2, 4, 5, 3)  # (B, rows, columns, H, W, C)
    return windows[np.arange(size), rows, columns]


def random_flip(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mirrors each image left to right with probability one half: (B, H, W, C) -> the same."""
    mirrored = rng.random(len(images)) < 0.5
    images = images.copy()
    images[mirrored] = images[mirrored][:, :, ::-1]
    return images
