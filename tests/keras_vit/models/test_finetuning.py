"""A fine-tuning model keeps what was learned and changes what must change."""

import json

import keras
import numpy as np
import pytest
import scipy.ndimage

import keras_vit
from tests.contracts import forward, numpy, randomise

VIT = dict(
    input_shape=(8, 12, 3),
    patch_size=4,
    num_layers=2,
    hidden_size=8,
    mlp_dim=16,
    num_heads=2,
    classes=3,
)
HYBRID = {**VIT, "input_shape": (16, 24, 3), "patch_size": 2, "stem_block_counts": (1,)}
RESNET = dict(input_shape=(8, 12, 3), block_counts=(1, 1), width_factor=0.125, groups=4, classes=3)
KINDS = {
    "token": (keras_vit.VisionTransformer, VIT),
    "representation": (keras_vit.VisionTransformer, {**VIT, "representation_size": 6}),
    "gap-2d": (
        keras_vit.VisionTransformer,
        {**VIT, "classifier": "gap", "position_embedding": "learned_2d"},
    ),
    "token-2d": (keras_vit.VisionTransformer, {**VIT, "position_embedding": "learned_2d"}),
    "map-sincos": (
        keras_vit.VisionTransformer,
        {**VIT, "classifier": "map", "position_embedding": "sincos2d"},
    ),
    "relative": (keras_vit.VisionTransformer, {**VIT, "position_embedding": "relative"}),
    "none": (keras_vit.VisionTransformer, {**VIT, "position_embedding": "none"}),
    "hybrid": (keras_vit.VisionTransformer, HYBRID),
    "resnet": (keras_vit.ResNet, RESNET),
    "resnet-small": (keras_vit.ResNet, {**RESNET, "stem": "small", "bottleneck": False}),
}
COMPILED = keras.backend.backend() == "jax"  # where one program is made sooner than one an op
POSITIONS = ("position_embedding", "row_embedding", "column_embedding", "bias_table")


def pretrained(kind: str, **more) -> keras.Model:
    cls, arguments = KINDS[kind]
    model = cls(**{**arguments, **more})
    randomise(model)
    return model


def by_name(model: keras.Model) -> dict[str, np.ndarray]:
    return {w.path.removeprefix(model.name + "/"): numpy(w) for w in model.weights}


@pytest.mark.parametrize("kind", KINDS)
def test_other_task_and_resolution(kind):
    model = pretrained(kind)
    before = by_name(model)
    height, width, _ = model.input_shape[1:]
    new = keras_vit.for_finetuning(model, classes=5, input_shape=(2 * height, 2 * width, 3))
    after = by_name(new)

    assert set(after) == {name for name in before if not name.startswith("pre_logits")}
    assert not after["head/kernel"].any() and not after["head/bias"].any()
    assert after["head/kernel"].shape[1] == 5
    for name, value in after.items():
        if name.startswith("head/"):
            continue
        if name.split("/")[-1] in POSITIONS:
            assert value.shape != before[name].shape
        else:
            np.testing.assert_array_equal(value, before[name], err_msg=name)
    for name, value in by_name(model).items():
        np.testing.assert_array_equal(value, before[name])  # the pre-trained model stays

    images = np.random.default_rng(0).normal(size=(2, 2 * height, 2 * width, 3)).astype("float32")
    np.testing.assert_array_equal(numpy(forward(new, images)), np.zeros((2, 5)))
    assert len(new.trainable_weights) == len(new.weights)


