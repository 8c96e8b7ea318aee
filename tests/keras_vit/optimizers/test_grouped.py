"""Rates by weight: as separate optimizers would move the weights, and kept in files."""

import keras
import numpy as np
import pytest
import torch

import keras_vit
from keras_vit import GroupedOptimizer, layerwise_learning_rates
from tests.contracts import numpy, randomise
from tests.keras_vit.abstract import abstract
from tests.keras_vit.ecosystem.models import images, make

OPTIMIZERS = keras.optimizers
SHAPES = {
    "low/kernel": (3, 4),
    "low/bias": (4,),
    "top/kernel": (4, 2),
    "top/class_token": (1, 1, 4),
}
DECAYING = ("low/kernel", "top/kernel")
FACTORS = {"low": 0.25, "top": 1.0}
KINDS = {
    "sgd": lambda rate: OPTIMIZERS.SGD(rate, momentum=0.9, nesterov=True, weight_decay=0.1),
    "adam": lambda rate: OPTIMIZERS.Adam(rate),
    "adamw": lambda rate: OPTIMIZERS.AdamW(rate, weight_decay=0.1),
    "clipped by weight": lambda rate: OPTIMIZERS.Adam(rate, clipnorm=0.5),
    "nadam": lambda rate: OPTIMIZERS.Nadam(rate, weight_decay=0.1),
    "rmsprop": lambda rate: OPTIMIZERS.RMSprop(rate, momentum=0.5, centered=True),
    "lion": lambda rate: OPTIMIZERS.Lion(rate, weight_decay=0.1),
    "lamb": lambda rate: OPTIMIZERS.Lamb(rate),
    "adafactor": lambda rate: OPTIMIZERS.Adafactor(rate),
    "ftrl": lambda rate: OPTIMIZERS.Ftrl(rate, l2_regularization_strength=0.1),
    "muon": lambda rate: OPTIMIZERS.Muon(rate, weight_decay=0.1),
    "schedule free": lambda rate: OPTIMIZERS.ScheduleFreeAdamW(rate),
    "averaged": lambda rate: OPTIMIZERS.Adam(rate, use_ema=True, ema_momentum=0.5),
    "accumulated": lambda rate: OPTIMIZERS.SGD(rate, gradient_accumulation_steps=2),
}


def variables() -> dict[str, keras.Variable]:
    rng, made = np.random.default_rng(0), {}
    for path, shape in SHAPES.items():
        layer, name = path.split("/")
        with keras.name_scope(layer):
            made[path] = keras.Variable(rng.normal(size=shape).astype("float32"), name=name)
        assert made[path].path == path
    return made


def train(optimizers: dict[str, keras.optimizers.Optimizer], scale: float = 1.0, steps: int = 4):
    """The weights after some steps; an optimizer a prefix of their paths."""
    trained, rng = variables(), np.random.default_rng(1)
    for _ in range(steps):
        gradients = {path: rng.normal(size=shape) for path, shape in SHAPES.items()}
        for prefix, optimizer in optimizers.items():
            own = [path for path in SHAPES if path.startswith(prefix)]
            values = [keras.ops.convert_to_tensor(scale * gradients[p], "float32") for p in own]
            optimizer.apply(values, [trained[path] for path in own])
    for prefix, optimizer in optimizers.items():
        optimizer.finalize_variable_values([v for p, v in trained.items() if p.startswith(prefix)])
    return {path: numpy(variable) for path, variable in trained.items()}


def separate(make_optimizer, rate: float = 0.05, **options):
    """One optimizer for each layer, with its rate, without decay of bias and token."""
    optimizers = {}
    for layer, factor in FACTORS.items():
        optimizers[layer] = make_optimizer(rate * factor)
        optimizers[layer].exclude_from_weight_decay(var_names=["bias", "class_token"])
    return train(optimizers, **options)


def agree(found, expected):
    for path, value in expected.items():
        np.testing.assert_allclose(found[path], value, rtol=1e-5, atol=1e-6, err_msg=path)


@pytest.mark.parametrize("kind", KINDS)
def test_each_weight_moves_as_under_an_optimizer_of_its_own(kind):
    grouped = GroupedOptimizer(KINDS[kind](0.05), {"^low/": 0.25})
    agree(train({"": grouped}), separate(KINDS[kind]))
    start = {path: numpy(variable) for path, variable in variables().items()}
    moved = {path for path, value in separate(KINDS[kind]).items() if (value != start[path]).any()}
    assert moved == set(SHAPES)


