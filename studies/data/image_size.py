"""The size that a folder's images are brought to where nobody says one."""

from __future__ import annotations

import statistics

import numpy as np
from PIL import Image

from studies.data.folder import ImageFolder

SMALL, LARGE = 32, 64  # pixels a side
BETWEEN = 48  # images whose short side is below it are small
LOOKED_AT = 200  # files


def default_image_size(name: str) -> int | None:
    """32 for a folder of small images and 64 for one of others, by the median of their short sides.

    Args:
        name: of a data set.

    Returns:
        The side of the square images in pixels; None for data that have a size of their own.

    Raises:
        UsageError: the folder is none of images.

    Example:
        >>> default_image_size("folder:photos")
        64
    """
    if not name.startswith("folder:"):
        return None
    files = ImageFolder(name).files["train"]
    chosen = [files[i] for i in np.linspace(0, len(files) - 1, LOOKED_AT, dtype=int)]
    sides = []
    for file in dict.fromkeys(chosen):
        try:
            with Image.open(file) as image:  # the header alone is read
                sides.append(min(image.size))
        except Exception:  # a damaged file is told where the images are prepared
            continue
    return SMALL if sides and statistics.median(sides) < BETWEEN else LARGE
