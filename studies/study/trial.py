"""Trials: everything that one process needs to train a model, or a chain of two, and to evaluate it.

Hashes identify them. A training's id covers what decides its weights, that of a fine-tuning the id of
what it starts from; `trial_id` adds the evaluation. Names of studies, numbers of threads and package
versions are in neither, so that results survive a rename or an upgrade; fields at their neutral value
are in neither, so that they survive fields to come.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field

from studies.study.chain import Finetuning, Objective
from studies.study.entries import ModelEntry, Reading
from studies.study.recipe import Evaluation, Recipe
from studies.study.strict import Positive, Strict

# Raise it when the training code changes what the same description trains: old records then no
# longer count. 2: a seed decides the draw of the training images and of splits that the data lack.
PROTOCOL = 2

Backend = Literal["tensorflow", "jax", "torch"]


class Splits(Strict):
    """The same images at another size, whose splits and draw some have.

    Args:
        data_fingerprint: of what they hold.
        image_size: in pixels, as asked for.
    """

    data_fingerprint: str
    image_size: int | None = None


class Data(Strict):
    """Prepared images, as a trial finds them again.

    Args:
        dataset: a name that `studies.data.load` knows.
        data_fingerprint: of what it holds.
        image_shape: (H, W, C) as the model sees it; images of other channels are converted.
        num_classes: of the labels.
        image_size: in pixels, as asked for.
        reading: how the images are read.
        splits: whose splits and draw they have, where these are not their own.
    """

    dataset: str
    data_fingerprint: str
    image_shape: tuple[int, int, int]
    num_classes: int
    image_size: int | None = None
    reading: Reading = Reading()
    splits: Splits | None = None

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """Of all prepared data that are opened for it."""
        others = () if self.splits is None else (self.splits.data_fingerprint,)
        return (self.data_fingerprint, *others)


class Training(Data):
    """One optimisation: of a model, on some training images, from drawn weights or another's.

    Args:
        size: number of training images.
        seed: decides their draw, the initial weights, the order, the augmentation.
        backend: of Keras.
        model: what is trained; its base and overrides are those for these images.
        recipe: the model's own learning rate and weight decay are already in it.
        objective: the labels, the colours of masked patches, or none: the weights are given, and no step
            is taken.
        weights: the given ones: a published name, or the path of a file.
        weights_digest: of the file, which counts by its content.
        start: the training whose weights this one starts from; None: drawn or given ones.
        finetuning: how, where it starts from something.
        devices: that share each batch.
        model_parallel: how many of them hold one copy of the model.
        device_processes: that they are divided between, on JAX.
    """

    size: Positive
    seed: Annotated[int, Field(ge=0)]
    backend: Backend
    model: ModelEntry
    recipe: Recipe
    objective: Objective = "supervised"
    weights: str | None = None
    weights_digest: str | None = None
    start: Training | None = None
    finetuning: Finetuning | None = None
    devices: Positive = 1
    model_parallel: Positive = 1
    device_processes: Positive = 1

    @cached_property
    def training_id(self) -> str:
        """Hash of everything that decides the trained weights."""
        return digest(self.weights_key())

    @property
    def chain(self) -> tuple[Training, ...]:
        """The trainings from the first to this one."""
        return (*(self.start.chain if self.start is not None else ()), self)

    def weights_key(self) -> dict[str, Any]:
        """What the id is made of."""
        # The data set's name is not here: its fingerprint decides the pixels, wherever they lie.
        # Nor are paths of weights: a file counts by its content.
        key: dict[str, Any] = {
            "protocol": PROTOCOL,
            "data": self.data_fingerprint,
            "image_shape": self.image_shape,
            "num_classes": self.num_classes,
            "size": self.size,
            "seed": self.seed,
            "backend": self.backend,
            "base": self.model.base,
            "overrides": {**self.model.overrides, **self.model.files},
            "recipe": self.recipe.deciding(),
        }
        if self.splits is not None:
            key["splits"] = self.splits.data_fingerprint
        if self.objective != "supervised":
            key["objective"] = self.objective
        if self.weights is not None:
            key["weights"] = self.weights_digest or self.weights
        if self.start is not None:
            key["start"] = self.start.training_id
        if self.finetuning is not None:
            key["finetuning"] = self.finetuning.deciding()
        for name in (
            "devices",
            "model_parallel",
            "device_processes",
        ):  # sums are rounded in another order
            if getattr(self, name) > 1:
                key[name] = getattr(self, name)
        return key


class Extra(Strict):
    """A further evaluation of a trained model, a record of its own beside the standard one.

    Args:
        name: in tables and figures; in a file it is the key of the evaluation's table.
        kind: of `studies.evaluation`.
        options: of that kind.
        data: other images than the training's own; None: these.
    """

    name: Annotated[str, Field(min_length=1)]
    kind: Annotated[str, Field(min_length=1)]
    options: dict[str, Any] = Field(default_factory=dict)
    data: Data | None = None

    def key(self) -> dict[str, Any]:
        """What a trial's id has of it."""
        data = self.data
        where: list[Any] | None = None
        if data is not None:
            where = [data.data_fingerprint, data.image_shape]
            where += [] if data.splits is None else [data.splits.data_fingerprint]
        return {"kind": self.kind, "options": self.options, "data": where}


class Trial(Training):
    """A training, or a chain of them, and one evaluation: one record. JSON carries it to its process.

    Args:
        study: name of the study.
        evaluation: options of the standard evaluation.
        extra: another evaluation instead of the standard one.
        base_model: name of the study's entry, where `model.name` is that of an arm.
        levels: of the study's factors.
    """

    study: Annotated[str, Field(pattern=r"^[\w][\w.+-]*$")]
    evaluation: Evaluation = Evaluation()
    extra: Extra | None = None
    base_model: str | None = None
    levels: dict[str, str] = Field(default_factory=dict)

    @property
    def pretrain_id(self) -> str:
        """The id of the last training of the chain: of what is evaluated."""
        return self.training_id

    @cached_property
    def trial_id(self) -> str:
        """The training's content, the model's name in the figures and the evaluation, hashed."""
        key = {**self.weights_key(), "name": self.model.name}
        if self.extra is None:
            return digest({**key, "evaluation": self.evaluation.deciding()})
        return digest({**key, "extra": self.extra.key()})

    @property
    def label(self) -> str:
        """A short name for people: model, sizes, seed, backend and evaluation."""
        start = f"{self.start.size}+" if self.start is not None else ""
        name = f"{self.model.name} size {start}{self.size} seed {self.seed} {self.backend}"
        return name if self.extra is None else f"{name} {self.extra.name}"


def digest(value: Any) -> str:
    """A short hash of JSON's types, whatever the order of keys."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
