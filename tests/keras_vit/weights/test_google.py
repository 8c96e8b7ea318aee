"""The authors' .npz layouts against the NumPy forward pass."""

import keras
import numpy as np
import pytest

import keras_vit
from tests.keras_vit.reference import vision_transformer
from tests.keras_vit.reference_resnet import bit_resnet, hybrid_stem
from tests.keras_vit.weights import files

IMAGES = np.random.default_rng(5).normal(size=(2, 8, 12, 3)).astype("float32")


def expected(arrays: files.Arrays, images: np.ndarray = IMAGES, **overrides) -> np.ndarray:
    arguments = {"patch_size": (4, 2), "num_heads": 2, "num_layers": 2, **overrides}
    return vision_transformer(arrays, images, **arguments)


def loaded(tmp_path, arrays: files.Arrays, **overrides) -> keras.Model:
    path = tmp_path / "checkpoint.npz"
    np.savez(path, **arrays)
    model = keras_vit.VisionTransformer(**{**files.VIT, **overrides})
    keras_vit.load_weights(model, path)
    return model


@pytest.mark.parametrize("layout", ["published", "linen", "optimizer", "big_vision", "scanned"])
@pytest.mark.parametrize("classifier", ["token", "gap", "map"])
def test_every_layout(rng, tmp_path, layout, classifier):
    arrays = files.vit_jax(rng, classifier=classifier)
    written = {
        "published": lambda: arrays,
        "linen": lambda: files.linen(arrays),
        "optimizer": lambda: {
            **{f"opt/target/{name}": array for name, array in arrays.items()},
            "opt/state/step": np.array(7),
        },
        "big_vision": lambda: files.big_vision(arrays),
        "scanned": lambda: files.big_vision(arrays, scanned=True),
    }[layout]()
    result = files.outputs(loaded(tmp_path, written, classifier=classifier), IMAGES)
    wanted = expected(arrays, classifier=classifier)
    assert np.abs(wanted).max() > 0.3
    np.testing.assert_allclose(result, wanted, atol=1e-5)


def test_the_image_tower_of_a_pair(rng, tmp_path):
    arrays = files.vit_jax(rng, classifier="map")
    image = {n.replace("params/", "params/img/"): a for n, a in files.big_vision(arrays).items()}
    written = {**image, "params/txt/head/bias": np.zeros(3), "params/t": np.zeros(1)}
    result = files.outputs(loaded(tmp_path, written, classifier="map"), IMAGES)
    np.testing.assert_allclose(result, expected(arrays, classifier="map"), atol=1e-5)


def test_early_attention_pooling_at_the_top(rng, tmp_path):
    arrays = files.vit_jax(rng, classifier="map")
    written = {name.removeprefix("MAPHead_0/"): array for name, array in arrays.items()}
    result = files.outputs(loaded(tmp_path, written, classifier="map"), IMAGES)
    np.testing.assert_allclose(result, expected(arrays, classifier="map"), atol=1e-5)


def test_big_vision_without_learned_positions(rng, tmp_path):
    arrays = files.vit_jax(rng, classifier="gap")
    del arrays["Transformer/posembed_input/pos_embedding"]
    options = {"classifier": "gap", "position_embedding": "sincos2d"}
    result = files.outputs(loaded(tmp_path, files.big_vision(arrays), **options), IMAGES)
    np.testing.assert_allclose(result, expected(arrays, **options), atol=1e-5)


def test_representation_layer(rng, tmp_path):
    arrays = files.vit_jax(rng, representation=5)
    result = files.outputs(loaded(tmp_path, arrays, representation_size=5), IMAGES)
    np.testing.assert_allclose(result, expected(arrays), atol=1e-5)


def test_bfloat16_arrays(rng, tmp_path):
    """JAX saves bfloat16 as two raw bytes: the upper half of a float32."""
    arrays = files.vit_jax(rng)
    halves = {n: (a.view("uint32") >> 16).astype("uint16").view("V2") for n, a in arrays.items()}
    cut = {n: (a.view("uint32") >> 16 << 16).view("float32") for n, a in arrays.items()}
    np.testing.assert_allclose(
        files.outputs(loaded(tmp_path, halves), IMAGES), expected(cut), atol=1e-5
    )


@pytest.mark.parametrize("blocks", [(), (2, 1)])
@pytest.mark.parametrize("flat", [True, False])
def test_hybrids(rng, tmp_path, blocks, flat):
    patch, images = ((2, 1) if not blocks else (1, 1)), rng.normal(size=(2, 32, 24, 3))
    images = images.astype("float32")
    grid = (4, 6) if not blocks else (4, 3)
    channels = 64 if not blocks else 512
    arrays = files.vit_jax(rng, patch=patch, channels=channels, grid=grid)
    arrays |= files.hybrid_stem(rng, blocks, flat)
    model = loaded(
        tmp_path, arrays, input_shape=(32, 24, 3), patch_size=patch, stem_block_counts=blocks
    )
    features = hybrid_stem(arrays, images, blocks)
    wanted = expected(arrays, features, patch_size=patch)
    np.testing.assert_allclose(files.outputs(model, images), wanted, atol=3e-5)


@pytest.mark.parametrize("layout", ["big_transfer", "numbered", "big_vision"])
def test_bit(rng, tmp_path, layout):
    arrays = files.big_transfer(rng, (2, 1))
    written = {
        "big_transfer": lambda: arrays,
        "numbered": lambda: {
            name.replace("b/standardized_conv2d", "b/standardized_conv2d_4"): array
            for name, array in arrays.items()
        },
        "big_vision": lambda: files.bit_big_vision(arrays),
    }[layout]()
    path = tmp_path / "bit.npz"
    np.savez(path, **written)
    model = keras_vit.ResNet(
        input_shape=(32, 40, 3), block_counts=(2, 1), width_factor=1 / 8, groups=4, classes=5
    )
    keras_vit.load_weights(model, path)
    images = rng.normal(size=(2, 32, 40, 3)).astype("float32")
    wanted = bit_resnet(files.bit_reference(arrays), images, (2, 1), groups=4)
    np.testing.assert_allclose(files.outputs(model, images), wanted, atol=3e-5, rtol=1e-5)
