"""A grid of learning rates shares one compiled step; each has the bits that it would have alone."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from studies.records.checkpoints import checkpoint_folder, untrained
from studies.study.chain import Finetuning
from studies.study.recipe import Recipe
from studies.study.trial import Training, Trial
from studies.training import chain
from studies.training.checkpoint import digest, load
from studies.training.devices import ONE_DEVICE
from studies.training.events import Events
from studies.training.images import images_of
from studies.training.schedule import WarmupDecay
from studies.training.start import weights_of
from tests.studies.descriptions import on_digits

RATES = (0.01, 0.03)
ADAM = Recipe(steps=6, batch_size=8, validations=2, warmup_fraction=0.5, schedule="linear")
SGD = ADAM.model_copy(
    update={"optimizer": "sgd", "weight_decay": 0.0, "warmup_fraction": 0.0, "schedule": "cosine"}
)


def compiled(schedule, xla):
    """The learning rate of a step, as the training step has it: from a compiled function."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(lambda step: schedule(step), jit_compile=xla)
    if keras.backend.backend() == "torch":
        return schedule
    import jax

    @jax.jit
    def of_state(step, values):
        state = list(zip(schedule._variables, values, strict=True))
        with keras.StatelessScope(state_mapping=state):
            return schedule(step)

    return lambda step: of_state(step, [variable.value for variable in schedule._variables])


@pytest.mark.parametrize("kind", ["cosine", "linear"])
@pytest.mark.parametrize("warmup", [0, 13])
def test_a_peak_that_varies_gives_the_bits_of_a_constant_one(kind, warmup, backend):
    steps = 60
    for xla in {"tensorflow": (True, False), "jax": (True,), "torch": (False,)}[backend]:
        schedule = WarmupDecay(1.0, steps, warmup, kind)
        model = keras.Sequential([keras.layers.Dense(1)])
        model.build((1, 1))
        model.compile(keras.optimizers.SGD(schedule), loss="mse", jit_compile=xla)
        model.optimizer.build(model.trainable_variables)
        schedule.let_vary(model)
        varying = compiled(schedule, xla)
        for peak in (0.003, 0.03, 7e-4):
            constant = compiled(WarmupDecay(peak, steps, warmup, kind), xla)
            schedule.set_peak(peak)
            found, expected = (
                np.array([of(keras.ops.convert_to_tensor(step)) for step in range(steps)])
                for of in (varying, constant)
            )
            assert found.dtype == np.float32 and np.array_equal(found, expected)
        assert schedule.get_config()["peak"] == 7e-4


def training(backend, image_size=None, recipe=ADAM, **changes):
    return on_digits(backend, recipe, image_size, **changes)


def train(last, results, emit=lambda event: None):
    """A training, or a chain of them, to its end; what it ends with."""
    fields = {name: getattr(last, name) for name in Training.model_fields}
    trial = Trial(**fields, study="test")
    events = Events(trial, untrained(results, trial), emit)
    for each in untrained(results, last) or [last]:
        trained = chain.finish(each, results, images_of(each), ONE_DEVICE, events)
    return trained


def with_rates(last, *rates):
    """A grid of learning rates; of one alone it is a training as any other."""
    return last.model_copy(
        update={"recipe": last.recipe.model_copy(update={"learning_rates": rates})}
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A results folder in which the trainings before are shared."""
    return tmp_path_factory.mktemp("rates")


@pytest.fixture
def kept(monkeypatch):
    """What each learning rate left stays, to be looked at."""
    remove = chain.shutil.rmtree

    def remove_others(path, **options):
        if not Path(path).name.startswith("rate-"):
            remove(path, **options)

    monkeypatch.setattr(chain.shutil, "rmtree", remove_others)


def chained(backend, method):
    """A fine-tuning on larger images of another data set."""
    return training(
        backend,
        12,
        start=training(backend),
        finetuning=Finetuning(method=method, lora_rank=2),
        recipe=SGD,
    )


def same_as_alone(last, results):
    """Whether the last learning rate of a grid left what a training with it alone leaves."""
    grid, alone = with_rates(last, *RATES), with_rates(last, RATES[-1])
    train(grid, results)
    train(alone, results)
    left = checkpoint_folder(results, grid) / f"rate-{RATES[-1]!r}" / "final.ckpt"
    ends = [load(path) for path in (left, checkpoint_folder(results, alone) / "final.ckpt")]
    histories = [end.meta["progress"]["history"] for end in ends]
    assert histories[0] == histories[1]
    assert ends[0].meta["last_sha256"] == ends[1].meta["last_sha256"]
    assert digest(ends[0].arrays["best"]) == digest(ends[1].arrays["best"])


def test_a_learning_rate_has_the_bits_of_a_fresh_model(backend, results, kept):
    same_as_alone(training(backend), results)


@pytest.mark.slow
def test_so_it_has_where_xla_optimises_as_it_does_in_trials(backend):
    """Here programs compile fast instead (`conftest.py`); what XLA does it reads as a process starts."""
    if backend == "torch":  # which has no XLA
        return
    one = f"{__file__}::{test_a_learning_rate_has_the_bits_of_a_fresh_model.__name__}"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", one],
        env={**os.environ, "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"},  # as of one thread
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout[-4000:]


@pytest.mark.parametrize("method", ["lora", "head_and_norms"])
def test_so_has_a_fine_tuning_of_a_part_on_larger_images(backend, results, kept, method):
    same_as_alone(chained(backend, method), results)


class Killed(BaseException):
    """The process ends here."""


def test_a_grid_that_is_killed_in_every_learning_rate_ends_with_the_same_bits(backend, tmp_path):
    grid = with_rates(training(backend, recipe=SGD), *RATES)
    whole = train(grid, tmp_path / "whole")

    def kill_at(point):
        def emit(event):
            told.append(event["event"])
            if told.count("progress") == point:
                raise Killed

        told = []
        with pytest.raises(Killed):
            train(grid, tmp_path / "parts", emit)

    kill_at(1)  # in the middle of the first
    kill_at(2)  # at its end, then in the middle of the second
    parts = train(grid, tmp_path / "parts")
    assert (parts.rates, parts.learning_rate) == (whole.rates, whole.learning_rate)
    assert parts.progress.history == whole.progress.history
    assert digest(weights_of(parts.task.model)) == digest(weights_of(whole.task.model))
