"""What one trained trial said about every test image: the raw material of intervals and verdicts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FIELDS = ("image", "group", "label", "predicted", "confidence", "label_probability")


@dataclass(frozen=True, eq=False)
class Outcomes:
    """One trial's predictions on its test set; every array has one entry an image, in any order.

    Args:
        seed: the trial's seed. Trials of equal seed were tested on the same images.
        image: (n,) ids; the same id is the same image in all trials of a study. No id twice.
        group: (n,) ids of what belongs together (a burst, a patient); an image that stands alone
            is a group of its own.
        label, predicted: (n,) class numbers.
        confidence: (n,) probability that the model gave to the class it predicted.
        label_probability: (n,) probability that it gave to the label.

    Raises:
        ValueError: no image, arrays of different lengths, or an image twice.
    """

    seed: int
    image: np.ndarray
    group: np.ndarray
    label: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    label_probability: np.ndarray

    def __post_init__(self) -> None:
        shapes = {name: np.shape(getattr(self, name)) for name in FIELDS}
        if len(set(shapes.values())) > 1 or len(shapes["image"]) != 1:
            raise ValueError(f"Outcomes need flat arrays of one length; got {shapes}.")
        if not len(self.image):
            raise ValueError(f"The outcomes of seed {self.seed} hold no test image.")
        if len(np.unique(self.image)) != len(self.image):
            raise ValueError(f"The outcomes of seed {self.seed} hold an image more than once.")

    def __len__(self) -> int:
        return len(self.image)

    @property
    def correct(self) -> np.ndarray:
        """(n,) whether the predicted class is the label."""
        return self.predicted == self.label
