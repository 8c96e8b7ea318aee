"""Rates by depth: of every architecture and of models around one, and kept in files."""

import keras
import numpy as np
import pytest
import torch

import keras_vit
from keras_vit import GroupedOptimizer, layerwise_learning_rates
from tests.contracts import numpy
from tests.keras_vit.abstract import abstract
from tests.keras_vit.ecosystem.models import build, images, make

OPTIMIZERS = keras.optimizers


def test_a_vit_moves_as_under_the_parameter_groups_of_pytorch():
    """The groups of MAE's fine-tuning: by its names' layer numbers, decay for more than vectors."""
    model, rng = make("vit"), np.random.default_rng(0)
    tokens_and_positions = ("class_token/class_token", "position_embedding/position_embedding")

    def group(name, value):
        number = 0 if not name.startswith("block_") else int(name[len("block_")]) + 1
        number = 3 if name.startswith(("encoder_norm", "head")) else number
        decays = value.ndim > 1 and name not in tokens_and_positions
        return {"lr": 0.01 * 0.65 ** (3 - number), "weight_decay": 0.05 if decays else 0.0}

    names = [weight.path.removeprefix(f"{model.name}/") for weight in model.weights]
    theirs = [torch.nn.Parameter(torch.tensor(numpy(weight))) for weight in model.weights]
    groups = [{"params": [p], **group(n, p)} for n, p in zip(names, theirs, strict=True)]
    reference = torch.optim.AdamW(groups, betas=(0.9, 0.95), eps=1e-8)
    adamw = OPTIMIZERS.AdamW(0.01, weight_decay=0.05, beta_2=0.95, epsilon=1e-8)
    optimizer = layerwise_learning_rates(adamw, model, decay=0.65)
    for _ in range(3):
        gradients = [rng.normal(size=w.shape).astype("float32") for w in model.weights]
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradients], model.weights)
        for parameter, gradient in zip(theirs, gradients, strict=True):
            parameter.grad = torch.tensor(gradient)
        reference.step()
    for name, weight, parameter in zip(names, model.weights, theirs, strict=True):
        expected = parameter.detach().numpy()
        np.testing.assert_allclose(numpy(weight), expected, rtol=1e-5, atol=1e-6, err_msg=name)


def factors(model: keras.Model, **arguments) -> dict[str, float]:
    """The factor of each layer of a model, by the first two parts of its weights' paths."""
    optimizer = layerwise_learning_rates("sgd", model, **arguments)
    found: dict[str, set[float]] = {}
    for weight in model.trainable_weights:
        found.setdefault(weight.path.removeprefix(f"{model.name}/").split("/")[0], set()).add(
            optimizer._factor_of(weight.path)
        )
    assert all(len(values) == 1 for values in found.values())
    return {name: values.pop() for name, values in found.items()}


def test_depths_of_every_architecture():
    expected = {"patch_embedding": 0.125, "class_token": 0.125, "position_embedding": 0.125}
    expected |= {"block_0": 0.25, "block_1": 0.5, "encoder_norm": 1, "head": 1}
    assert factors(abstract(lambda: build("vit")), decay=0.5) == expected
    sizes = {"patch_size": 4, "num_layers": 2, "hidden_size": 8, "mlp_dim": 16, "num_heads": 2}
    rotary = abstract(
        lambda: keras_vit.RotaryVisionTransformer((8, 12, 3), "none", **sizes, classes=3)
    )
    del expected["position_embedding"]
    assert factors(rotary, decay=0.5) == expected
    expected = {
        "root_conv": 0.125,
        "stage1_unit1": 0.25,
        "stage2_unit1": 0.5,
        "final_norm": 1,
        "head": 1,
    }
    assert factors(abstract(lambda: build("resnet")), decay=0.5) == expected
    arguments = {"classes": 3, "classifier": "map", "stem_block_counts": (1,)}
    hybrid = abstract(lambda: keras_vit.VisionTransformer((32, 32, 3), 2, 1, 8, 16, 2, **arguments))
    stem = ("stem_conv", "stem_norm", "stem_stage1_unit1", "patch_embedding", "position_embedding")
    expected = dict.fromkeys(stem, 0.25) | {"block_0": 0.5}
    expected |= dict.fromkeys(("encoder_norm", "pooling", "head"), 1)
    assert factors(hybrid, decay=0.5) == expected
    assert set(factors(abstract(lambda: build("vit")), decay=1).values()) == {1}


