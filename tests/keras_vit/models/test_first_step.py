"""The first step of training: it is traced once, on the backends that trace."""

import keras
import numpy as np
import pytest

from keras_vit.pretraining import MaskedPatchModel
from tests.contracts import numpy
from tests.keras_vit.ecosystem.models import images, make


@pytest.mark.parametrize("kind", ["vit", "masked patches"])
def test_it_is_traced_once(kind, monkeypatch):
    """Where the optimizer was built while tracing, TensorFlow would begin again."""
    vit = make("vit")
    model = vit if kind == "vit" else MaskedPatchModel(vit, seed=0)
    traced = []
    step = type(model).train_step

    def counted(self, *arguments):
        traced.append(self)
        return step(self, *arguments)

    monkeypatch.setattr(type(model), "train_step", counted)
    loss, targets = ({"loss": "mse"}, {"y": np.ones((8, 3))}) if kind == "vit" else ({}, {})
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    model.compile(optimizer, **loss, jit_compile=keras.backend.backend() == "jax")
    norm, other = vit.get_layer("encoder_norm"), vit.get_layer("block_0").mlp.hidden
    norm.trainable = False  # what trains at the first step is what counts
    frozen, before = numpy(norm.gamma), numpy(other.kernel)
    model.fit(images(8), **targets, batch_size=8, verbose=0)  # a single step
    assert traced == [model]
    assert len(optimizer.variables) == 2 + len(model.trainable_variables)
    np.testing.assert_array_equal(numpy(norm.gamma), frozen)
    assert (numpy(other.kernel) != before).any()
