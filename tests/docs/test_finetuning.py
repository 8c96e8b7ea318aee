"""The page on fine-tuning says the defaults that the code has, and counts what trains."""

import inspect
import math
from pathlib import Path

import keras
import pytest

import keras_vit
from tests.keras_vit.abstract import abstract, abstract_model

PAGE = (Path(__file__).parents[2] / "docs" / "finetuning.md").read_text()
ROWS = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")]

pytestmark = pytest.mark.once


def test_every_default_of_every_way_is_in_the_table():
    said = {
        (row[0].strip("`"), row[1].strip("`")): row[2].strip("`") for row in ROWS if len(row) == 4
    }
    del said["function", "argument"]
    ways = ["for_finetuning", "finetuning_recipe", "layerwise_learning_rates", "GroupedOptimizer"]
    ways += ["enable_lora", "train_only_head_and_norms"]
    found = {
        (way, parameter.name): repr(parameter.default)
        for way in ways
        for parameter in inspect.signature(getattr(keras_vit, way)).parameters.values()
        if parameter.default is not parameter.empty and parameter.name != "name"
    }
    assert said == found


def test_the_counts_are_those_of_the_code():
    def adapted(change):
        def build():
            model = keras_vit.create_model("ViT-B/16", classes=10)
            change(model)
            return model

        return trainable(abstract(build))

    def trainable(model):
        return sum(math.prod(weight.shape) for weight in model.trainable_weights)

    def frozen(model):
        model.trainable = False
        return keras.Model(model.input, keras.layers.Dense(10)(model.get_layer("pooling").output))

    whole = trainable(abstract_model("ViT-B/16", classes=10))
    expected = [whole, whole, adapted(lambda model: keras_vit.enable_lora(model, rank=4))]
    expected += [adapted(keras_vit.train_only_head_and_norms)]
    expected += [trainable(abstract(lambda: frozen(keras_vit.create_model("ViT-B/16"))))]
    counts = [row[2] for row in ROWS if len(row) == 3 and row[2][0].isdigit()]
    assert [int(count.replace(",", "")) for count in counts] == expected
