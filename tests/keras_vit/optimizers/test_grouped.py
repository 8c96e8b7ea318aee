"""Rates by weight: as separate optimizers would move the weights."""

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit import GroupedOptimizer, layerwise_learning_rates
from tests.contracts import numpy, randomise
from tests.keras_vit.abstract import abstract
from tests.keras_vit.ecosystem.models import build, make

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


@pytest.mark.parametrize("first", [0.5, OPTIMIZERS.schedules.ExponentialDecay(0.5, 1, 0.5)])
def test_a_schedule_can_be_assigned(first):
    def schedule(rate):
        return OPTIMIZERS.schedules.CosineDecay(rate, 6)

    grouped = GroupedOptimizer(OPTIMIZERS.Adam(first), {"^low/": 0.25})
    grouped.learning_rate = schedule(0.02)
    expected = separate(lambda rate: OPTIMIZERS.Adam(schedule(rate)), rate=0.02)
    agree(train({"": grouped}), expected)
    agree(train({"": GroupedOptimizer.from_config(grouped.get_config())}), expected)
    grouped.learning_rate = schedule(3.0)  # after the first steps, too
    for factor, part in grouped._by_factor.items():
        rate = float(numpy(grouped.learning_rate))
        np.testing.assert_allclose(float(numpy(part.learning_rate)), factor * rate, rtol=1e-6)


def test_weights_that_it_was_not_built_with_are_refused():
    grouped = GroupedOptimizer("sgd")
    train({"": grouped}, steps=1)
    with pytest.raises(ValueError, match="Unknown variable"):
        train({"": grouped}, steps=1)
    with pytest.warns(UserWarning, match="'foo': none trains"):
        GroupedOptimizer("sgd", {"foo": 2}).build([])


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


def test_accumulated_steps_count_as_keras_counts_them():
    """Five steps are two updates, of which schedules know nothing: they follow the steps."""
    rate = OPTIMIZERS.schedules.ExponentialDecay(0.05, 1, 0.5)
    optimizers = [OPTIMIZERS.SGD(rate, gradient_accumulation_steps=2)]
    optimizers.append(GroupedOptimizer(OPTIMIZERS.SGD(rate, gradient_accumulation_steps=2)))
    for optimizer in optimizers:
        train({"": optimizer}, steps=5)
        assert int(optimizer.iterations) == 2
        np.testing.assert_allclose(numpy(optimizer.learning_rate), 0.05 / 2**5)


def test_scaled_losses_are_unscaled():
    grouped = GroupedOptimizer(OPTIMIZERS.Adam(0.05, loss_scale_factor=8.0), {"^low/": 0.25})
    assert grouped.scale_loss(1.0) == 8
    agree(train({"": grouped}, scale=8), separate(KINDS["adam"]))


OVERWRITING = {
    "clipped": {"global_clipnorm": 1.0, "loss_scale_factor": 8.0},
    "accumulated": {"gradient_accumulation_steps": 2, "loss_scale_factor": 8.0},
}


@pytest.mark.parametrize("kind", OVERWRITING)
def test_gradients_that_are_new_values_are_put_in_place(kind):
    """As Keras does with the scales of float8, beside a bias that is clipped and unscaled."""

    def trained(optimizer, *names):
        with keras.name_scope("low"):
            scale = keras.Variable(1.0, name="kernel_scale")
        scale.overwrite_with_gradient = True
        made = {"low/bias": variables()["low/bias"], "low/kernel_scale": scale}
        for value in (7.0, 5.0, 9.0, 3.0):
            gradients = [keras.ops.full(made[name].shape, value) for name in names]
            optimizer.apply(gradients, [made[name] for name in names])
        return {name: numpy(made[name]) for name in names}

    options = OVERWRITING[kind]
    both = ("low/bias", "low/kernel_scale")
    expected = trained(OPTIMIZERS.SGD(0.0125, **options), *both)
    decaying = {} if "gradient_accumulation_steps" in options else {"weight_decay": 0.1}
    grouped = GroupedOptimizer(OPTIMIZERS.SGD(0.05, **options, **decaying), {"^low/": 0.25})
    found = trained(grouped, *both)
    agree(found, expected)
    # Of two steps that are accumulated, Keras takes the larger value.
    value = 9 if "gradient_accumulation_steps" in options else 3
    assert found["low/kernel_scale"] == value
    alone = trained(GroupedOptimizer(OPTIMIZERS.SGD(0.05, **options)), "low/kernel_scale")
    assert alone["low/kernel_scale"] == value


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


def test_every_weight_of_a_vit_decays_or_not_as_the_recipes_have_it():
    """Kernels do; biases, scales, tokens, positions and the pooling's probe do not."""

    def decaying(build):
        optimizer, model = GroupedOptimizer("adamw"), abstract(build)
        return {w.name for w in model.trainable_weights if optimizer._decays(w)}

    def adapted():
        model = build("vit")
        keras_vit.enable_lora(model, rank=2)
        return model

    tokens = keras_vit.TokenOptions(class_token=True, registers=2)
    block = keras_vit.BlockOptions(layer_scale=0.1)
    assert decaying(lambda: build("vit", tokens=tokens, position_embedding="learned_2d")) == {
        "kernel"
    }
    assert decaying(lambda: build("vit", classifier="map", block=block)) == {"kernel"}
    assert decaying(lambda: build("vit", position_embedding="relative")) == {"kernel"}
    assert decaying(lambda: build("resnet")) == {"kernel"}
    assert decaying(lambda: keras_vit.pretraining.MaskedPatchModel(build("vit"))) == {"kernel"}
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


def test_patterns_that_no_weight_has_are_said():
    optimizer = GroupedOptimizer("sgd", {"^low/": 0.5, "/low/": 2}, no_decay=["bias", "gamma"])
    with pytest.warns(UserWarning, match=r"a path with '/low/', 'gamma'; .* 'top/class_token'"):
        optimizer.build(list(variables().values()))


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


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rates": [("a", 1)]}, r"rates is \[\('a', 1\)\]; give a mapping such as"),
        ({"rates": "head"}, "rates is 'head'; give a mapping"),
        ({"rates": {"(": 1}}, r"rates has '\(', which is no regular expression: missing \)"),
        ({"rates": {3: 1}}, "rates has 3, which is no regular expression"),
        ({"rates": {b"a": 1}}, "rates has b'a', which is no regular expression: it is no string"),
        ({"rates": {"a": "1"}}, "The rate of 'a' is '1'; give a factor"),
        ({"rates": {"a": float("inf")}}, "The rate of 'a' is inf; give a factor"),
        ({"no_decay": ["bias", "["]}, r"no_decay has '\[', which is no regular expression"),
        (
            {"no_decay": "*"},
            r"no_decay has '\*', which is no regular expression: nothing to repeat",
        ),
        ({"no_decay": 3}, "no_decay is 3; use True, False, a regular expression or a list"),
        ({"no_decay": [3]}, "no_decay has 3, which is no regular expression"),
        ({"warn_unused": "no"}, "warn_unused is 'no'; use True or False"),
    ],
)
def test_what_is_no_rate_or_pattern_is_said_at_once(arguments, message):
    with pytest.raises(ValueError, match=message):
        GroupedOptimizer("adam", **arguments)
    if "no_decay" in arguments:
        with pytest.raises(ValueError, match=message):
            layerwise_learning_rates("adam", build("vit"), **arguments)
