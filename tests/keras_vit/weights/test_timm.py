"""timm's names and shapes, written down from its source, against the NumPy forward pass.

timm itself does not import beside PyTorch's CPU build, for want of torchvision.
"""

import keras
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import save_file as save_tensors

import keras_vit
from tests.keras_vit.reference import vision_transformer
from tests.keras_vit.reference_resnet import bit_resnet, hybrid_stem
from tests.keras_vit.weights import files


def write(path, arrays: files.Arrays) -> None:
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, str(path))


def assert_same(result: files.Arrays, expected: files.Arrays) -> None:
    assert set(result) == set(expected)
    for name, array in expected.items():
        assert result[name].shape == array.shape, name
        np.testing.assert_array_equal(result[name], array, err_msg=name)


@pytest.mark.parametrize("classifier", ["token", "gap", "map"])
def test_vit_in_and_out(rng, tmp_path, classifier):
    arrays = files.vit_jax(rng, classifier=classifier)
    write(tmp_path / "timm.safetensors", files.timm_vit(arrays))
    model = keras_vit.VisionTransformer(**files.VIT, classifier=classifier, activation="gelu")
    keras_vit.load_weights(model, tmp_path / "timm.safetensors")
    images = rng.normal(size=(2, 8, 12, 3)).astype("float32")
    options = dict(patch_size=(4, 2), num_heads=2, num_layers=2, classifier=classifier)
    expected = vision_transformer(arrays, images, activation="gelu", **options)
    np.testing.assert_allclose(files.outputs(model, images), expected, atol=1e-5)
    keras_vit.export_weights(model, tmp_path / "ours.safetensors", target="timm")
    assert_same(load_file(tmp_path / "ours.safetensors"), files.timm_vit(arrays))


@pytest.mark.parametrize("blocks", [(), (1, 1)])
def test_hybrids_in_and_out(rng, tmp_path, blocks):
    patch, grid = ((2, 1), (4, 6)) if not blocks else ((1, 1), (4, 3))
    channels = 64 if not blocks else 512
    arrays = files.vit_jax(rng, patch=patch, channels=channels, grid=grid)
    arrays |= files.hybrid_stem(rng, blocks, flat=True)
    write(tmp_path / "timm.safetensors", files.timm_vit(arrays))
    config = files.VIT | dict(input_shape=(32, 24, 3), patch_size=patch, activation="gelu")
    model = keras_vit.VisionTransformer(**config, stem_block_counts=blocks)
    keras_vit.load_weights(model, tmp_path / "timm.safetensors")
    images = rng.normal(size=(1, 32, 24, 3)).astype("float32")
    options = dict(patch_size=patch, num_heads=2, num_layers=2, activation="gelu")
    expected = vision_transformer(arrays, hybrid_stem(arrays, images, blocks), **options)
    np.testing.assert_allclose(files.outputs(model, images), expected, atol=3e-5)
    with pytest.warns(UserWarning, match="GroupNorm epsilon 1e-5"):
        keras_vit.export_weights(model, tmp_path / "ours.safetensors", target="timm")
    assert_same(load_file(tmp_path / "ours.safetensors"), files.timm_vit(arrays))


def test_bit_in_and_out(rng, tmp_path):
    arrays = files.big_transfer(rng, (2, 1))
    write(tmp_path / "timm.safetensors", files.timm_bit(arrays))
    model = keras_vit.ResNet(
        input_shape=(32, 40, 3), block_counts=(2, 1), width_factor=1 / 8, groups=4, classes=5
    )
    keras_vit.load_weights(model, tmp_path / "timm.safetensors")
    images = rng.normal(size=(1, 32, 40, 3)).astype("float32")
    expected = bit_resnet(files.bit_reference(arrays), images, (2, 1), groups=4)
    np.testing.assert_allclose(files.outputs(model, images), expected, atol=3e-5, rtol=1e-5)
    with pytest.warns(UserWarning, match="32 groups"):
        keras_vit.export_weights(model, tmp_path / "ours.safetensors", target="timm")
    assert_same(load_file(tmp_path / "ours.safetensors"), files.timm_bit(arrays))


def test_positions_without_the_class_token(rng, tmp_path):
    """timm's `no_embed_class`: the class token comes after positions were added."""
    arrays = files.timm_vit(files.vit_jax(rng))
    arrays["pos_embed"] = arrays["pos_embed"][:, 1:]
    write(tmp_path / "timm.safetensors", arrays)
    model = keras_vit.VisionTransformer(**files.VIT, activation="gelu")
    keras_vit.load_weights(model, tmp_path / "timm.safetensors")
    result = keras.ops.convert_to_numpy(model.get_layer("position_embedding").embeddings())
    np.testing.assert_array_equal(result[:, 0], 0)
    np.testing.assert_array_equal(result[:, 1:], arrays["pos_embed"])


def test_half_precision(rng, tmp_path):
    arrays = files.timm_vit(files.vit_jax(rng))
    tensors = {
        name: torch.tensor(np.ascontiguousarray(array)).to(torch.bfloat16)
        for name, array in arrays.items()
    }
    save_tensors(tensors, str(tmp_path / "timm.safetensors"))
    model = keras_vit.VisionTransformer(**files.VIT, activation="gelu")
    keras_vit.load_weights(model, tmp_path / "timm.safetensors")
    expected = tensors["head.weight"].float().numpy().T
    np.testing.assert_array_equal(model.get_layer("head").get_weights()[0], expected)
