"""What a training optimises, and how it is validated: labels, or the colours of masked patches."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, Protocol

import keras
import numpy as np

from keras_vit.pretraining import MaskedPatchModel, mean_colour_classes
from studies.data.batches import to_float
from studies.evaluation.accuracy import cross_entropy, top1
from studies.study.recipe import Recipe
from studies.training.inference import BATCH, outputs_model, predict
from studies.training.recipe import compile_masked_patches, compile_model
from studies.training.schedule import WarmupDecay
from studies.training.seeds import reseed, stream


class LabelledImages(Protocol):
    """uint8 images (N, H, W, C) and their labels (N,), e.g. `studies.data.Split`."""

    @property
    def images(self) -> Any: ...
    @property
    def labels(self) -> np.ndarray: ...


class Task(Protocol):
    """A compiled model, and the numbers by which its best weights are chosen."""

    model: keras.Model  # what `fit` trains, and checkpoints hold
    accuracy: str  # of the training batches, as `fit` calls it
    schedule: WarmupDecay  # of the learning rate

    @property
    def trained(self) -> keras.Model:
        """What the training is for: a plain ViT or ResNet."""
        ...

    @property
    def outputs(self) -> keras.Model:
        """That model's representations and logits, from one compiled function."""
        ...

    def validate(self) -> dict[str, float]:
        """`val_loss` and `val_top1`."""
        ...


class Classification:
    """Labels are learned.

    Args:
        model: with a head; it gets compiled.
        recipe: of the training.
        validation: images and labels of the validation split.
    """

    accuracy = "top1"

    def __init__(
        self, model: keras.Model, recipe: Recipe, validation: LabelledImages, seed: int = 0
    ) -> None:
        self.schedule = compile_model(model, recipe)
        self.model = self.trained = model
        self._validation = validation

    @cached_property  # validation and test share it: it compiles once, for one device
    def outputs(self) -> keras.Model:
        return outputs_model(self.trained)

    def validate(self) -> dict[str, float]:
        _, logits = predict(self.outputs, self._validation.images)
        labels = self._validation.labels
        return {"val_loss": cross_entropy(logits, labels), "val_top1": top1(logits, labels)}


class MaskedPatches:
    """The mean colours of corrupted patches are learned; labels take no part.

    Args:
        model: a ViT; its head stays as it was drawn.
        recipe: of the training.
        validation: images of the validation split.
        seed: of their corruption, which is the same at every validation.
    """

    accuracy = "accuracy"

    def __init__(
        self, model: keras.Model, recipe: Recipe, validation: LabelledImages, seed: int = 0
    ) -> None:
        self.model = MaskedPatchModel(model, seed=seed)
        _draw_new_weights(self.model, seed)
        self.trained = model
        self.schedule = compile_masked_patches(self.model, recipe)
        self._validation = validation
        self._seed = seed

    @cached_property
    def outputs(self) -> keras.Model:
        return outputs_model(self.trained)

    def validate(self) -> dict[str, float]:
        """Loss (nats) and accuracy over the corrupted patches, the latter as `val_top1`."""
        images = self._validation.images
        count = len(images)
        size = min(BATCH, count)
        sums = np.zeros(3)  # of losses, of right answers, of patches
        for start in range(0, count, size):
            # Batches are of one size, or they would compile again; what wraps around does not count.
            batch = to_float(images[np.arange(start, start + size) % count])
            reseed(self.model, self._seed, _VALIDATION, start)
            said = self.model.predict_on_batch(batch)
            targets = keras.ops.convert_to_numpy(mean_colour_classes(batch, self.model.region))
            # Each replica says the same of the whole batch, one after the other.
            chosen = np.asarray(said["corrupted"], bool)[:size]
            chosen[count - start :] = False
            logits = np.asarray(said["logits"], np.float32)[:size][chosen]
            answers = targets[chosen]
            sums += len(answers) * np.array(
                [cross_entropy(logits, answers), top1(logits, answers), 1.0]
            )
        return {"val_loss": float(sums[0] / sums[2]), "val_top1": float(sums[1] / sums[2])}


def _draw_new_weights(model: MaskedPatchModel, seed: int) -> None:
    """The weights that the ViT has not, as Keras draws them, but the same on every backend."""
    token, kernel = model.corrupt.mask_token, model.prediction.kernel
    drawn = stream(seed, "mask_token").normal(0.0, 0.02, token.shape)
    token.assign(drawn.astype(np.float32))  # JAX would compile the rounding
    limit = math.sqrt(6 / sum(kernel.shape))
    drawn = stream(seed, "prediction/kernel").uniform(-limit, limit, kernel.shape)
    kernel.assign(drawn.astype(np.float32))


_VALIDATION = 2**31  # no epoch has this number

TASKS: dict[str, type[Classification] | type[MaskedPatches]] = {
    "supervised": Classification,
    "none": Classification,
    "masked_patches": MaskedPatches,
}
