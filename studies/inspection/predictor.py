"""The process that classifies images: `python -m studies.inspection.predictor`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from studies.data.batches import to_float
from studies.data.images import UnreadableImage, decode
from studies.errors import UsageError
from studies.inspection.model_file import load_model
from studies.inspection.scrambling import scrambled_as
from studies.machine.processes import answer, leave_out_others

BATCH = 100  # images


def classify(order: dict[str, Any], say: Callable[[dict[str, Any]], None]) -> None:
    """Say of each image how probable the classes are, a batch at a time.

    Args:
        order: "model", a path; "image_shape", (H, W, C); "fit"; "classes", how many; "scramble" and "seed" of
            the model's training; "root" and "files" below it.
        say: called with `{"images": [[file, probabilities], ...], "unreadable": [[file, reason], ...]}`.
    """
    model = load_model(order["model"])
    _check_fits(model, order)
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


def _check_fits(model: Any, order: dict[str, Any]) -> None:
    """Refuse a model that is not the one which is described beside it."""
    found = [tuple(shape or ()) for shape in (model.input_shape, model.output_shape)]
    told = [tuple(order["image_shape"]), (order["classes"],)]
    for shape, wanted in zip(found, told, strict=True):
        if len(shape) != len(wanted) + 1 or any(
            a not in (None, b) for a, b in zip(shape[1:], wanted)
        ):
            raise UsageError(
                f"{order['model']} takes images {found[0][1:]} and gives {found[1][1:]} numbers, and the "
                f"file beside it tells of images {told[0]} and {told[1][0]} classes: keep the two files "
                f"of a model together"
            )


def _probabilities(model: Any, images: np.ndarray) -> np.ndarray:
    """Probabilities (N, classes) for uint8 images (N, H, W, C); every call is of BATCH images."""
    filled = np.resize(images, (BATCH, *images.shape[1:]))  # so that nothing is compiled twice
    logits = np.asarray(model.predict_on_batch(to_float(filled)), np.float64)[: len(images)]
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


if __name__ == "__main__":
    leave_out_others(os.environ.get("KERAS_BACKEND"))
    answer(classify)
