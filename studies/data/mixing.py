"""Mixup and CutMix: images of a batch mixed in pairs, and their labels with them.

A batch has one share, drawn from Beta(alpha, alpha), and each image one partner, by a permutation of the
batch, as in both papers. Where both are on, a batch has one of the two, by halves.

Reference: mixup, Zhang et al., arXiv 1710.09412; CutMix, Yun et al., arXiv 1905.04899.
"""

from __future__ import annotations

import numpy as np


def mix(
    images: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    mixup: float,
    cutmix: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Mixes each image with another of its batch.

    Args:
        images: (B, H, W, C) float32; CutMix changes them in place.
        labels: (B,) integers.
        num_classes: C of the targets.
        mixup: alpha of mixup; 0: none.
        cutmix: alpha of CutMix; 0: none. One of the two is above 0.
        rng: draws which, how much, where and with whom.

    Returns:
        images (B, H, W, C) float32, and the probabilities that are to be learned, (B, C) float32.

    Example:
        >>> mixed, targets = mix(images, labels, 10, mixup=0.2, cutmix=1.0, rng=np.random.default_rng(0))
    """
    cut = cutmix > 0 and (mixup == 0 or rng.random() < 0.5)
    alpha = cutmix if cut else mixup
    share = rng.beta(alpha, alpha)  # of the image itself
    partner = rng.permutation(len(images))
    if cut:
        rows, columns = box(images.shape[1:3], share, rng)
        height, width = images.shape[1:3]
        covered = (rows.stop - rows.start) * (columns.stop - columns.start)
        share = 1 - covered / (height * width)
        result = images
        result[:, rows, columns] = images[:, rows, columns][partner]
    else:
        result = np.empty_like(images)
        own, other = np.float32(share), np.float32(1 - share)
        for mixed, image, place in zip(result, images, partner):  # in the processor's cache
            np.multiply(images[place], other, out=mixed)
            mixed += own * image
    targets = np.zeros((len(images), num_classes), np.float32)
    places = np.arange(len(images))
    targets[places, labels] = share
    targets[places, labels[partner]] += np.float32(1 - share)
    return result, targets


def box(size: tuple[int, ...], share: float, rng: np.random.Generator) -> tuple[slice, slice]:
    """Rows and columns of CutMix's box: of 1 - share of the area, as far as it lies inside the image."""
    slices = []
    for side in size:
        length = int(side * np.sqrt(1 - share))
        middle = int(rng.integers(side))
        start = middle - length // 2
        slices.append(slice(max(start, 0), min(start + length, side)))
    return slices[0], slices[1]