def test_schedules_and_names():
    def schedule(rate):
        return OPTIMIZERS.schedules.ExponentialDecay(rate, 1, 0.5)

    grouped = GroupedOptimizer(OPTIMIZERS.Adam(schedule(0.05)), {"^low/": 0.25})
    agree(train({"": grouped}), separate(lambda rate: OPTIMIZERS.Adam(schedule(rate))))
    np.testing.assert_allclose(numpy(grouped.learning_rate), 0.05 / 2**4)
    again = GroupedOptimizer.from_config(grouped.get_config())
    agree(train({"": again}), separate(lambda rate: OPTIMIZERS.Adam(schedule(rate))))
    named = GroupedOptimizer("sgd", {"^low/": np.float32(0.25)})
    agree(train({"": named}), separate(lambda rate: OPTIMIZERS.SGD(rate), rate=0.01))


def test_a_global_norm_is_that_of_all_gradients():
    """Clipped by hand to a norm of 1, then given to optimizers that do not clip."""
    grouped = GroupedOptimizer(OPTIMIZERS.SGD(0.05, global_clipnorm=1.0), {"^low/": 0.25})
    rng, expected = np.random.default_rng(1), variables()
    expected = {path: numpy(variable) for path, variable in expected.items()}
    for _ in range(4):
        gradients = {path: rng.normal(size=shape) for path, shape in SHAPES.items()}
        norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients.values()))
        assert norm > 1
        for path, gradient in gradients.items():
            expected[path] -= 0.05 * FACTORS[path.split("/")[0]] * gradient / norm
    agree(train({"": grouped}), expected)


def test_scaled_losses_are_unscaled():
    grouped = GroupedOptimizer(OPTIMIZERS.Adam(0.05, loss_scale_factor=8.0), {"^low/": 0.25})
    assert grouped.scale_loss(1.0) == 8
    agree(train({"": grouped}, scale=8), separate(KINDS["adam"]))


def test_which_weights_decay():
    def decayed(no_decay):
        optimizer = GroupedOptimizer(OPTIMIZERS.SGD(1.0, weight_decay=0.5), {}, no_decay)
        made = variables()
        optimizer.apply([keras.ops.zeros(shape) for shape in SHAPES.values()], list(made.values()))
        before = variables()
        ratio = {path: numpy(v).flat[0] / numpy(before[path]).flat[0] for path, v in made.items()}
        assert set(np.round(list(ratio.values()), 5)) <= {0.5, 1.0}
        return {path for path, value in ratio.items() if value < 0.9}

    assert decayed(True) == set(DECAYING)
    assert decayed(False) == set(SHAPES)
    assert decayed(["^low/", "token$"]) == {"top/kernel"}
    assert decayed("^low/|token$") == {"top/kernel"}  # one pattern, not its letters
    assert decayed([""]) == set()


SIZES = {"patch_size": 4, "num_layers": 2, "hidden_size": 8, "mlp_dim": 16, "num_heads": 2}


def vit(**arguments) -> keras.Model:
    return keras_vit.VisionTransformer((8, 12, 3), **SIZES, classes=3, **arguments)


def resnet() -> keras.Model:
    return keras_vit.ResNet((8, 12, 3), (1, 1), 0.125, groups=4, classes=3)


def test_every_weight_of_a_vit_decays_or_not_as_the_recipes_have_it():
    """Kernels do; biases, scales, tokens, positions and the pooling's probe do not."""

    def decaying(build):
        optimizer, model = GroupedOptimizer("adamw"), abstract(build)
        return {w.name for w in model.trainable_weights if optimizer._decays(w)}

    def adapted():
        model = vit()
        keras_vit.enable_lora(model, rank=2)
        return model

    tokens = keras_vit.TokenOptions(class_token=True, registers=2)
    block = keras_vit.BlockOptions(layer_scale=0.1)
    assert decaying(lambda: vit(tokens=tokens, position_embedding="learned_2d")) == {"kernel"}
    assert decaying(lambda: vit(classifier="map", block=block)) == {"kernel"}
    assert decaying(lambda: vit(position_embedding="relative")) == {"kernel"}
    assert decaying(resnet) == {"kernel"}
    assert decaying(lambda: keras_vit.pretraining.MaskedPatchModel(vit())) == {"kernel"}
    assert decaying(adapted) == {"kernel", "lora_kernel_a", "lora_kernel_b"}


