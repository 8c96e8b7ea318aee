"""The advice that `plan` gives where there are too few steps for a verdict."""

from types import SimpleNamespace

import pytest

from studies.analysis.undertrained import judge_training
from studies.running import epochs
from studies.study.chain import Finetuning
from studies.study.recipe import Recipe
from tests.studies.descriptions import trial

pytestmark = pytest.mark.once


def plan(steps, *sizes):
    recipe = Recipe(steps=steps, batch_size=64)
    return SimpleNamespace(trials=[trial(size=size, recipe=recipe) for size in sizes])


def test_steps_are_told_that_would_be_too_few():
    told = epochs.advice(plan(12_000, 1_000_000, 500))
    # 12,000 batches of 64 are 0.768 of a million images; 78,125 are five times all of them.
    assert told.startswith("12,000 steps go 0.8 times through 1,000,000 images")
    assert "--steps 78125, or" in told
    assert epochs.advice(plan(78_125, 1_000_000)) == ""
    assert judge_training([], 1_000_000, 78_124, 64).undertrained
    assert not judge_training([], 1_000_000, 78_125, 64).undertrained


def test_steps_of_a_fine_tuning_are_not_judged_by_those_from_scratch():
    (before,) = plan(4, 1_000_000).trials
    chained = before.model_copy(update={"start": before.chain[0], "finetuning": Finetuning()})
    assert epochs.advice(SimpleNamespace(trials=[chained])) == ""


def test_nor_are_those_of_a_model_that_is_built_with_weights():
    (before,) = plan(4, 1_000_000).trials
    model = before.model.model_copy(update={"overrides": {"weights": "vit.npz"}})
    given = before.model_copy(update={"model": model})
    assert epochs.advice(SimpleNamespace(trials=[given])) == ""
