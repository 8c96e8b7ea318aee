"""Every contender, tiny, on this pass's backend: it computes, and is of the size of ours."""

from importlib import import_module

import keras
import numpy as np
import pytest

from studies.bench import cases
from studies.bench.fit import repeated_step
from studies.study.recipe import Recipe
from tests.studies.bench.test_bench import case

RECIPE = Recipe(steps=4, batch_size=2).model_dump()


def makers(backend: str):
    plain = cases.contenders(case(backend))
    fit = cases.contenders(case(backend, mode="fit"))
    return {each.name: each for each in (*plain, *fit)}


NAMES = sorted(makers(keras.backend.backend()))


def made(name: str, backend: str, **changed):
    contender = makers(backend)[name]
    module, function = contender.maker.split(":")
    overrides = {**contender.overrides, **changed.pop("more", {})}
    maker = getattr(import_module(f"studies.bench.{module}"), function)
    return maker(case(backend, recipe=RECIPE, **changed), overrides)


@pytest.fixture(autouse=True)
def _float32():
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("name", NAMES)
def test_a_contender_computes(name, backend):
    runner = made(name, backend, more={"side": 4} if name == cases.PRODUCT else {})
    runner.turn(1)
    runner.turn(2)
    if name == cases.PRODUCT:
        assert runner.flops() == 2 * 4**3
    elif name != "reading":
        assert runner.parameters > 0


def test_all_vits_have_the_same_size(backend):
    """Patches, class token, positions, one block, norm and head, by hand."""
    expected = (8 * 8 * 3 + 1) * 8 + 8 + 5 * 8 + 4 * (8 * 8 + 8) + 2 * (8 * 8 + 8) + 3 * 16 + 9 * 5
    names = [each.name for each in cases.contenders(case(backend))][:-1]
    assert len(names) >= 3
    assert {made(name, backend).parameters for name in names} == {expected}


def test_the_bare_step_trains():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss=loss)
    model.optimizer.build(model.trainable_variables)
    x = np.eye(4, dtype="float32")[[0, 1, 2, 3]]
    seen = []
    original = model.optimizer.apply

    def counted(*arguments, **keywords):
        seen.append(1)
        return original(*arguments, **keywords)

    model.optimizer.apply = counted
    repeated_step(model, x, np.array([0, 1, 0, 1], "int32"))(3)
    assert seen  # traced once where compiled, called every step on torch
    if keras.backend.backend() != "jax":  # there the state is handed through the compiled function
        steps = int(keras.ops.convert_to_numpy(model.optimizer.iterations))
        assert steps >= 3


def test_without_flash_attention_a_model_of_ours_is_the_same(backend):
    try:
        runner = made("keras_vit", backend, more={"flash_attention": False})
        assert keras.config.is_flash_attention_enabled() is False
        runner.turn(1)
    finally:
        keras.config.enable_flash_attention()
    assert runner.parameters == made("keras_vit", backend).parameters