@pytest.mark.parametrize("kind", KINDS)
def test_same_resolution_gives_the_same_features(kind):
    model = pretrained(kind)
    images = np.random.default_rng(0).normal(size=(2, *model.input_shape[1:])).astype("float32")
    new = keras_vit.for_finetuning(model, classes=None)
    features = keras.Model(model.input, model.get_layer("pooling").output)
    np.testing.assert_allclose(
        numpy(forward(new, images)), numpy(forward(features, images)), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("kind", ["token", "hybrid"])
@pytest.mark.parametrize("classifier", ["token", "gap", "map"])
def test_positions_are_interpolated_as_the_authors_do(kind, classifier):
    """scipy's linear zoom is what vit_jax calls; the class token's embedding is kept."""
    model, scale = pretrained(kind, classifier=classifier), 2 if kind == "hybrid" else 1
    new = keras_vit.for_finetuning(model, classes=2, input_shape=(20 * scale, 16 * scale, 3))
    old_values = numpy(model.get_layer("position_embedding").position_embedding)
    values = numpy(new.get_layer("position_embedding").position_embedding)
    first = 1 if classifier == "token" else 0
    old_grid = old_values[0, first:].reshape(2, 3, 8)
    zoomed = scipy.ndimage.zoom(old_grid, (5 / 2, 4 / 3, 1), order=1)
    np.testing.assert_array_equal(values[:, :first], old_values[:, :first])
    np.testing.assert_allclose(values[0, first:], zoomed.reshape(20, 8), atol=1e-6)


def test_2d_positions_are_interpolated_as_a_whole_grid_would_be():
    """Rows and columns apart give what interpolating their sum over the grid gives."""
    model = pretrained("token-2d")
    new = keras_vit.for_finetuning(model, classes=2, input_shape=(20, 16, 3))
    old_values = numpy(model.get_layer("position_embedding").embeddings())
    values = numpy(new.get_layer("position_embedding").embeddings())
    expected = keras_vit.resample_position_embedding(old_values, (2, 3), (5, 4))
    np.testing.assert_allclose(values, expected, atol=1e-6)


def test_relative_table_keeps_its_centre_corners_and_prefix_entries():
    model = pretrained("relative")
    new = keras_vit.for_finetuning(model, classes=2, input_shape=(12, 16, 3))
    old = numpy(model.get_layer("block_1").attention.position_bias.bias_table)
    table = numpy(new.get_layer("block_1").attention.position_bias.bias_table)
    old_grid, grid = old[:, :-3].reshape(2, 3, 5), table[:, :-3].reshape(2, 5, 7)
    np.testing.assert_array_equal(table[:, -3:], old[:, -3:])
    np.testing.assert_allclose(grid[:, 2, 3], old_grid[:, 1, 2], atol=1e-6)
    np.testing.assert_allclose(grid[:, ::4, ::6], old_grid[:, ::2, ::4], atol=1e-6)
    # Halfway between two old offsets: rows -2..2 lie on -1..1 at every half.
    np.testing.assert_allclose(grid[:, 1, 3], old_grid[:, :2, 2].mean(axis=1), atol=1e-6)


def test_a_file_that_was_loaded_and_low_rank_updates_are_taken_along(tmp_path):
    model = pretrained("token")
    keras_vit.enable_lora(model, rank=2)
    for weight in model.trainable_weights:
        weight.assign(np.random.default_rng(1).normal(size=weight.shape))
    images = np.random.default_rng(0).normal(size=(2, 8, 12, 3)).astype("float32")
    features = keras.Model(model.input, model.get_layer("head").input)
    new = keras_vit.for_finetuning(model, classes=None)
    np.testing.assert_allclose(
        numpy(forward(new, images)), numpy(forward(features, images)), rtol=1e-4, atol=1e-5
    )
    assert not any("lora" in weight.path for weight in new.weights)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    again = keras_vit.for_finetuning(loaded, classes=None)
    np.testing.assert_allclose(
        numpy(forward(again, images)), numpy(forward(new, images)), rtol=1e-4, atol=1e-5
    )


def test_channels_first_and_other_arguments():
    model = keras_vit.VisionTransformer(
        **{**VIT, "input_shape": (3, 8, 12)}, data_format="channels_first"
    )
    new = keras_vit.for_finetuning(
        model,
        classes=4,
        input_shape=(3, 16, 12),
        dropout_rate=0.1,
        classifier_activation="softmax",
        dtype="mixed_bfloat16",
        name="flowers",
    )
    assert (new.grid, new.name, new.dtype_policy.name) == ((4, 3), "flowers", "mixed_bfloat16")
    assert new.get_layer("block_0").dtype_policy.name == "mixed_bfloat16"
    probabilities = numpy(forward(new, np.zeros((1, 3, 16, 12))))
    np.testing.assert_allclose(probabilities, np.full((1, 4), 0.25))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (8, 12, 1)}, "3 channels"),
        ({"input_shape": (9, 12, 3)}, "not a multiple of the patch height 4"),
        ({"num_layers": 1}, "'num_layers' cannot change"),
        ({"classes": 0}, "classes is 0"),
        ({"dtype": "int8_from_float32"}, "after fine-tuning"),
        ({"interpolation": "cubic", "input_shape": (16, 12, 3)}, "'bicubic'"),
        ({"interpolation": "cubic"}, "interpolation is 'cubic'"),  # also where it is not needed
        ({"input_shape": 16}, "three positive ints"),
        ({"input_shape": (16, 12)}, "three positive ints"),
    ],
)
def test_what_cannot_be_made_is_said(arguments, message):
    with pytest.raises(ValueError, match=message):
        keras_vit.for_finetuning(pretrained("token"), **{"classes": 2, **arguments})


