"""Recomputing activations changes memory and time, never the numbers."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_vit

ARGUMENTS = dict(
    input_shape=(8, 8, 3),
    patch_size=4,
    num_layers=2,
    hidden_size=8,
    mlp_dim=16,
    num_heads=2,
    classes=3,
)


def trained(rematerialize: bool, **rates) -> list[np.ndarray]:
    """The weights after a step from the same start with the same random numbers."""
    keras.utils.set_random_seed(5)
    model = keras_vit.create_model(
        "ViT-S/4", **ARGUMENTS, **rates, rematerialize=rematerialize, seed=3
    )
    model.get_layer("head").kernel.assign(np.ones((8, 3)))
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
    rng = np.random.default_rng(0)
    images, targets = rng.normal(size=(8, 8, 8, 3)), rng.normal(size=(8, 3))
    model.fit(images, targets, batch_size=8, epochs=1, shuffle=False, verbose=0)
    return [keras.ops.convert_to_numpy(w) for w in model.trainable_weights]


@pytest.mark.parametrize(
    "rates",
    [
        {},
        {"dropout_rate": 0.3, "attention_dropout_rate": 0.3, "stochastic_depth_rate": 0.5},
    ],
    ids=["plain", "dropout"],
)
def test_training_is_the_same(rates):
    for saved, recomputed in zip(trained(False, **rates), trained(True, **rates), strict=True):
        np.testing.assert_allclose(recomputed, saved, atol=1e-5)


def test_every_step_draws_new_random_numbers(rng):
    """Else dropout would leave out the same numbers for ever."""
    block = keras_vit.TransformerBlock(2, 8, stochastic_depth_rate=0.5, rematerialize=True)
    tokens = np.repeat(rng.normal(size=(1, 3, 8)).astype("float32"), 64, axis=0)
    results = [keras.ops.convert_to_numpy(block(tokens, training=True)) for _ in range(3)]
    kept = [np.abs(result - tokens).max(axis=(1, 2)) > 1e-6 for result in results]
    assert (kept[0] != kept[1]).any() and (kept[1] != kept[2]).any()


SCRIPT = """
import sys
import numpy as np
import torch
import keras_vit

model = keras_vit.create_model(
    "ViT-Ti/16", input_shape=(64, 64, 3), num_layers=4, hidden_size=48, mlp_dim=192,
    classes=3, rematerialize=sys.argv[1] == "True", seed=0)
parameters = {weight.value.data_ptr() for weight in model.weights}
kept = {}

def keep(tensor):
    if tensor.data_ptr() not in parameters:
        kept[tensor.data_ptr()] = tensor
    return tensor

with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
    model(np.ones((4, 64, 64, 3), "float32"), training=True)
print(sum(tensor.nbytes for tensor in kept.values()))
"""


@pytest.mark.once
def test_a_fraction_of_the_activations_is_kept():
    """Counted where it can be: the tensors that PyTorch saves for the backward pass."""
    kept = {}
    for rematerialize in (False, True):
        run = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(rematerialize)],
            env={**os.environ, "KERAS_BACKEND": "torch"},
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert run.returncode == 0, run.stderr
        kept[rematerialize] = int(run.stdout)
    assert kept[True] < kept[False] / 3
