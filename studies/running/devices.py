"""Devices that a study's models cannot be trained on, told before anything is prepared or trained.

Keras itself is silent where a backend ignores a distribution, or cuts a batch into unequal parts.
"""

from __future__ import annotations

from keras_vit.models.variants import get_variant
from studies.errors import UsageError
from studies.study.chain import FINETUNING, recipe_with
from studies.study.factors import Arm
from studies.study.study import Study
from studies.study.trial import Training


def check_devices(study: Study) -> None:
    """Refuse numbers of devices that do not go with batches, models or backends.

    Raises:
        UsageError: the first of them, in one sentence.
    """
    devices, split, processes = study.devices, study.model_parallel, study.device_processes
    if devices % split:
        raise UsageError(
            f"model_parallel {split} does not divide the {devices} devices: each copy of a model is "
            f"split between equally many (--devices, --set model_parallel)"
        )
    if devices // split % processes:
        raise UsageError(
            f"device_processes {processes} does not divide {_number(devices // split, split)}: each process "
            f"has as many (--devices, --set device_processes)"
        )
    for backend in study.backends:
        if split > 1 and backend != "jax":
            raise UsageError(
                f"model_parallel {split} is for JAX, and the backend {backend} would ignore it: choose "
                f"--backend jax, or leave it out, so that the devices share the batches alone"
            )
        if processes > 1 and backend != "jax":
            own = "all devices in one process" if backend == "tensorflow" else "a process a device"
            raise UsageError(
                f"device_processes {processes} is for JAX, and the backend {backend} has {own}: choose "
                f"--backend jax, or leave it out"
            )
    for arm in study.arms.values():
        if split > 1 and get_variant(arm.entry.base).family == "resnet":
            raise UsageError(
                f"model_parallel {split} splits heads and MLPs, and {arm.name!r} is a ResNet: leave it "
                f"out with --models, or model_parallel"
            )
        for place, size in _batches(arm):
            if size % (devices // split):
                raise UsageError(
                    f"{place} {size} of {arm.name!r} is not divisible by "
                    f"{_number(devices // split, split)}: choose a multiple, or other --devices"
                )


def check_split(training: Training) -> None:
    """Refuse a model whose heads or MLPs cannot be split between the devices of a copy.

    Raises:
        UsageError: in one sentence.
    """
    model, split = training.model, training.model_parallel
    sizes = {**get_variant(model.base).config, **model.overrides}
    for name in ("num_heads", "mlp_dim"):
        if split > 1 and sizes[name] % split:
            raise UsageError(
                f"model_parallel {split} does not divide {name} {sizes[name]} of {model.name!r}: choose "
                f"a divisor, or another model"
            )


def _batches(arm: Arm) -> list[tuple[str, int]]:
    """The batches of an arm's trainings, and where they are set."""
    before = arm.pretraining
    if before is None:
        return [("recipe.batch_size", arm.recipe.batch_size)]
    last = recipe_with(arm.recipe, FINETUNING, arm.finetuning.recipe)
    found = [("the fine-tuning's batch_size", last.batch_size)]
    if before.objective != "none":
        first = recipe_with(arm.recipe, before.recipe)
        found.append(("the pre-training's batch_size", first.batch_size))
    return found


def _number(parts: int, split: int) -> str:
    return f"the {parts} devices" if split == 1 else f"the {parts} groups of {split} devices"