@pytest.mark.parametrize(
    ("optimizer", "arguments", "message"),
    [
        (lambda: OPTIMIZERS.LossScaleOptimizer(OPTIMIZERS.SGD()), {}, "wraps other optimizers"),
        (lambda: GroupedOptimizer("sgd"), {}, "wraps other optimizers"),
        (lambda: "sgd", {"rates": {"a": -1}}, "rate of 'a' is -1; give a factor"),
        (lambda: "sgd", {"rates": {"a": "b"}}, "rate of 'a' is 'b'"),
        (
            lambda: OPTIMIZERS.SGD(global_clipnorm=1.0, gradient_accumulation_steps=2),
            {},
            "use clipnorm or clipvalue",
        ),
    ],
)
def test_what_cannot_be_grouped_is_said(optimizer, arguments, message):
    with pytest.raises(ValueError, match=message):
        GroupedOptimizer(optimizer(), **arguments)


def test_state_and_exclusions_that_would_be_lost_are_refused():
    built, excluding = OPTIMIZERS.SGD(), OPTIMIZERS.AdamW()
    built.build(list(variables().values()))
    with pytest.raises(ValueError, match="SGD is built already"):
        GroupedOptimizer(built)
    excluding.exclude_from_weight_decay(var_names=["bias"])
    with pytest.raises(ValueError, match="give them as no_decay"):
        GroupedOptimizer(excluding)
    with pytest.raises(ValueError, match="when it is made, as no_decay"):
        GroupedOptimizer("adamw").exclude_from_weight_decay(var_names=["bias"])


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


def test_patterns_that_no_weight_has_are_said():
    optimizer = GroupedOptimizer("sgd", {"^low/": 0.5, "/low/": 2}, no_decay=["bias", "gamma"])
    with pytest.warns(UserWarning, match=r"a path with '/low/', 'gamma'; .* 'top/class_token'"):
        optimizer.build(list(variables().values()))


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
    assert factors(abstract(vit), decay=0.5) == expected
    rotary = abstract(
        lambda: keras_vit.RotaryVisionTransformer((8, 12, 3), "none", **SIZES, classes=3)
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
    assert factors(abstract(resnet), decay=0.5) == expected
    arguments = {"classes": 3, "classifier": "map", "stem_block_counts": (1,)}
    hybrid = abstract(lambda: keras_vit.VisionTransformer((32, 32, 3), 2, 1, 8, 16, 2, **arguments))
    stem = ("stem_conv", "stem_norm", "stem_stage1_unit1", "patch_embedding", "position_embedding")
    expected = dict.fromkeys(stem, 0.25) | {"block_0": 0.5}
    expected |= dict.fromkeys(("encoder_norm", "pooling", "head"), 1)
    assert factors(hybrid, decay=0.5) == expected
    assert set(factors(abstract(vit), decay=1).values()) == {1}


def test_depths_in_a_model_that_contains_ours():
    ours = vit()
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


def test_averaged_weights_are_swapped_in():
    """Of a loss with the gradient 1: after two steps the average is one and a half away."""
    inputs = keras.Input((1,))
    low, top = (keras.layers.Dense(1, use_bias=False, name=name) for name in ("low", "top"))
    model = keras.Model(inputs, low(inputs) + top(inputs))
    before = [numpy(weight) for weight in model.weights]
    averaging = OPTIMIZERS.SGD(0.5, use_ema=True, ema_momentum=0.5)
    optimizer = GroupedOptimizer(averaging, {"low/": 0.25})
    model.compile(optimizer, loss=lambda y, prediction: prediction)
    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    model.fit(np.ones((2, 1)), np.ones((2, 1)), batch_size=1, verbose=0, callbacks=[swap])
    moves = [numpy(w).item() - b.item() for w, b in zip(model.weights, before, strict=True)]
    np.testing.assert_allclose(moves, [-1.5 * 0.5 * 0.25, -1.5 * 0.5], rtol=1e-5)


def test_a_file_names_an_optimizer_of_every_backend():
    """PyTorch has kinds of its own, which the others could not use."""
    config = GroupedOptimizer("adamw").get_config()["optimizer"]
    assert (config["module"], config["class_name"]) == ("keras.optimizers", "AdamW")


def test_weights_of_the_optimizer_can_be_set():
    model = make("vit")
    randomise(model)
    optimizer = layerwise_learning_rates("adam", model)
    optimizer.build(model.trainable_variables)
    values = [np.full(variable.shape, 3) for variable in optimizer.variables]
    optimizer.set_weights(values)
    assert all((numpy(variable) == 3).all() for variable in optimizer.variables)
