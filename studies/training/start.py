"""The model that a training begins with: drawn, given, or made of what was trained before."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

import keras_vit
from keras_vit.layers.initial_values import to_be_assigned
from keras_vit.models.variants import get_variant
from keras_vit.models.weight_values import weight_name, weight_values
from keras_vit.pretraining import MaskedPatchModel
from studies.errors import TrialError
from studies.machine.files import file_digest, replace, replaced
from studies.study.chain import Finetuning
from studies.study.recipe import RATES
from studies.study.trial import Training
from studies.training.checkpoint import CheckpointFolder
from studies.training.loop import Weights, assign
from studies.training.preparation import read_as_studies_prepare
from studies.training.recipe import rates
from studies.training.seeds import stream


def first_model(training: Training, before: CheckpointFolder | None = None) -> keras.Model:
    """The model before its first step; `enable_lora` and what is frozen are done.

    Args:
        training: decides all of it.
        before: where the weights of `training.start` lie; without them a model of the same form comes
            back, with other weights, which those of a checkpoint can be put into.

    Raises:
        TrialError: the weights lie there no more, or cannot be given.
    """
    # Keras scales the loss of float16 models by the policy that they were made under.
    keras.config.set_dtype_policy(training.recipe.dtype)
    if training.start is None or training.finetuning is None:
        return _created(training)
    start = training.start
    pretrained = _created(start)
    if before is not None and start.objective != "none":
        final = before.final()
        if final is None:
            before.final_path.unlink(missing_ok=True)  # it is damaged, and would pass for trained
            raise TrialError(
                f"The weights to start from, in {before.folder}, are gone or damaged: run the failed "
                "trials again, which trains them anew."
            )
        holder = MaskedPatchModel(pretrained) if start.objective == "masked_patches" else pretrained
        assign(holder.weights, final.arrays["best"], before)
    # Dropout and stochastic depth are those of this training.
    wanted = {**rates(training.recipe, training.model.base), **training.model.overrides}
    known = {name: wanted.get(name, 0.0) for name in RATES if name in pretrained.arguments}
    model = keras_vit.for_finetuning(
        pretrained, training.num_classes, input_shape=training.image_shape, **known
    )
    _choose_what_trains(model, training.finetuning, training.seed)
    return model


def _created(training: Training) -> keras.Model:
    _refuse_changed(training)
    arguments = {**rates(training.recipe, training.model.base), **training.model.overrides}
    if training.weights is not None:
        model = given_model(
            training.model.base,
            training.image_shape,
            training.num_classes,
            training.weights,
            arguments,
        )
    else:
        model = keras_vit.create_model(
            training.model.base,
            input_shape=training.image_shape,
            classes=training.num_classes,
            seed=training.seed,
            **arguments,
        )
    read_as_studies_prepare(model)
    return model


def _refuse_changed(training: Training) -> None:
    """Raise TrialError where a file of weights holds others than those that the training's id tells."""
    overrides, files = training.model.overrides, training.model.files
    known = [(overrides.get(argument), digest) for argument, digest in files.items()]
    for path, digest in [(training.weights, training.weights_digest), *known]:
        if path is None or digest is None:
            continue
        try:
            changed = file_digest(path) != digest
        except OSError:  # told where they are read
            continue
        if changed:
            raise TrialError(
                f"The weights {path} have changed since the study was made: put back the file as it was, or "
                f"use another --results folder."
            )


def given_model(
    base: str,
    image_shape: tuple[int, int, int],
    classes: int,
    weights: str,
    arguments: dict[str, Any],
) -> keras.Model:
    """A model with weights that were trained elsewhere, and a head of zeros where they have another.

    Args:
        base: a published name.
        image_shape: (H, W, C); a ViT takes grey images with the sum of its kernel over the colours.
        classes: number of outputs.
        weights: a published name, or the path of a file.
        arguments: further ones of `create_model`.

    Raises:
        TrialError: the weights are not there, or are not those of such a model.
    """
    try:
        if image_shape[2] == 3 or get_variant(base).family == "resnet":
            return keras_vit.create_model(
                base, image_shape, classes, seed=0, weights=weights, **arguments
            )
        free = {name: value for name, value in arguments.items() if name in RATES}
        like = base if free == arguments else None  # of another size than the name's
        with warnings.catch_warnings():  # of what this function says
            warnings.simplefilter("ignore")
            return keras_vit.from_checkpoint(
                weights, classes, image_shape, like=like, adapt=True, **free
            )
    except (OSError, ValueError, ImportError) as error:
        why = " ".join(str(error).split())
        raise TrialError(f"The weights {weights} cannot be given to {base}: {why}") from None


def _choose_what_trains(model: keras.Model, finetuning: Finetuning, seed: int) -> None:
    if finetuning.method == "head_and_norms":
        keras_vit.train_only_head_and_norms(model)
    if finetuning.method == "lora":
        keras_vit.enable_lora(model, finetuning.lora_rank)
        for variable in model.trainable_variables:
            if variable.name.endswith("_a"):  # He's uniform numbers, as Keras draws them
                limit = math.sqrt(6 / variable.shape[0])
                rng = stream(seed, weight_name(model, variable))
                variable.assign(rng.uniform(-limit, limit, variable.shape).astype(np.float32))


def weights_of(model: keras.Model) -> Weights:
    """Copies of a model's weights."""
    return [np.array(keras.ops.convert_to_numpy(weight)) for weight in model.weights]


def save_model(model: keras.Model, path: Path, card: Mapping[str, Any]) -> None:
    """Write a model as an ordinary Keras file, for `inspect` and for users; renamed into place.

    It is saved bare: the recipe's schedule and loss are classes of the studies, which another process
    cannot load, and the optimizer's state is that of the last step. Low-rank updates are added to the
    kernels that they are of.

    Args:
        model: a ViT or ResNet.
        path: of the file.
        card: what must be known of its images; beside it, as JSON.
    """
    with to_be_assigned():
        bare = type(model).from_config(model.get_config())
    values = weight_values(model)
    for variable in bare.weights:
        variable.assign(values[weight_name(bare, variable)])
    with replaced(path, durable=True) as beside:
        bare.save(beside)
        replace(path.with_suffix(".json"), json.dumps(card).encode() + b"\n", durable=True)
