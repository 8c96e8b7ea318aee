"""How a trained model saw its images: whole, or their cells put together in another order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


def as_trained(images: np.ndarray, model: Path) -> np.ndarray:
    """Images as a model's training saw them.

    Args:
        images: (N, H, W, C), of the model's size.
        model: its file; the card beside it, if there is one, tells the side of the cells and the seed.
    """
    card = _card(model.with_suffix(".json"))
    return scrambled_as(images, card.get("scramble", 0), card.get("seed", 0))


def scrambled_as(images: np.ndarray, cell: int, seed: int) -> np.ndarray:
    """Images (N, H, W, C) in cells of a side that a seed permutes; 0 leaves them whole."""
    from studies.data.scramble import Scramble

    return Scramble(cell, seed, images.shape[1:])(images) if cell else images


def _card(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
