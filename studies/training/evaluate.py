"""What a trained model is worth: its arrays, for the evaluation that a trial is of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

import keras_vit
from keras_vit import inspection
from studies.data.batches import to_float
from studies.data.dataset import Replicate
from studies.errors import TrialError
from studies.evaluation import OF_VITS, Inputs, get_evaluation
from studies.records.outcomes import outcomes_of, save_outcomes
from studies.study.trial import Extra, Trial
from studies.training.chain import Trained
from studies.training.images import images_of
from studies.training.inference import outputs_model, predict

SCORES = 2**28  # bytes of attention scores at once: L * heads * T^2 numbers for each image


def evaluate(trained: Trained, trial: Trial, images: Replicate, outcomes: Path) -> dict[str, float]:
    """The metrics of a trial's record.

    Args:
        trained: the last training of the chain.
        trial: says which evaluation.
        images: of the last training.
        outcomes: where those of the test images go, of the standard evaluation.
    """
    if trial.extra is not None:
        return _further(trained, trial, trial.extra, images)
    outputs = trained.task.outputs
    inputs = Inputs(trial.num_classes, **_read(outputs, images))
    test = images.test
    said = outcomes_of(
        trial.seed, inputs.classified[0], test.labels, np.asarray(test.ids), test.groups
    )
    save_outcomes(outcomes, said)  # before the record, which counts on it
    best = trained.progress.best
    return {
        **get_evaluation("standard").evaluate(inputs, trial.evaluation),
        "val_top1": best["val_top1"],
        "val_loss": best["val_loss"],
    }


def _further(trained: Trained, trial: Trial, extra: Extra, images: Replicate) -> dict[str, float]:
    evaluation = get_evaluation(extra.kind)
    options = evaluation.Options.model_validate(extra.options)
    model, outputs, data = trained.task.trained, trained.task.outputs, extra.data or trial
    if extra.data is not None:
        images = images_of(trial, extra.data)
        if data.image_shape != trial.image_shape:
            # Features alone: of other images there are no logits.
            model = keras_vit.for_finetuning(model, trial.num_classes, data.image_shape)
            outputs = outputs_model(model)
    given: dict[str, Any] = {}
    if evaluation.READS & {"logits", "features"}:
        given |= _read(outputs, images)
        if extra.data is not None:
            given["logits"] = None
    if OF_VITS & evaluation.READS and not isinstance(model, keras_vit.VisionTransformer):
        raise TrialError(
            "Only a ViT has attention and patches to look at: leave ResNets out of this evaluation."
        )
    if "filters" in evaluation.READS:
        kernel = model.get_layer("patch_embedding").projection.kernel
        given["filters"] = keras.ops.convert_to_numpy(kernel).T
    if "attention" in evaluation.READS:
        given |= _attention(model, images, getattr(options, "images", 128))
    return evaluation.evaluate(Inputs(data.num_classes, **given), options)


def _read(outputs: keras.Model, images: Replicate) -> dict[str, Any]:
    """Features and logits: validation images are what a classifier may be fitted to."""
    support, _ = predict(outputs, images.validation.images)
    features, logits = predict(outputs, images.test.images)
    return {
        "labels": images.test.labels,
        "logits": logits,
        "features": features,
        "support_labels": images.validation.labels,
        "support_features": support,
    }


def _attention(model: keras.Model, images: Replicate, number: int) -> dict[str, Any]:
    test = images.test.images
    # Evenly over all: the first images may all be of one class.
    chosen = np.linspace(0, len(test) - 1, min(number, len(test)), dtype=int)
    rows, columns = model.grid
    height, width = test.shape[1:3]
    return {
        "attention": _scores(model, test[chosen]),
        "grid": (rows, columns),
        "patch_size": (height / rows, width / columns),
        "position_embeddings": _positions(model),
    }


def _scores(model: keras.Model, images: np.ndarray) -> Iterator[np.ndarray]:
    config = model.arguments
    tokens = model.grid[0] * model.grid[1] + model.num_prefix_tokens
    each = 4 * config["num_layers"] * config["num_heads"] * tokens**2
    size = max(1, SCORES // each)
    for start in range(0, len(images), size):
        batch = to_float(images[start : start + size])
        yield inspection.attention_scores(model, batch, batch_size=min(32, size))


def _positions(model: keras.Model) -> np.ndarray | None:
    """What is added to the patches, (rows * columns, D); None where nothing is."""
    layer = model.get_layer("position_embedding")
    if layer.kind == "none":
        return None
    return np.asarray(keras.ops.convert_to_numpy(layer.embeddings()))[0, model.num_slots :]
