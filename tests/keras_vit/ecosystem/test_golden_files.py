"""Files that version 0.1 wrote on each backend still load, compute and train as they did.

A ViT of which head and norms train, after one step of Adam; its layers under an own head; the same
ViT in masked patch pre-training. `files-0.1.json` holds what they computed then.
"""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.contracts import forward, numpy

GOLDEN = Path(__file__).parents[2] / "golden"
EXPECTED = {
    key: np.array(v) for key, v in json.loads((GOLDEN / "files-0.1.json").read_text()).items()
}
IMAGES = np.random.default_rng(0).uniform(-1, 1, size=(2, 8, 8, 3)).astype("float32")
written_on = pytest.mark.parametrize("writer", ["tensorflow", "jax", "torch"])


def load(kind: str, writer: str) -> keras.Model:
    return keras.saving.load_model(GOLDEN / f"{kind}-0.1-{writer}.keras")


@written_on
def test_a_frozen_vit_trains_on(writer, backend):
    model = load("frozen", writer)
    assert len(model.trainable_weights) == 2 + 2 * 3
    np.testing.assert_allclose(numpy(forward(model, IMAGES)), EXPECTED["frozen"], atol=1e-5)
    if writer != backend:
        return  # Keras reads PyTorch's optimizer back as PyTorch's own, on any backend
    model.fit(IMAGES, np.ones((2, 2)), verbose=0)
    assert int(model.optimizer.iterations) == 2
    found = numpy(forward(model, IMAGES))
    np.testing.assert_allclose(found, EXPECTED["frozen, trained on"], atol=1e-5)


@written_on
def test_layers_under_an_own_head(writer):
    model = load("own_head", writer)
    assert len(model.trainable_weights) == len(model.weights)
    np.testing.assert_allclose(numpy(forward(model, IMAGES)), EXPECTED["own_head"], atol=1e-5)


@written_on
def test_masked_patch_pretraining(writer):
    model = load("masked", writer)
    found = numpy(forward(model, IMAGES)["logits"])
    assert found.shape == (2, 4, 512)
    np.testing.assert_allclose(found[:, :, :3], EXPECTED["masked"], atol=1e-5)