def test_what_is_frozen_has_its_rate_when_it_trains(recwarn):
    """Rates made while the head and the norms alone train, for a model that trains as a whole."""
    model = make("vit")
    expected = factors(model, decay=0.5)
    keras_vit.train_only_head_and_norms(model)
    optimizer = layerwise_learning_rates("sgd", model, decay=0.5)
    copy = GroupedOptimizer.from_config(optimizer.get_config())
    copy.build(model.trainable_variables)
    assert not [warning for warning in recwarn if "No weight" in str(warning.message)]
    model.trainable = True
    optimizer.build(model.trainable_variables)
    names = [w.path.removeprefix(f"{model.name}/") for w in model.trainable_variables]
    names = [name.split("/")[0] for name in names]
    assert set(zip(names, optimizer._factors, strict=True)) == set(expected.items())


def test_depths_in_a_model_that_contains_ours():
    ours = build("vit")
    top = keras.layers.Dense(2, name="own")(ours.get_layer("pooling").output)
    own = keras.Model(ours.input, top)
    found = factors(own, decay=np.float32(0.5))
    assert found["block_1"] == 0.5 and found["own"] == 1 and found["class_token"] == 0.125
    inputs = keras.Input((8, 12, 3))
    x = keras.layers.Conv2D(3, 1, name="first")(inputs)
    nested = keras.Model(inputs, keras.layers.Dense(2, name="own")(ours(x)))
    optimizer = layerwise_learning_rates("sgd", nested, decay=0.5)
    by_path = {w.path: optimizer._factor_of(w.path) for w in nested.trainable_weights}
    assert by_path[ours.get_layer("block_0").mlp.hidden.kernel.path] == 0.25
    assert by_path["first/kernel"] == 0.125 and by_path["own/kernel"] == 1
    masked = keras_vit.pretraining.MaskedPatchModel(ours)
    optimizer = layerwise_learning_rates("sgd", masked, decay=0.5)
    by_path = {w.path: optimizer._factor_of(w.path) for w in masked.trainable_weights}
    assert by_path[ours.get_layer("block_0").mlp.hidden.kernel.path] == 0.25
    assert by_path[masked.prediction.kernel.path] == 1


class HeadFirst(keras.Model):
    """An own head that is made before the ViT which it stands on."""

    def __init__(self, inner):
        super().__init__()
        self.own = keras.layers.Dense(2, name="own")
        self.inner = inner

    def call(self, inputs):
        return self.own(self.inner(inputs))


class Encoder(keras.Model):
    """Calls blocks by itself."""

    def __init__(self):
        super().__init__()
        self.block = keras_vit.TransformerBlock(2, 8)

    def call(self, inputs):
        return self.block(inputs)


def test_depth_is_where_the_data_flow_and_not_where_a_layer_is_listed():
    ours, images, table = build("vit"), keras.Input((8, 12, 3)), keras.Input((4,))
    layers = {name: keras.layers.Dense(4, name=name) for name in ("table", "more", "own")}
    numbers = layers["more"](layers["table"](table))
    beside = keras.layers.Concatenate()([numbers, ours(images)])
    beside = keras.Model([table, images], layers["own"](beside))
    head_first = HeadFirst(ours)
    head_first(np.zeros((1, 8, 12, 3), "float32"))
    first = keras.layers.Conv2D(3, 1, name="first")
    before = keras.Sequential([keras.Input((8, 12, 3)), first], name="before")
    backbone = keras.Model(ours.input, ours.get_layer("pooling").output)
    own = keras.layers.Dense(2, name="own")
    nested = HeadFirst(keras.Model(images, own(backbone(before(images)))))
    nested(np.zeros((1, 8, 12, 3), "float32"))
    adapter = keras.layers.Dense(8, name="adapter")
    tokens = ours.get_layer("block_0")(ours.get_layer("embedding_dropout").output)
    tokens = ours.get_layer("block_1")(adapter(tokens))
    adapted = keras.Model(ours.input, own(ours.get_layer("pooling")(tokens)))
    for model, expected in (
        (beside, {**dict.fromkeys(layers.values(), 1), ours.get_layer("head"): 1}),
        (head_first, {head_first.own: 1}),
        (nested, {nested.own: 1, own: 1, first: 0.125}),
        (adapted, {adapter: 0.25, own: 1}),
    ):
        optimizer = layerwise_learning_rates("sgd", model, decay=0.5)
        inner = {"patch_embedding": 0.125, "block_0": 0.25, "block_1": 0.5}
        inner = {ours.get_layer(name): factor for name, factor in inner.items()}
        for layer, factor in {**inner, **expected}.items():
            found = {optimizer._factor_of(weight.path) for weight in layer.weights}
            assert found == {factor}, (model.name, layer.name)


