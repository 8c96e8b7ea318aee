"""`inspect` and `predict`: what a trained model sees and says, wherever it lies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from studies.inspection import inspect as inspection
    from studies.inspection import predict as prediction


def inspect(options: inspection.Options, checkpoint: Path | str, results: Path | str) -> int:
    """Draw what a trained ViT attends to and has learned.

    Args:
        options: but for the two places.
        checkpoint: a file, or its URL.
        results: the folder of all results, or its URL.
    """
    from studies.inspection import inspect as inspection
    from studies.records.place import fetched, opened

    with fetched(checkpoint) as file, opened(results) as place:
        options = replace(options, checkpoint=file, results=place.path)
        code = inspection.run(options, place.address)
        place.store(options.folder)
    return code


def predict(options: prediction.Options, model: Path | str) -> int:
    """Classify new images with a trained model.

    Args:
        options: but for the model.
        model: its file, or its URL.
    """
    from studies.inspection import predict as prediction
    from studies.records.place import fetched

    with fetched(model) as file:
        return prediction.run(replace(options, model=file))
