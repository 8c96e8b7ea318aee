"""What a study's devices cannot do is told before anything is prepared."""

import pytest

from studies.errors import UsageError
from studies.running.checks import check_arms
from studies.running.devices import check_split
from studies.study import file as study_file
from studies.study.entries import ModelEntry
from tests.studies.descriptions import trial

pytestmark = pytest.mark.once

VIT, RESNET = {"vit": {"base": "ViT-Ti/4"}}, {"bit": {"base": "BiT-R50x1"}}


def study(**content):
    known = {"name": "x", "models": VIT, "recipe": {"batch_size": 12}}
    return study_file.validate({**known, **content}, "a test")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"devices": 5}, r"recipe\.batch_size 12 of 'vit' is not divisible by the 5 devices: cho"),
        (
            {"devices": 8, "pretraining": {}, "finetuning": {"recipe": {"batch_size": 16}}},
            "the pre-training's batch_size 12 of 'vit' .* the 8 devices",
        ),
        (
            {"devices": 8, "pretraining": {"recipe": {"batch_size": 16}}},
            "the fine-tuning's batch_size 12 of 'vit'",
        ),
        (
            {"devices": 4, "factors": {"batch": {"small": {"recipe": {"batch_size": 6}}}}},
            r"batch_size 6 of 'vit small'",
        ),
        ({"devices": 4, "model_parallel": 3}, "model_parallel 3 does not divide the 4 devices"),
        ({"model_parallel": 2}, "model_parallel 2 does not divide the 1 devices"),
        ({"devices": 2, "model_parallel": 2}, "for JAX, and the backend tensorflow would ignore"),
        (
            {"devices": 2, "model_parallel": 2, "backends": ["jax", "torch"]},
            "for JAX, and the backend torch would ignore",
        ),
        (
            {"devices": 2, "model_parallel": 2, "backends": ["jax"], "models": {**VIT, **RESNET}},
            "'bit' is a ResNet: leave it out",
        ),
        (
            {"devices": 10, "model_parallel": 2, "backends": ["jax"]},
            "12 of 'vit' is not divisible by the 5 groups of 2 devices",
        ),
        (
            {"devices": 4, "device_processes": 3, "backends": ["jax"]},
            "device_processes 3 does not divide the 4 devices: each process has as many",
        ),
        (
            {"devices": 4, "model_parallel": 4, "device_processes": 2, "backends": ["jax"]},
            "device_processes 2 does not divide the 1 groups of 4 devices",
        ),
        (
            {"devices": 2, "device_processes": 2},
            "for JAX, and the backend tensorflow has all devices in one process: choose",
        ),
        (
            {"devices": 2, "device_processes": 2, "backends": ["jax", "torch"]},
            "for JAX, and the backend torch has a process a device: choose",
        ),
    ],
)
def test_each_is_refused_in_one_sentence(content, told):
    with pytest.raises(UsageError, match=told) as error:
        check_arms(study(**content))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content",
    [
        {"devices": 4, "models": {**VIT, **RESNET}, "backends": ["tensorflow", "jax", "torch"]},
        {"devices": 4, "model_parallel": 4, "backends": ["jax"], "recipe": {"batch_size": 7}},
        {"devices": 4, "model_parallel": 2, "device_processes": 2, "backends": ["jax"]},
        # Given weights take no step, so that their recipe has no batches.
        {"devices": 4, "pretraining": {"objective": "none", "weights": "augreg-imagenet21k"}},
    ],
)
def test_what_works_is_not_refused(content):
    check_arms(study(**content))


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ({}, "does not divide num_heads 3 of 'vit'"),
        ({"num_heads": 4, "mlp_dim": 9}, "does not divide mlp_dim 9"),
    ],
)
def test_heads_and_mlps_that_cannot_be_split_are_named(overrides, told):
    entry = ModelEntry(name="vit", base="ViT-Ti/4", overrides=overrides)
    with pytest.raises(UsageError, match=f"model_parallel 2 {told}"):
        check_split(trial(model=entry, devices=2, model_parallel=2))
    check_split(trial(model=entry, devices=2))