def test_other_models_and_quantised_ones_are_refused():
    with pytest.raises(ValueError, match="this Functional has none inside"):
        inputs = keras.Input((2,))
        keras_vit.for_finetuning(keras.Model(inputs, inputs), classes=2)
    masked = keras_vit.pretraining.MaskedPatchModel(pretrained("token"))
    with pytest.raises(ValueError, match=r"give that one: for_finetuning\(model\.vit, \.\.\.\)"):
        keras_vit.for_finetuning(masked, classes=2)
    model = pretrained("resnet")
    model.quantize("int8")
    with pytest.raises(ValueError, match="before quantize"):
        keras_vit.for_finetuning(model, classes=2)


def test_recipe_is_the_papers():
    """Cosine from the highest rate to zero, with and without warmup, by its formula."""
    optimizer, schedule = keras_vit.finetuning_recipe(steps=100, learning_rate=0.03)
    assert isinstance(optimizer, keras.optimizers.SGD)
    assert (optimizer.momentum, optimizer.global_clipnorm) == (0.9, 1.0)
    assert not optimizer.weight_decay and not optimizer.nesterov
    for step in (0, 25, 50, 99, 100):
        expected = 0.03 * (1 + np.cos(np.pi * step / 100)) / 2
        np.testing.assert_allclose(numpy(schedule(step)), expected, atol=1e-8)
    _, schedule = keras_vit.finetuning_recipe(100, 0.03, warmup_steps=10)
    for step, expected in ((0, 0), (5, 0.015), (10, 0.03), (55, 0.015), (100, 0)):
        np.testing.assert_allclose(numpy(schedule(step)), expected, atol=1e-8)
    of_numpy, _ = keras_vit.finetuning_recipe(
        np.int64(1000), np.float32(0.5), np.uint8(10), np.float32(0.25), np.float32(2)
    )
    config = json.loads(json.dumps(of_numpy.get_config()))
    assert (config["momentum"], config["global_clipnorm"]) == (0.25, 2)
    rate = config["learning_rate"]["config"]
    assert (rate["decay_steps"], rate["warmup_target"]) == (990, 0.5)
    with pytest.raises(ValueError, match="warmup_steps is 5 of 5 steps"):
        keras_vit.finetuning_recipe(5, 0.1, warmup_steps=5)
    with pytest.raises(ValueError, match="steps is '5'; give a positive int"):
        keras_vit.finetuning_recipe("5", 0.1)
    for rate in (-0.1, "0.1", True):
        with pytest.raises(ValueError, match=rf"learning_rate is {rate!r}; give a positive"):
            keras_vit.finetuning_recipe(5, rate)


