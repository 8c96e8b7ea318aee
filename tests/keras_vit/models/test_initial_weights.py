"""Initial weights: their distributions, and that a seed decides them everywhere."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_vit

SMALL = dict(input_shape=(8, 8, 3), num_layers=2, hidden_size=8, mlp_dim=12, num_heads=2)


def values(model: keras.Model) -> dict[str, np.ndarray]:
    return {w.path: np.array(keras.ops.convert_to_numpy(w)) for w in model.weights}


def random_ones(model: keras.Model) -> dict[str, np.ndarray]:
    """The weights that are drawn, without those that start at a constant."""
    return {path: w for path, w in values(model).items() if len(np.unique(w)) > 1}


def test_equal_seeds_give_equal_weights_at_every_call():
    first = values(keras_vit.create_model("ViT-B/4", **SMALL, seed=7))
    keras.layers.Dense(3).build((None, 3))  # what was built before must not matter
    keras.random.normal((5,))
    second = values(keras_vit.create_model("ViT-B/4", **SMALL, seed=7))
    assert first.keys() == second.keys()
    for path in first:
        np.testing.assert_array_equal(first[path], second[path], err_msg=path)


def test_a_name_scope_around_it_changes_no_weight(tmp_path):
    """Neither those that a seed draws, nor those that a file or another model gives."""
    plain = keras_vit.create_model("ViT-B/4", **SMALL, seed=7)
    with keras.name_scope("outer"):
        scoped = keras_vit.create_model("ViT-B/4", **SMALL, seed=7)
        tuned = keras_vit.for_finetuning(plain, classes=1000)
        keras_vit.export_weights(scoped, tmp_path / "weights.npz")
    np.testing.assert_equal(scoped.get_weights(), plain.get_weights())
    np.testing.assert_equal(tuned.get_weights()[:-2], plain.get_weights()[:-2])  # not the head
    scoped.set_weights([np.zeros_like(value) for value in scoped.get_weights()])
    keras_vit.load_weights(scoped, tmp_path / "weights.npz")
    np.testing.assert_equal(scoped.get_weights(), plain.get_weights())


def test_another_seed_gives_other_weights():
    first, second = (
        random_ones(keras_vit.create_model("ViT-B/4", **SMALL, seed=seed)) for seed in (7, 8)
    )
    assert first.keys() == second.keys()
    assert all((first[path] != second[path]).any() for path in first)


@pytest.mark.parametrize("position", ["learned", "learned_2d", "relative"])
def test_without_a_seed_no_two_models_and_no_two_weights_are_equal(position):
    arguments = {**SMALL, "position_embedding": position}
    first, second = (random_ones(keras_vit.create_model("ViT-B/4", **arguments)) for _ in range(2))
    assert all((first[path] != second[path]).any() for path in first)
    flat = [(w.shape, w.tobytes()) for w in first.values()]
    assert len(set(flat)) == len(flat)


def test_layers_of_one_shape_get_different_weights():
    weights = random_ones(keras_vit.create_model("ViT-B/4", **SMALL, seed=0))
    flat = [(w.shape, w.tobytes()) for w in weights.values()]
    assert len(set(flat)) == len(flat) > 10


def test_a_head_of_another_size_leaves_the_other_weights_alone():
    first = values(keras_vit.create_model("ViT-B/4", **SMALL, seed=7, classes=10))
    second = values(keras_vit.create_model("ViT-B/4", **SMALL, seed=7, classes=3))
    for path in first:
        if not path.startswith("head"):
            np.testing.assert_array_equal(first[path], second[path], err_msg=path)


SCRIPT = """
import hashlib, json, sys
from studies.machine.processes import leave_out_others
leave_out_others(sys.argv[1])
import keras
import keras_vit

assert keras.backend.backend() == sys.argv[1]
vit = dict(input_shape=(8, 8, 3), num_layers=2, hidden_size=8, mlp_dim=12, num_heads=2, classes=3)
models = {
    "vit": keras_vit.create_model("ViT-B/4", seed=7, **vit, dropout_rate=0.1),
    "map": keras_vit.create_model(
        "ViT-B/4", seed=7, **vit, classifier="map", position_embedding="learned_2d"),
    "relative": keras_vit.create_model(
        "ViT-B/4", seed=7, **vit, position_embedding="relative", representation_size=4),
    "hybrid": keras_vit.create_model(
        "R+ViT-B/16", seed=7, **{**vit, "input_shape": (32, 32, 3)}),
    "bit": keras_vit.create_model(
        "BiT-R50x1", seed=7, input_shape=(8, 8, 3), block_counts=(1, 1), width_factor=0.5,
        stem="small", classes=3),
}
hashes = {}
for name, model in models.items():
    for index, weight in enumerate(model.weights):
        value = keras.ops.convert_to_numpy(weight)
        digest = hashlib.sha256(value.astype("float64").tobytes()).hexdigest()
        hashes[f"{name}/{index}/{weight.path}{value.shape}"] = digest
