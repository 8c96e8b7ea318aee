"""What is done to training images on their way into a batch, in its order.

Crops and mirror images, RandAugment and random erasing change single images; then mixup or CutMix mix
pairs of them, and scrambling permutes their cells. Each draws from a stream of its own, a function of
(seed, step), so that none of them changes what another draws, and every backend gets the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from studies.data.cropping import random_crop, random_flip
from studies.data.erasing import random_erasing
from studies.data.randaugment import randaugment
from studies.errors import UsageError

AUGMENTATIONS = ("none", "crop", "crop_flip")
_CROP, _RANDAUGMENT, _ERASE = 1, 2, 3  # keep the streams apart; `Batches` has 4


class Augmenting(Protocol):
    """What `Batches` takes as augmentation; `Augmentation` and a study's `recipe` have it."""

    @property
    def augmentation(self) -> str: ...
    @property
    def randaugment_layers(self) -> int: ...
    @property
    def randaugment_magnitude(self) -> float: ...
    @property
    def random_erasing(self) -> float: ...
    @property
    def mixup(self) -> float: ...
    @property
    def cutmix(self) -> float: ...
    @property
    def scramble(self) -> int: ...


@dataclass(frozen=True)
class Augmentation:
    """An augmentation.

    Args:
        augmentation: "none"; "crop": a random window after padding all sides by an eighth of the size,
            edges repeated; "crop_flip": the same, then mirrored left to right in half of the cases.
        randaugment_layers, randaugment_magnitude: see `randaugment`; 0 layers: none.
        random_erasing: probability of an image to have a rectangle erased.
        mixup, cutmix: alpha of each, see `mix`; 0: none.
        scramble: side of the cells that are permuted, in pixels; 0: none. It holds for images of other
            splits as well, see `scrambled`.
    """

    augmentation: str = "none"
    randaugment_layers: int = 0
    randaugment_magnitude: float = 10.0
    random_erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    scramble: int = 0


NOTHING = Augmentation()


def check_augmentation(wanted: Augmenting) -> None:
    """Raises UsageError where crops and mirror images are to be what they cannot be."""
    if wanted.augmentation not in AUGMENTATIONS:
        raise UsageError(
            f"The augmentation {wanted.augmentation!r} is unknown: choose {', '.join(AUGMENTATIONS)}."
        )


def augmented(images: np.ndarray, wanted: Augmenting, seed: int, step: int) -> np.ndarray:
    """A step's images, each changed by itself.

    Args:
        images: (B, H, W, C) uint8.
        wanted: what is done.
        seed: of the trial, >= 0.
        step: the global step.

    Returns:
        (B, H, W, C) uint8.
    """
    if wanted.augmentation != "none":
        rng = np.random.default_rng([seed, step, _CROP])
        images = random_crop(images, rng)
        if wanted.augmentation == "crop_flip":
            images = random_flip(images, rng)
    if wanted.randaugment_layers:
        rng = np.random.default_rng([seed, step, _RANDAUGMENT])
        images = randaugment(images, wanted.randaugment_layers, wanted.randaugment_magnitude, rng)
    if wanted.random_erasing:
        rng = np.random.default_rng([seed, step, _ERASE])
        images = random_erasing(images, wanted.random_erasing, rng)
    return images
