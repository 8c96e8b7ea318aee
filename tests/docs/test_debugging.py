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
    calls = {
        "does not fit the model's activation": lambda: keras_vit.load_weights(
            vit(activation="gelu"), file
        ),
        "Only the head differs": lambda: keras_vit.load_weights(small, file),
        "expected shape=(None, ": lambda: vit()(np.zeros((1, 16, 12, 3))),
        "takes a VisionTransformer itself": lambda: keras_vit.for_finetuning(
            keras.Sequential([vit()]), 3
        ),
    }
    for quoted, call in calls.items():
        assert quoted in PAGE
        with pytest.raises(ValueError) as error:
            call()
        assert quoted in str(error.value)


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
