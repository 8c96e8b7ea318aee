"""What the page on debugging says of causes is what happens."""

from pathlib import Path

import keras
import numpy as np
import pytest

import keras_vit
from tests.contracts import numpy
from tests.keras_vit.abstract import abstract_model
from tests.keras_vit.ecosystem.models import images, make

PAGE = (Path(__file__).parents[2] / "docs" / "debugging.md").read_text()
ROWS = {row.strip("| ").split(" | ")[0]: row for row in PAGE.splitlines() if row.startswith("| ")}


def vit(**arguments) -> keras.Model:
    return keras_vit.VisionTransformer((8, 12, 3), 4, 2, 8, 16, 2, classes=3, **arguments)


def losses(model: keras.Model, **arguments) -> list[float]:
    loss = keras.losses.SparseCategoricalCrossentropy(**arguments)
    model.compile(keras.optimizers.SGD(0.1), loss)
    return model.fit(images(4), np.arange(4) % 3, epochs=2, verbose=0).history["loss"]


def test_a_loss_that_takes_logits_for_probabilities(backend):
    assert "the first loss is ln(classes)" in PAGE
    found = losses(vit(), from_logits=False)
    row = next(row for symptom, row in ROWS.items() if symptom.startswith("the loss is NaN"))
    assert "(PyTorch, JAX)" in row and "ln(classes) (TensorFlow)" in row
    if backend == "tensorflow":
        np.testing.assert_allclose(found, [np.log(3)] * 2, rtol=1e-5)
    else:
        assert np.isnan(found).all()
    found = losses(vit(), from_logits=True)
    np.testing.assert_allclose(found[0], np.log(3), rtol=1e-5)
    assert found[1] < found[0]


def test_freezing_after_compiling(backend):
    row = ROWS["frozen weights go on moving (TensorFlow), or `fit` fails (JAX)"]
    assert "PyTorch obeys" in row
    model = make("vit")
    losses(model, from_logits=True)
    keras_vit.train_only_head_and_norms(model)
    before = [numpy(weight) for weight in model.weights]
    if backend == "jax":
        with pytest.raises(ValueError, match="`optimizer_variables` must be a list"):
            model.fit(images(4), np.arange(4) % 3, verbose=0)
        return
    model.fit(images(4), np.arange(4) % 3, verbose=0)
    pairs = zip(model.weights, before, strict=True)
    moved = {weight.path for weight, old in pairs if not np.array_equal(numpy(weight), old)}
    assert ("block_0/mlp/hidden/kernel" in moved) == (backend == "tensorflow")


def test_messages_are_those_that_the_page_quotes(tmp_path):
    file = tmp_path / "weights.npz"
    keras_vit.export_weights(make("vit"), file, target="google")
    small = keras_vit.VisionTransformer((8, 12, 3), 4, 2, 8, 16, 2, classes=5)
    copy = keras.models.clone_model(make("vit"))
    calls = {
        "does not fit the model's activation": lambda: keras_vit.load_weights(
            vit(activation="gelu"), file
        ),
        "Only the head differs": lambda: keras_vit.load_weights(small, file),
        "expected shape=(None, ": lambda: vit()(np.zeros((1, 16, 12, 3))),
        "takes a VisionTransformer itself": lambda: keras_vit.for_finetuning(
            keras.Sequential([vit()]), 3
        ),
        "has single layers of one": lambda: keras_vit.for_finetuning(copy, 3),
    }
    for quoted, call in calls.items():
        assert quoted in PAGE
        with pytest.raises(ValueError) as error:
            call()
        assert quoted in str(error.value)
    # The way that page and message name for a copy.
    assert "`type(model).from_config(model.get_config())`" in PAGE
    with pytest.raises(ValueError, match=r"copy one with type\(model\)\.from_config\(model\.get_c"):
        keras_vit.preprocessing_of(copy)