def test_recipe_takes_a_schedule_as_it_is():
    steps = keras.optimizers.schedules.PiecewiseConstantDecay([2], [0.1, 0.01])
    optimizer, schedule = keras_vit.finetuning_recipe(5, steps)
    assert schedule is steps
    for iteration, expected in ((2, 0.1), (3, 0.01)):
        optimizer.iterations.assign(iteration)
        np.testing.assert_allclose(numpy(optimizer.learning_rate), expected, rtol=1e-6)
    with pytest.raises(ValueError, match="warmup_steps=2 has no place in the schedule"):
        keras_vit.finetuning_recipe(5, steps, warmup_steps=2)


def test_recipe_trains(rng):
    """Two kinds of images that differ in brightness are told apart after fine-tuning."""
    labels = np.arange(32) % 2
    images = rng.normal(size=(32, 8, 12, 3)).astype("float32") * 0.1 + labels[:, None, None, None]
    pre = pretrained("token")
    before = by_name(pre)
    model = keras_vit.for_finetuning(pre, classes=2)
    optimizer, _ = keras_vit.finetuning_recipe(steps=40, learning_rate=0.1)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    history = model.fit(images, labels, batch_size=8, epochs=10, verbose=0).history
    assert history["accuracy"][-1] == 1
    # Copies: what fine-tuning changed, it changed in the new model alone.
    assert not np.array_equal(
        by_name(model)["block_0/mlp/hidden/kernel"], before["block_0/mlp/hidden/kernel"]
    )
    for name, value in by_name(pre).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)


@pytest.mark.parametrize("kind", ["token", "hybrid", "map-sincos"])
def test_lora_trains_the_head_and_low_rank_updates_alone(kind, tmp_path):
    model = pretrained(kind)
    images = np.random.default_rng(0).normal(size=(4, *model.input_shape[1:])).astype("float32")
    unchanged = numpy(forward(model, images))
    keras_vit.enable_lora(model, rank=2)
    np.testing.assert_allclose(numpy(forward(model, images)), unchanged, rtol=1e-5, atol=1e-6)
    names = {w.path.removeprefix(model.name + "/") for w in model.trainable_weights}
    dense = ("attention/query", "attention/key", "attention/value", "attention/output")
    dense += ("mlp/hidden", "mlp/output")
    expected = {
        f"block_{i}/{d}/lora_kernel_{x}" for i in range(2) for d in dense for x in ("a", "b")
    }
    assert names == expected | {"head/kernel", "head/bias"}

    frozen = {
        w.path: numpy(w)
        for w in model.weights
        if w.path.removeprefix(model.name + "/") not in names
    }
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(images, np.ones((4, 3)), epochs=2, verbose=0)
    for weight in model.weights:
        if weight.path in frozen and "seed" not in weight.path:
            np.testing.assert_array_equal(numpy(weight), frozen[weight.path])
    trained = numpy(forward(model, images))
    assert np.abs(trained - unchanged).max() > 1e-3

    model.save(tmp_path / "merged.keras")
    merged = keras.saving.load_model(tmp_path / "merged.keras")
    assert not any("lora" in weight.path for weight in merged.weights)
    np.testing.assert_allclose(numpy(forward(merged, images)), trained, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["token", "hybrid", "resnet"])
def test_only_head_and_norms_train(kind):
    model = pretrained(kind)
    keras_vit.train_only_head_and_norms(model)
    names = {w.path.removeprefix(model.name + "/") for w in model.trainable_weights}
    every = {w.path.removeprefix(model.name + "/") for w in model.weights}
    assert names == {n for n in every if n.startswith("head/") or n.endswith(("/gamma", "/beta"))}
    before = by_name(model)
    images = np.random.default_rng(0).normal(size=(4, *model.input_shape[1:])).astype("float32")
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(images, np.ones((4, 3)), verbose=0)
    after = by_name(model)
    changed = {name for name in every if not np.array_equal(before[name], after[name])}
    assert changed <= names and {"head/bias"} <= changed and len(changed) > 2


