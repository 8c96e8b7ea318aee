"""Loose loading: each adaptation by hand, told, and never without being asked for."""

import warnings

import numpy as np
import pytest
import transformers as hf
from safetensors.numpy import save_file

import keras_vit
from tests.keras_vit.weights import files, oracles
from tests.keras_vit.weights import timm_reference as timm

LIKE = dict(like="test_vit", input_shape=(12, 8, 3))


@pytest.fixture(autouse=True)
def _no_word_about_pixels():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Nothing beside")
        yield


def write(folder, arrays):
    save_file(
        {n: np.ascontiguousarray(a) for n, a in arrays.items()}, str(folder / "vit.safetensors")
    )
    return folder / "vit.safetensors"


@pytest.mark.parametrize("channels", [1, 2, 6, 7])
def test_other_numbers_of_channels(rng, tmp_path, channels):
    arrays = timm.draw(rng)
    path = write(tmp_path, arrays)
    asked = {**LIKE, "input_shape": (12, 8, channels)}
    with pytest.raises(ValueError, match=f"for 3 channels and input_shape.*has {channels}.*adapt="):
        keras_vit.from_checkpoint(path, **asked)
    how = "summed" if channels == 1 else "repeated"
    with pytest.warns(UserWarning, match=f"was adapted: its 3 channels {how} to {channels}"):
        model = keras_vit.from_checkpoint(path, **asked, adapt=True)
    kernel = arrays["patch_embed.proj.weight"]  # (D, 3, 4, 4)
    if channels == 1:
        kernel = kernel.sum(axis=1, keepdims=True)
    else:  # timm repeats, cuts off and scales
        kernel = np.concatenate([kernel] * 3, axis=1)[:, :channels] * (3 / channels)
    images = oracles.images(rng, 2, 12, 8, channels)
    expected = timm.forward({**arrays, "patch_embed.proj.weight": kernel}, images)
    oracles.assert_close(files.outputs(model, images), expected)


def test_grey_images_compute_as_three_equal_channels(rng, tmp_path):
    path = write(tmp_path, timm.draw(rng))
    with pytest.warns(UserWarning, match="summed"):
        grey = keras_vit.from_checkpoint(path, like="test_vit", input_shape=(12, 8, 1), adapt=True)
    images = oracles.images(rng, 2, 12, 8, 1)
    colour = files.outputs(keras_vit.from_checkpoint(path, **LIKE), np.repeat(images, 3, axis=-1))
    oracles.assert_close(files.outputs(grey, images), colour)


def test_the_mean_in_place_of_the_class_token(rng, tmp_path):
    arrays = timm.draw(rng)
    path = write(tmp_path, arrays)
    with pytest.raises(ValueError, match="'classifier' cannot differ from the checkpoint's"):
        keras_vit.from_checkpoint(path, **LIKE, classifier="gap")
    with pytest.warns(UserWarning, match="its class token left aside, which the model has not"):
        model = keras_vit.from_checkpoint(path, **LIKE, classifier="gap", adapt=True)
    without = {n: a for n, a in arrays.items() if n != "cls_token"}
    without["pos_embed"] = arrays["pos_embed"][:, 1:]
    images = oracles.images(rng, 2, 12, 8, 3)
    expected = timm.forward(without, images, pooling="avg")
    oracles.assert_close(files.outputs(model, images), expected)
    other = keras_vit.VisionTransformer(**model.arguments)
    with pytest.raises(ValueError, match="unexpected in the file: cls_token"):
        keras_vit.load_weights(other, path)
    with pytest.warns(UserWarning, match="class token left aside"):
        keras_vit.load_weights(other, path, adapt=True)
    np.testing.assert_array_equal(files.outputs(other, images), files.outputs(model, images))


@pytest.mark.parametrize("prefix", ["module.", "backbone.", "module.student.backbone."])
def test_a_prefix_is_taken_off(rng, tmp_path, prefix):
    arrays = timm.draw(rng)
    named = {prefix + name: array for name, array in arrays.items()}
    path = write(tmp_path, {**named, "queue": np.ones(3, "float32")})
    with pytest.raises(ValueError, match="names of no known checkpoint"):
        keras_vit.from_checkpoint(path, **LIKE)
    told = f"the prefix '{prefix}' taken off its names; what has no such prefix left aside .queue."
    with pytest.warns(UserWarning, match=told):
        model = keras_vit.from_checkpoint(path, **LIKE, adapt=True)
    images = oracles.images(rng, 2, 12, 8, 3)
    oracles.assert_close(files.outputs(model, images), timm.forward(arrays, images))
    broken = {name: a for name, a in named.items() if not name.endswith("blocks.1.norm1.bias")}
    with pytest.raises(ValueError, match=r"missing in the file: blocks\.1\.norm1\.bias"):
        keras_vit.from_checkpoint(write(tmp_path, broken), **LIKE, adapt=True)


def test_a_decoder_is_left_aside(rng, tmp_path):
    config = hf.ViTMAEConfig(
        **oracles.sizes(image_size=12),
        mask_ratio=0.0,
        decoder_num_hidden_layers=1,
        decoder_hidden_size=8,
        decoder_num_attention_heads=1,
        decoder_intermediate_size=8,
    )
    theirs = oracles.saved(hf.ViTMAEForPreTraining(config), tmp_path)
    with pytest.raises(ValueError, match=r"unexpected in the file: decoder\."):
        keras_vit.from_checkpoint(tmp_path)
    with pytest.warns(UserWarning, match=r"a decoder left aside \(decoder\..* more\)"):
        model = keras_vit.from_checkpoint(tmp_path, adapt=True)
    images = oracles.images(rng, 2, 12, 12, 3)
    import torch

    order = torch.arange(9).repeat(2, 1) / 9.0
    expected = oracles.outputs(theirs.vit, images, "last_hidden_state", noise=order)[:, 0]
    oracles.assert_close(files.outputs(model, images), expected)


def test_what_is_skipped_stays_new(rng, tmp_path):
    arrays = timm.draw(rng)
    path = write(tmp_path, {**arrays, "ema.decay": np.ones(1, "float32")})
    with pytest.raises(ValueError, match=r"unexpected in the file: ema\.decay"):
        keras_vit.from_checkpoint(path, **LIKE)
    with pytest.warns(UserWarning, match=r"what skip names left aside \(ema\.decay\)"):
        model = keras_vit.from_checkpoint(path, **LIKE, skip="^ema")
    images = oracles.images(rng, 2, 12, 8, 3)
    oracles.assert_close(files.outputs(model, images), timm.forward(arrays, images))
    before = model.get_layer("block_1").mlp.hidden.get_weights()
    write(tmp_path, timm.draw(rng))
    with pytest.warns(UserWarning, match="what skip names left aside"):
        keras_vit.load_weights(model, path, skip=[r"blocks\.1\.mlp\.fc1"])
    for old, new in zip(before, model.get_layer("block_1").mlp.hidden.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)
    with pytest.raises(ValueError, match="give a regular expression"):
        keras_vit.load_weights(model, path, skip="(")


def test_what_belongs_to_training_may_be_given(rng, tmp_path):
    path = write(tmp_path, timm.draw(rng))
    model = keras_vit.from_checkpoint(path, **LIKE, dropout_rate=0.1, name="mine")
    assert model.arguments["dropout_rate"] == 0.1 and model.name == "mine"
