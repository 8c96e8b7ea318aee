"""A model's outputs for many images, from one compiled function of one batch shape."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from studies.data.batches import to_float

BATCH = 250


def outputs_model(model: keras.Model) -> keras.Model:
    """A model over the same weights that gives [representation (B, D), logits (B, C)].

    Validation, test and few-shot evaluation share it, so that all of them compile once.

    Args:
        model: made by `keras_vit.create_model` with a head.
    """
    head = model.get_layer("head")
    return keras.Model(model.inputs[0], [head.input, model.outputs[0]], name="outputs")


def predict(model: keras.Model, images: np.ndarray, batch_size: int = BATCH) -> Any:
    """The model's outputs for uint8 images.

    The last batch is filled up with repeated images, so that nothing is compiled twice.

    Args:
        model: takes float images (B, H, W, C) in [-1, 1].
        images: uint8 (N, H, W, C), in memory or memory-mapped.
        batch_size: images a call.

    Returns:
        float32 (N, ...); a list of such arrays when the model has several outputs.
    """
    count = len(images)
    batch_size = min(batch_size, count)
    parts: list = []
    for start in range(0, count, batch_size):
        # Indices past the end wrap around; their outputs are cut off below.
        indices = np.arange(start, start + batch_size) % count
        parts.append(model.predict_on_batch(to_float(images[indices])))
    if isinstance(parts[0], (list, tuple)):
        return [_join(list(column), count) for column in zip(*parts)]
    return _join(parts, count)


def _join(parts: list[np.ndarray], count: int) -> np.ndarray:
    return np.concatenate([np.asarray(part, np.float32) for part in parts])[:count]