@pytest.mark.parametrize("kind", ["token", "hybrid", "resnet"])
def test_a_file_keeps_what_is_frozen_and_trains_on(kind, tmp_path):
    model = pretrained(kind)
    keras_vit.train_only_head_and_norms(model)
    model.compile(keras.optimizers.Adam(0.01), "mse", run_eagerly=not COMPILED)
    images = np.random.default_rng(0).normal(size=(4, *model.input_shape[1:])).astype("float32")
    model.fit(images, np.ones((4, 3)), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    trainable = [w.path for w in model.trainable_weights]
    assert [w.path for w in loaded.trainable_weights] == trainable
    assert [w.path for w in loaded.optimizer._trainable_variables] == trainable
    assert int(loaded.optimizer.iterations) == 1
    for each in (model, loaded):
        each.fit(images, np.ones((4, 3)), verbose=0)
    for name, value in by_name(model).items():
        np.testing.assert_allclose(by_name(loaded)[name], value, atol=1e-6, err_msg=name)
    loaded.trainable = False  # TensorFlow passes over an assignment that changes nothing
    loaded.trainable = True
    assert len(loaded.trainable_weights) == len(pretrained(kind).trainable_weights)


def test_a_configuration_names_what_is_frozen_and_nothing_else(tmp_path):
    model = pretrained("token", dropout_rate=0.1)
    assert "frozen" not in model.get_config()  # as in older files, and with seeds that never train
    block = model.get_layer("block_0")
    block.trainable = False
    block.mlp_norm.trainable = True
    model.get_layer("encoder_norm").gamma.trainable = False
    model.get_layer("head").trainable = False
    copy = type(model).from_config(model.get_config())
    assert [w.path for w in copy.trainable_weights] == [w.path for w in model.trainable_weights]
    assert not copy.get_layer("head").trainable and not copy.get_layer("block_0").mlp.trainable
    assert copy.get_layer("encoder_norm").trainable and copy.get_layer("block_0").mlp_norm.trainable
    assert copy.get_config() == model.get_config()
    clone = keras.models.clone_model(model)
    assert [w.shape for w in clone.weights] == [w.shape for w in model.weights]

    model.trainable = False
    copy = type(model).from_config(model.get_config())
    assert not copy.trainable and not copy.trainable_weights
    copy.get_layer("head").trainable = True  # as before it was saved: the model's flag is off
    assert not copy.trainable_weights
    quantised = pretrained("token")
    quantised.quantize("int8")
    assert "frozen" not in quantised.get_config()
    adapted = pretrained("token")
    keras_vit.enable_lora(adapted, rank=1)
    assert "frozen" not in adapted.get_config()
    masked = keras_vit.pretraining.MaskedPatchModel(model)
    masked.save(tmp_path / "masked.keras")
    loaded = keras.saving.load_model(tmp_path / "masked.keras")
    assert {w.path.split("/")[-2] for w in loaded.trainable_weights} == {*("corrupt", "prediction")}


@pytest.mark.parametrize(
    "choose",
    [keras_vit.train_only_head_and_norms, lambda model: keras_vit.enable_lora(model, rank=2)],
    ids=["head and norms", "lora"],
)
def test_what_was_frozen_before_does_not_matter_for_what_is_chosen(choose):
    fresh = pretrained("token")
    choose(fresh)
    expected = [w.path for w in fresh.trainable_weights]
    whole, norms, weight = (pretrained("token") for _ in range(3))
    whole.trainable = False
    keras_vit.train_only_head_and_norms(norms)
    weight.get_layer("head").kernel.trainable = False
    for model in (whole, norms, weight):
        choose(model)
        assert [w.path for w in model.trainable_weights] == expected


def test_lora_needs_blocks_and_comes_once():
    with pytest.raises(ValueError, match="use train_only_head_and_norms"):
        keras_vit.enable_lora(pretrained("resnet"), rank=2)
    model = pretrained("token")
    with pytest.raises(ValueError, match="rank is 0; give a positive int"):
        keras_vit.enable_lora(model, rank=0)
    keras_vit.enable_lora(model, rank=2, train_norms=True)
    assert any(weight.path.endswith("gamma") for weight in model.trainable_weights)
    with pytest.raises(ValueError, match="LoRA already"):
        keras_vit.enable_lora(model, rank=2)
