"""Adam in one kernel: Keras' own numbers, state and files, and that it is one kernel."""

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit import FusedAdam, FusedAdamW
from tests.contracts import numpy
from tests.keras_vit.ecosystem.models import images, make

# 1 - 0.999 has an error of 1.3e-5 where 0.999 is float32 first, as in TensorFlow's kernel, and 1 - 0.999^t
# one of 1e-5 at the first steps in Keras' float32: each step of some 0.1 may be off by as much.
NEAR = {"rtol": 2e-5, "atol": 5 * 0.1 * 1e-5}
SHAPES = {"kernel": (3, 4), "bias": (4,), "tokens": (1, 2, 5)}
SCHEDULE = keras.optimizers.schedules.CosineDecay(0.02, 10, warmup_target=0.1, warmup_steps=3)
OPTIONS = {
    "plain": {},
    "other betas": {"beta_1": 0.5, "beta_2": 0.7, "epsilon": 0.1},  # which shows where it is added
    "schedule": {"learning_rate": SCHEDULE},
    "amsgrad": {"amsgrad": True},
    "clipped": {"global_clipnorm": 0.5},
    "averaged": {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 2},
    "accumulated": {"gradient_accumulation_steps": 2},
    "weight decay": {"weight_decay": 0.1},
}


def _moved(optimizer, rng, steps=5, dtype="float32"):
    """Weights and state after some steps."""
    weights = [
        keras.Variable(rng.normal(size=shape), dtype=dtype, name=name)
        for name, shape in SHAPES.items()
    ]
    optimizer.build(weights)
    if optimizer.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias"])
    for _ in range(steps):
        grads = [keras.ops.convert_to_tensor(rng.normal(size=w.shape), dtype) for w in weights]
        optimizer.apply(grads, weights)
    optimizer.finalize_variable_values(weights)
    return [numpy(v).astype("float64") for v in (*weights, *optimizer.variables)]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("kind", ["Adam", "AdamW"])
def test_it_moves_weights_and_state_as_keras_does(kind, options):
    ours, theirs = (
        _moved(make(**{"learning_rate": 0.1, **OPTIONS[options]}), np.random.default_rng(1))
        for make in (getattr(keras_vit, f"Fused{kind}"), getattr(keras.optimizers, kind))
    )
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, **NEAR)


def test_in_bfloat16_it_is_as_near_to_float32_as_keras():
    exact = _moved(keras.optimizers.Adam(0.1), np.random.default_rng(1))[:3]
    near = [
        max(
            np.abs(one - other).max()
            for one, other in zip(
                _moved(make(0.1), np.random.default_rng(1), dtype="bfloat16"), exact, strict=False
            )
        )
        for make in (FusedAdam, keras.optimizers.Adam)
    ]
    assert near[0] <= max(near[1], 0.02)


def test_it_takes_the_kernel_where_there_is_one(backend, rng):
    if backend == "torch":
        import torch

        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as watched:
            _moved(FusedAdam(0.1), rng)
        calls = {event.key: event.count for event in watched.key_averages()}
        assert calls["aten::_fused_adam_"] == 5
    elif backend == "tensorflow":
        import tensorflow as tf

        weights = [keras.Variable(np.ones(shape), name=name) for name, shape in SHAPES.items()]
        optimizer = FusedAdam(0.1)
        optimizer.build(weights)

        @tf.function
        def step(*grads):
            optimizer.apply(grads, weights)

        graph = step.get_concrete_function(*(tf.ones(w.shape) for w in weights)).graph
        kinds = [operation.type for operation in graph.get_operations()]
        assert kinds.count("ResourceApplyAdam") == len(SHAPES)
    else:
        assert type(FusedAdam(0.1)).__mro__[2] is keras.optimizers.Adam


def test_memory_in_another_order_is_left_to_keras():
    """A kernel that goes through memory would give a weight its neighbour's gradient."""
    rng = np.random.default_rng(1)
    value, grad = rng.normal(size=(2, 4, 6)).astype("float32")
    moved = []
    for kind in (FusedAdam, keras.optimizers.Adam):
        weight = keras.Variable(value)
        turned = keras.ops.transpose(keras.ops.convert_to_tensor(np.ascontiguousarray(grad.T)))
        optimizer = kind(0.1)
        optimizer.build([weight])
        optimizer.apply([turned], [weight])
        moved.append(numpy(weight))
    np.testing.assert_allclose(*moved, **NEAR)


def test_a_model_trains_on_from_a_file_as_if_it_had_not_been_saved(tmp_path):
    model = make("vit")
    x, y = images(4), np.arange(4) % 2
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(FusedAdamW(1e-3, weight_decay=0.1), loss)
    model.train_on_batch(x, y)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.optimizer, FusedAdamW)
    for each in (model, loaded):
        each.train_on_batch(x, y)
    for one, other in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(numpy(one), numpy(other))


def test_groups_are_made_of_it():
    optimizer = keras_vit.GroupedOptimizer(FusedAdamW(0.1, weight_decay=0.1), {"^kernel": 0.5})
    ours = _moved(optimizer, np.random.default_rng(1))[:3]
    plain = keras.optimizers.AdamW(0.1, weight_decay=0.1)
    theirs = _moved(keras_vit.GroupedOptimizer(plain, {"^kernel": 0.5}), np.random.default_rng(1))[
        :3
    ]
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, **NEAR)