def test_where_depth_cannot_be_told_it_is_said():
    ours, images = build("vit"), keras.Input((8, 12, 3))
    pair = keras.Model(
        images, keras.layers.Add()([ours(images), build("vit", name="other")(images)])
    )
    with pytest.raises(ValueError, match=r"several inside .*GroupedOptimizer with rates by path"):
        layerwise_learning_rates("sgd", pair)
    with pytest.raises(ValueError, match=r"blocks of 'encoder.*' cannot be seen"):
        layerwise_learning_rates("sgd", Encoder())
    named = keras.layers.Conv2D(3, 1, name="head")
    with pytest.raises(ValueError, match=r"'head/.*' could be a weight of several layers"):
        layerwise_learning_rates("sgd", keras.Model(images, ours(named(images))))


def test_models_without_blocks_and_other_decays_are_refused():
    with pytest.raises(ValueError, match="no Transformer blocks"):
        layerwise_learning_rates(
            "sgd", keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        )
    for decay in (0, 1.1, "0.5"):
        with pytest.raises(ValueError, match="give a number above 0 and at most 1"):
            layerwise_learning_rates("sgd", make("vit"), decay=decay)


def step(optimizer, change, **arguments) -> dict[str, np.ndarray]:
    """How far each weight of a ViT moves in one step of `fit`."""
    keras.utils.set_random_seed(0)  # the factors of low-rank updates are drawn
    model = make("vit", **arguments)
    change(model)
    before = [numpy(weight) for weight in model.trainable_weights]
    model.compile(optimizer(model), "mse")
    model.fit(images(4), np.ones((4, 3)), batch_size=4, verbose=0)
    after = [numpy(weight) for weight in model.trainable_weights]
    names = [weight.path.removeprefix(f"{model.name}/") for weight in model.trainable_weights]
    return {name: a - b for name, a, b in zip(names, after, before, strict=True)}


def adapt(model):
    """Low-rank updates in the blocks, of which the frozen first has none of its own."""
    keras_vit.enable_lora(model, rank=2, train_norms=True)
    model.get_layer("block_0").trainable = False


@pytest.mark.parametrize(
    ("policy", "change"), [("float32", adapt), ("mixed_float16", lambda model: None)]
)
def test_fit_moves_each_layer_by_its_share(policy, change):
    plain = step(lambda model: OPTIMIZERS.SGD(0.5), change, dtype=policy)
    found = step(
        lambda model: layerwise_learning_rates(OPTIMIZERS.SGD(0.5), model, 0.5),
        change,
        dtype=policy,
    )
    shares = {"block_0": 0.25, "block_1": 0.5, "encoder_norm": 1, "head": 1}
    for name, move in plain.items():
        share = shares.get(name.split("/")[0], 0.125)
        # Half precision is rounded where the program that XLA makes of it says.
        rtol = 1e-5 if policy == "float32" else 5e-3
        np.testing.assert_allclose(found[name], share * move, rtol, atol=1e-6, err_msg=name)


def test_a_file_trains_on_with_its_groups(tmp_path):
    """As a run that was not interrupted, at the rate that was set before."""
    model = make("vit")
    adamw = OPTIMIZERS.AdamW(0.05, weight_decay=0.1)
    model.compile(layerwise_learning_rates(adamw, model, 0.5), "mse")
    data = {"x": images(4), "y": np.ones((4, 3)), "batch_size": 4, "verbose": 0}
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch: 0.02)
    model.fit(**data, epochs=2, callbacks=[schedule])
    np.testing.assert_allclose(numpy(model.optimizer.learning_rate), 0.02)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert isinstance(loaded.optimizer, GroupedOptimizer)
    assert loaded.optimizer.rates == model.optimizer.rates and int(loaded.optimizer.iterations) == 2
    assert len(loaded.optimizer.variables) == len(model.optimizer.variables)
    for mine, theirs in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(numpy(theirs), numpy(mine), err_msg=mine.path)
    for each in (model, loaded):
        each.fit(**data, epochs=2)
    for mine, theirs in zip(model.weights, loaded.weights, strict=True):
        if not mine.path.endswith("key/bias"):  # its gradient is zero but for rounding
            np.testing.assert_allclose(numpy(theirs), numpy(mine), atol=1e-5, err_msg=mine.path)