print(json.dumps(hashes))
"""


@pytest.mark.once
def test_the_same_seed_gives_the_same_weights_on_every_backend():
    results = []
    for backend in ("tensorflow", "jax", "torch"):
        run = subprocess.run(
            [sys.executable, "-c", SCRIPT, backend],
            cwd=Path(__file__).parents[3],
            env={**os.environ, "KERAS_BACKEND": backend},
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert run.returncode == 0, run.stderr
        results.append(json.loads(run.stdout))
    assert len(results[0]) > 100
    assert results[0] == results[1] == results[2]


@pytest.fixture(scope="module")
def drawn() -> dict[str, np.ndarray]:
    """A ViT and its hybrid, large enough for statistics."""
    model = keras_vit.create_model(
        "R50+ViT-B/16",
        input_shape=(64, 64, 3),
        num_layers=1,
        hidden_size=128,
        mlp_dim=256,
        num_heads=2,
        classes=10,
        representation_size=64,
        stem_block_counts=(1, 1),
        seed=1,
    )
    return values(model)


def assert_spread(weight: np.ndarray, deviation: float) -> None:
    """The standard deviation within four standard errors of itself, the mean within four of 0."""
    tolerance = 4 / np.sqrt(2 * weight.size)
    assert abs(weight.std() / deviation - 1) < tolerance
    assert abs(weight.mean()) < 4 * deviation / np.sqrt(weight.size)


def test_what_starts_at_zero_or_one(drawn):
    for path, weight in drawn.items():
        leaf = path.rsplit("/", 1)[1]
        last_norm = path.endswith(("norm3/gamma",)) and "unit" in path
        if path.startswith("head/") or leaf in ("beta", "class_token") or last_norm:
            assert (weight == 0).all(), path
        elif leaf == "gamma":
            assert (weight == 1).all(), path
        elif leaf == "bias" and "/mlp/" not in path:
            assert (weight == 0).all(), path


def test_positions_are_normal_with_deviation_002(drawn):
    assert_spread(drawn["position_embedding/position_embedding"], 0.02)


def test_dense_layers_of_the_blocks_are_glorot_uniform(drawn):
    for name in ("query", "key", "value", "output"):
        kernel = drawn[f"block_0/attention/{name}/kernel"]
        limit = np.sqrt(6 / (128 + 128))
        assert 0.99 * limit < np.abs(kernel).max() <= limit
        assert_spread(kernel, limit / np.sqrt(3))
    for name in ("hidden", "output"):
        kernel = drawn[f"block_0/mlp/{name}/kernel"]
        limit = np.sqrt(6 / (128 + 256))
        assert 0.99 * limit < np.abs(kernel).max() <= limit
        assert_spread(kernel, limit / np.sqrt(3))
        assert_spread(drawn[f"block_0/mlp/{name}/bias"], 1e-6)


def test_embedding_representation_and_convolutions_are_lecun_normal(drawn):
    kernels = {"patch_embedding/projection/kernel", "pre_logits/kernel", "stem_conv/kernel"}
    kernels |= {path for path in drawn if "stem_stage" in path and path.endswith("/kernel")}
    assert len(kernels) == 3 + 4 + 4
    for path in kernels:
        kernel = drawn[path]
        fan_in = np.prod(kernel.shape[:-1])
        assert_spread(kernel, np.sqrt(1 / fan_in))
        # A normal cut at two deviations, then widened to have the wanted one.
        assert np.abs(kernel).max() <= 2 / 0.8796 * np.sqrt(1 / fan_in) + 1e-6, path


def test_unseeded_distributions_are_the_same_kinds():
    """Keras draws these itself: the seed must not change what is drawn, only the numbers."""
    arguments = dict(input_shape=(16, 16, 3), num_layers=1, hidden_size=64, mlp_dim=64, num_heads=2)
    seeded = values(keras_vit.create_model("ViT-B/4", **arguments, seed=0))
    free = values(keras_vit.create_model("ViT-B/4", **arguments))
    for path, weight in seeded.items():
        if weight.size < 60 or "seed" in path:
            continue
        tolerance = 8 / np.sqrt(2 * weight.size)
        assert free[path].std() == pytest.approx(weight.std(), rel=tolerance, abs=1e-9), path
