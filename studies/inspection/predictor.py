"""The process that classifies images: `python -m studies.inspection.predictor`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from studies.data.batches import to_float
from studies.data.images import UnreadableImage, decode
from studies.errors import UsageError
from studies.inspection.scrambling import scrambled_as
from studies.machine.processes import answer

BATCH = 100  # images


def classify(order: dict[str, Any], say: Callable[[dict[str, Any]], None]) -> None:
    """Say of each image how probable the classes are, a batch at a time.

    Args:
        order: "model", a path; "image_shape", (H, W, C); "fit"; "scramble" and "seed" of the model's
            training; "root" and "files" below it.
        say: called with `{"images": [[file, probabilities], ...], "unreadable": [[file, reason], ...]}`.
    """
    model = _load(order["model"])
    root, files = Path(order["root"]), order["files"]
    height, width, channels = order["image_shape"]
    for start in range(0, len(files), BATCH):
        names, images, unreadable = [], [], []
        for name in files[start : start + BATCH]:
            try:
                decoded = decode(root / name, name, (height, width), channels, order["fit"])
                images.append(decoded.pixels)
                names.append(name)
            except UnreadableImage as error:
                unreadable.append([name, error.reason])
        stacked = np.stack(images) if images else np.empty((0, height, width, channels), np.uint8)
        seen = scrambled_as(stacked, order["scramble"], order["seed"])
        found = _probabilities(model, seen).tolist() if images else []
        rows = [list(pair) for pair in zip(names, found, strict=True)]
        say({"images": rows, "unreadable": unreadable})


def _probabilities(model: Any, images: np.ndarray) -> np.ndarray:
    """Probabilities (N, classes) for uint8 images (N, H, W, C); every call is of BATCH images."""
    filled = np.resize(images, (BATCH, *images.shape[1:]))  # so that nothing is compiled twice
    logits = np.asarray(model.predict_on_batch(to_float(filled)), np.float64)[: len(images)]
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def _load(path: str) -> Any:
    import keras

    import keras_vit

    keras_vit.VisionTransformer, keras_vit.ResNet  # noqa: B018 - registers both
    try:
        return keras.saving.load_model(path, compile=False)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{path} cannot be loaded: {' '.join(str(error).split())}") from None


if __name__ == "__main__":
    answer(classify)