class Wrapped(keras.Model):
    """A subclassed model around one of ours."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, inputs):
        return self.inner(inputs)


class WrappedWithShape(Wrapped):
    def compute_output_shape(self, input_shape):
        return self.inner.compute_output_shape(input_shape)


def test_open_sides_of_a_subclassed_model(backend):
    row = ROWS['"Could not automatically infer the output shape" (PyTorch, JAX)']
    assert "give its class a `compute_output_shape`" in row
    any_size = keras_vit.VisionTransformer((None, None, 3), 4, 1, 8, 16, 2, classes=3)
    images = keras.Input((None, None, 3))
    assert WrappedWithShape(any_size)(images).shape == (None, 3)
    if backend != "tensorflow":
        error = AttributeError if backend == "jax" else ValueError
        with pytest.raises(error, match="Could not automatically infer the output shape"):
            Wrapped(any_size)(images)


def test_dropout_and_seeds():
    """Drawn numbers are those of training alone, and `set_random_seed` repeats a whole run."""
    assert "inference draws no random numbers" in ROWS["the same images give other outputs"]
    assert "keras.utils.set_random_seed" in ROWS["two runs differ"]
    model = make("vit", dropout_rate=0.5)
    once, again = (numpy(model(images(2))) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    once, again = (numpy(model(images(2), training=True)) for _ in range(2))
    assert np.abs(once - again).max() > 1e-3
    runs = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        model = keras_vit.create_model(
            *("ViT-Ti/4", (8, 12, 3), 3), num_layers=1, hidden_size=8, mlp_dim=8, num_heads=2,
            dropout_rate=0.5, seed=7,
        )  # fmt: skip
        runs.append(losses(model, from_logits=True))
    assert runs[0] == runs[1] != runs[2]


def test_half_precision_and_int8():
    assert "`compile` scales the loss by itself" in ROWS["NaN in `mixed_float16` alone"]
    model = vit(dtype="mixed_float16")
    model.compile("sgd", "mse")
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    row = ROWS["saving a quantised model is refused, or training it moves no kernel"]
    assert "int8 does not train" in row
    tokens = keras.Input((4, 8))  # of a part alone, which is quicker
    model = keras.Model(tokens, keras_vit.MlpBlock(8)(tokens))
    model.quantize("int8")
    kernels = [weight.path for weight in model.trainable_weights if "kernel" in weight.path]
    assert not kernels and model.trainable_weights


def test_weight_decay_is_multiplied_by_the_rate():
    """A weight without a gradient loses the product of both, 1e-4 of it here."""
    assert "Keras multiplies it by the learning rate" in ROWS["weight decay has no effect"]
    assert "1e-4 beside a rate of 1e-3 is 0.1 here" in PAGE
    weight = keras.Variable(np.ones(3, "float32"), name="kernel")
    optimizer = keras.optimizers.AdamW(1e-3, weight_decay=0.1)
    optimizer.build([weight])
    optimizer.apply([keras.ops.zeros(3)])
    np.testing.assert_allclose(1 - numpy(weight), 1e-4, rtol=1e-3)


@pytest.mark.once
def test_two_models_of_one_variant():
    assert 'create_model(..., name="teacher")' in ROWS["two ViTs in one model: layers of one name"]
    inputs = keras.Input((8, 12, 3))
    sizes = {"num_layers": 1, "hidden_size": 8, "mlp_dim": 8, "num_heads": 2}
    one, other, teacher = (
        keras_vit.create_model("ViT-Ti/4", (8, 12, 3), 3, **sizes, **name)
        for name in ({}, {}, {"name": "teacher"})
    )
    with pytest.raises(ValueError, match="should be unique"):
        keras.Model(inputs, [one(inputs), other(inputs)])
    assert len(keras.Model(inputs, [one(inputs), teacher(inputs)]).outputs) == 2


class CountsTraces(keras.layers.Layer):
    """Counts how often Python runs it: once for each program that is compiled."""

    traces = 0

    def call(self, x):
        type(self).traces += 1
        return x


def test_each_shape_of_a_batch_is_compiled(backend):
    assert "compile for each shape of a batch" in PAGE
    if backend != "jax":
        return  # TensorFlow does so by XLA alone, on GPUs, and PyTorch compiles nothing
    traces = []
    for number in (4, 5):
        model = keras.Sequential([keras.Input((2,)), CountsTraces(), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        CountsTraces.traces = 0
        model.fit(np.zeros((number, 2)), np.zeros((number, 1)), batch_size=2, verbose=0)
        traces.append(CountsTraces.traces)
    assert traces[1] > traces[0]


@pytest.mark.once
def test_numbers_of_the_page():
    assert "twelve blocks at 0.75 leave the patches 2 % of the rate" in PAGE
    model = abstract_model("ViT-B/16", classes=10)
    optimizer = keras_vit.layerwise_learning_rates("sgd", model)
    assert (
        round(100 * optimizer._factor_of(model.get_layer("patch_embedding").weights[0].path)) == 2
    )
    assert "its ImageNet stem leaves one pixel of them" in PAGE
    shapes = {
        stem: abstract_model("BiT-R50x1", input_shape=(32, 32, 3), stem=stem)
        .get_layer("pooling")
        .input.shape[1:3]
        for stem in ("imagenet", "small")
    }
    assert shapes == {"imagenet": (1, 1), "small": (4, 4)}
