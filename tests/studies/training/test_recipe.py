"""The recipe: validation points, schedule, decoupled decay on kernels alone, clipping, smoothing."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import keras_vit
from studies.study.recipe import Recipe
from studies.training.recipe import (
    SmoothedCrossentropy,
    compile_model,
    decays,
    make_optimizer,
    make_schedule,
    rates,
    validation_points,
)


@pytest.mark.once
@given(steps=st.integers(1, 100_000), validations=st.integers(1, 50))
def test_validation_points_are_distinct_even_and_end_with_the_last_step(steps, validations):
    points = validation_points(steps, validations)
    assert points == sorted(set(points))
    assert points[0] >= 1 and points[-1] == steps
    assert len(points) == min(steps, validations)
    gaps = np.diff([0, *points])
    assert gaps.max() - gaps.min() <= 1


@pytest.mark.once
def test_every_five_percent_of_the_steps():
    assert validation_points(1000, 20) == list(range(50, 1001, 50))
    assert validation_points(7, 20) == [1, 2, 3, 4, 5, 6, 7]
    assert validation_points(1, 20) == [1]


def learning_rates(recipe):
    schedule = make_schedule(recipe)
    return np.array(
        [float(keras.ops.convert_to_numpy(schedule(step))) for step in range(recipe.steps)]
    )


def test_linear_warmup_then_cosine():
    rates = learning_rates(Recipe(steps=50, learning_rate=2e-3, warmup_fraction=0.1))
    np.testing.assert_allclose(rates[:5], 2e-3 * np.arange(1, 6) / 5, rtol=1e-6)
    progress = np.arange(45) / 45
    np.testing.assert_allclose(rates[5:], 1e-3 * (1 + np.cos(np.pi * progress)), rtol=2e-5)
    assert rates[-1] < 0.002 * rates.max()


def test_linear_decay_ends_at_the_papers_1e_5():
    rates = learning_rates(Recipe(steps=40, learning_rate=1e-3, schedule="linear"))
    np.testing.assert_allclose(rates[4:], np.linspace(1e-3, 1e-5, 37)[:-1], rtol=1e-5)
    assert 1e-5 < rates[-1] < 4e-5


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("schedule", ["cosine", "linear"])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.99])
def test_any_number_of_steps_has_a_usable_learning_rate(steps, schedule, warmup):
    recipe = Recipe(steps=steps, schedule=schedule, warmup_fraction=warmup)
    rates = learning_rates(recipe)
    assert np.isfinite(rates).all() and (rates > 0).all() and rates.max() <= 1e-3 * (1 + 1e-6)


def test_the_schedule_counts_in_float32_under_half_precision():
    recipe = Recipe(steps=100_000, learning_rate=1e-3)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        schedule = make_schedule(recipe)
        rates = [keras.ops.convert_to_numpy(schedule(step)) for step in (5000, 5001)]
    finally:
        keras.config.set_dtype_policy(before)
    assert rates[0].dtype == np.float32
    np.testing.assert_allclose(rates[1] - rates[0], 1e-7, rtol=1e-2)


def tiny(classifier="map", **overrides):
    return keras_vit.VisionTransformer(
        input_shape=(8, 8, 1),
        patch_size=4,
        num_layers=1,
        hidden_size=8,
        mlp_dim=8,
        num_heads=2,
        classes=3,
        classifier=classifier,
        **overrides,
    )


def optimizer_of(recipe, model):
    return make_optimizer(recipe, model, make_schedule(recipe))


@pytest.mark.parametrize("classifier", ["token", "map"])
def test_weight_decay_acts_on_kernels_alone(classifier):
    model = tiny(classifier, position_embedding="relative" if classifier == "map" else "learned")
    recipe = Recipe(steps=1, warmup_fraction=0.0, learning_rate=0.5, weight_decay=0.1)
    optimizer = optimizer_of(recipe, model)
    optimizer.build(model.trainable_variables)
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(size=weight.shape).astype("float32"))
    before = {w.path: np.array(keras.ops.convert_to_numpy(w)) for w in model.trainable_weights}
    # Without a gradient Adam moves nothing, so what moves is the decay: rate x decay x weight.
    optimizer.apply([keras.ops.zeros_like(w.value) for w in model.trainable_weights])
    shrunk = set()
    for weight in model.trainable_weights:
        after = keras.ops.convert_to_numpy(weight)
        if not np.array_equal(after, before[weight.path]):
            np.testing.assert_allclose(after, before[weight.path] * (1 - 0.5 * 0.1), rtol=1e-5)
            shrunk.add(weight.path)
    assert shrunk == {path for path in before if path.endswith("/kernel")}
    kept = {path.rsplit("/", 1)[-1] for path in set(before) - shrunk}
    assert {"bias", "gamma", "beta"} <= kept


def test_convolution_kernels_decay_and_group_norms_do_not():
    model = keras_vit.ResNet(
        input_shape=(8, 8, 1),
        block_counts=(1, 1),
        width_factor=0.125,
        stem="small",
        classes=3,
        groups=4,
    )
    names = {w.name for w in model.trainable_weights if decays(w)}
    assert names == {"kernel"}
    assert {w.name for w in model.trainable_weights if not decays(w)} == {"gamma", "beta", "bias"}


def test_gradients_are_clipped_to_a_global_norm():
    model = tiny("token")
    recipe = Recipe(steps=10, clip_norm=1.0)
    optimizer = optimizer_of(recipe, model)
    assert optimizer.global_clipnorm == 1.0
    assert optimizer_of(Recipe(clip_norm=0.0), model).global_clipnorm is None


def test_optimizer_state_is_float32_under_mixed_precision():
    model = tiny("token", dtype="mixed_bfloat16")
    compile_model(model, Recipe(steps=10, dtype="mixed_bfloat16"))
    kinds = {keras.backend.standardize_dtype(v.dtype) for v in model.optimizer.variables[1:]}
    assert kinds == {"float32"}


def test_label_smoothing_equals_keras_dense_loss(rng):
    logits = rng.normal(size=(9, 5)).astype("float32")
    labels = rng.integers(0, 5, 9)
    dense = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    expected = dense(np.eye(5, dtype="float32")[labels], logits)
    actual = SmoothedCrossentropy(0.1)(labels, logits)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(actual), keras.ops.convert_to_numpy(expected), rtol=1e-5
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_mixed_labels_are_learned_as_probabilities(rng, smoothing):
    model = tiny("token")
    compile_model(model, Recipe(steps=10, mixup=0.2, label_smoothing=smoothing))
    logits = rng.normal(size=(6, 3)).astype("float32")
    targets = rng.dirichlet(np.ones(3), 6).astype("float32")
    wanted = (1 - smoothing) * targets.astype(float) + smoothing / 3
    log_probability = logits - np.log(np.exp(logits.astype(float)).sum(1, keepdims=True))
    found = keras.ops.convert_to_numpy(model.loss(targets, logits))
    assert found == pytest.approx(-(wanted * log_probability).sum(1).mean(), rel=1e-5)
    [metric] = model._compile_metrics._user_metrics
    right = np.mean(targets.argmax(1) == logits.argmax(1))
    assert float(metric(targets, logits)) == pytest.approx(right)


def test_rates_are_arguments_of_the_models_that_have_them():
    recipe = Recipe(dropout_rate=0.1, attention_dropout_rate=0.2, stochastic_depth_rate=0.3)
    small = {"num_layers": 2, "hidden_size": 8, "mlp_dim": 8, "num_heads": 2}
    for base in ("ViT-Ti/4", "R26+ViT-Ti/32"):
        assert rates(recipe, base) == {
            "dropout_rate": 0.1,
            "attention_dropout_rate": 0.2,
            "stochastic_depth_rate": 0.3,
        }
    model = keras_vit.create_model("ViT-Ti/4", (8, 8, 1), 3, **small, **rates(recipe, "ViT-Ti/4"))
    block = next(layer for layer in model.layers if "block" in layer.name)
    assert (block.dropout_rate, block.attention_dropout_rate) == (0.1, 0.2)
    assert rates(recipe, "BiT-R50x1") == rates(Recipe(), "ViT-Ti/4") == {}
    with pytest.raises(ValueError, match="no argument 'dropout_rate'"):  # so it has no layer for it
        keras_vit.create_model("BiT-R50x1", (8, 8, 1), 3, dropout_rate=0.1)
