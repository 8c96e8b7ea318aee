"""How a trained model saw its images: whole, or their cells put together in another order."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from studies.machine.files import file_bytes, parsed_json

if TYPE_CHECKING:
    import numpy as np


def as_trained(images: np.ndarray, model: Path) -> np.ndarray:
    """Images as a model's training saw them.

    Args:
        images: (N, H, W, C), of the model's size.
        model: its file; the card beside it, if there is one, tells the side of the cells and the seed.
    """
    return scrambled_as(images, *_told(model.with_suffix(".json")))


def scrambled_as(images: np.ndarray, cell: int, seed: int) -> np.ndarray:
    """Images (N, H, W, C) in cells of a side that a seed permutes; 0 leaves them whole."""
    from studies.data.scramble import Scramble, check_scramble

    check_scramble(cell, images.shape[1:])
    return Scramble(cell, seed, images.shape[1:])(images) if cell else images


def _told(path: Path) -> tuple[int, int]:
    """The side of the cells and the seed that a card tells; zeros where it tells none."""
    try:
        card = parsed_json(file_bytes(path))
        told = (card.get("scramble", 0), card.get("seed", 0))
    except (OSError, ValueError, AttributeError):
        return 0, 0
    return told if all(isinstance(each, int) and each >= 0 for each in told) else (0, 0)
