"""Handwritten digits of 8x8 pixels: 1,797 real images that come inside scikit-learn, with no download.

They are the test part of the UCI data set "Optical Recognition of Handwritten Digits" (Alpaydin and
Kaynak 1998, CC BY 4.0), grey, in one pool: each seed draws its own splits.
"""

from __future__ import annotations

import numpy as np

from studies.data.images import ImageSize, fit_array
from studies.errors import UsageError

NATIVE = (8, 8)
WHITE = 16  # the data's own values are 0 to 16


class Digits:
    """The source of the images.

    Args:
        size: (H, W) in pixels; None keeps 8x8.
        fit: see `images.decode`.

    Raises:
        UsageError: scikit-learn is not installed.
    """

    def __init__(self, size: ImageSize | None = None, fit: str = "crop") -> None:
        try:
            from sklearn.datasets import load_digits
        except ImportError:
            raise UsageError(
                "The data set digits comes with scikit-learn, which is not installed: run "
                "pip install 'keras-vit[studies]', or choose shapes or folder:PATH."
            ) from None
        found = load_digits()
        self.name = "digits"
        self.class_names = [str(digit) for digit in range(10)]
        self.image_shape = (*(size or NATIVE), 1)
        self.labels = {"train": found.target.astype(np.int64)}
        self._size, self._fit = size, fit
        self._images = np.round(found.images * (255 / WHITE)).astype(np.uint8)[..., None]

    def images(self, split: str, indices: np.ndarray) -> np.ndarray:
        chosen = self._images[indices]
        if self._size in (None, NATIVE):
            return chosen
        return np.stack([fit_array(image, self._size, self._fit) for image in chosen])
