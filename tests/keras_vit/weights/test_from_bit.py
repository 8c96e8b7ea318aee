"""From the checkpoint of a BiT or a hybrid to the model that it belongs to."""

import json
import warnings

import numpy as np
import pytest
import transformers as hf
from safetensors.numpy import save_file

import keras_vit
from tests.keras_vit.names import randomise
from tests.keras_vit.reference import vision_transformer
from tests.keras_vit.reference_resnet import bit_resnet, hybrid_stem
from tests.keras_vit.weights import files, oracles


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Nothing beside")
        yield


@pytest.mark.parametrize("layout", ["google", "timm"])
def test_bit(rng, tmp_path, layout):
    """One channel a group: neither project's files tell that there are 32."""
    arrays = files.big_transfer(rng, (2, 1), width=32)
    if layout == "google":
        path = tmp_path / "bit.npz"
        np.savez(path, **arrays)
        model = keras_vit.from_checkpoint(path, input_shape=(32, 40, 3))
    else:
        path = tmp_path
        theirs = {k: np.ascontiguousarray(v) for k, v in files.timm_bit(arrays).items()}
        save_file(theirs, str(path / "model.safetensors"))
        config = {
            "architecture": "resnetv2_50x1_bit",
            "pretrained_cfg": {"input_size": [3, 32, 40]},
        }
        (path / "config.json").write_text(json.dumps(config))
        model = keras_vit.from_checkpoint(path)
    assert isinstance(model, keras_vit.ResNet)
    assert model.input_shape == (None, 32, 40, 3)
    images = rng.normal(size=(2, 32, 40, 3)).astype("float32")
    expected = bit_resnet(files.bit_reference(arrays), images, (2, 1))
    oracles.assert_close(files.outputs(model, images), expected)
    new = keras_vit.from_checkpoint(path, classes=7, input_shape=(64, 64, 3), name="new")
    assert new.output_shape == (None, 7) and new.name == "new"
    bare = keras_vit.from_checkpoint(path, classes=None)
    assert bare.output_shape == (None, 8 * 32)
    assert layout == "timm" or bare.input_shape == (None, 224, 224, 3)


def test_transformers_bit(tmp_path, rng):
    config = hf.BitConfig(
        embedding_size=16, hidden_sizes=[64, 128], depths=[2, 1], num_groups=4, num_labels=7
    )
    theirs = oracles.saved(hf.BitForImageClassification(config), tmp_path)
    model = keras_vit.from_checkpoint(tmp_path, input_shape=(40, 32, 3))
    assert (model.arguments["groups"], model.arguments["width_factor"]) == (4, 0.25)
    images = oracles.images(rng, 2, 40, 32, 3)
    oracles.assert_close(files.outputs(model, images), oracles.outputs(theirs, images, "logits"))


@pytest.mark.filterwarnings("ignore:.*would compute something else")
@pytest.mark.parametrize("target", ["google", "timm", "huggingface"])
def test_the_size_of_images_comes_back(rng, tmp_path, target):
    """No weight tells it: the file's metadata do, or what lies beside it."""
    small = keras_vit.ResNet((48, 64, 3), (1, 1), width_factor=0.25, groups=4, classes=3)
    randomise(small, rng)
    path = tmp_path / ("bit.npz" if target == "google" else "bit")
    keras_vit.export_weights(small, path, target=target)
    model = keras_vit.from_checkpoint(path)
    assert model.input_shape == (None, 48, 64, 3)
    images = rng.normal(size=(2, 48, 64, 3)).astype("float32")
    np.testing.assert_array_equal(files.outputs(model, images), files.outputs(small, images))


def test_transformers_tells_the_size_of_images_for_bit(tmp_path):
    config = hf.BitConfig(embedding_size=16, hidden_sizes=[64], depths=[1], num_groups=4)
    oracles.saved(hf.BitForImageClassification(config), tmp_path)
    hf.BitImageProcessor(
        size={"shortest_edge": 96}, crop_size={"height": 80, "width": 64}
    ).save_pretrained(tmp_path)
    model = keras_vit.from_checkpoint(tmp_path)
    assert model.input_shape == (None, 80, 64, 3)
    assert keras_vit.preprocessing_of(model).box == (96, 96)
    told = json.loads((tmp_path / "preprocessor_config.json").read_text())
    told["crop_size"] = {"height": 0, "width": 64}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(told))
    with pytest.raises(ValueError, match="of how images are prepared is damaged"):
        keras_vit.from_checkpoint(tmp_path)


def test_a_hybrid(rng, tmp_path):
    arrays = files.vit_jax(rng, patch=(1, 1), channels=512, grid=(4, 3))
    arrays |= files.hybrid_stem(rng, (2, 1), True)
    np.savez(tmp_path / "hybrid.npz", **arrays)
    model = keras_vit.from_checkpoint(tmp_path / "hybrid.npz", input_shape=(32, 24, 3))
    assert model.arguments["stem_block_counts"] == (2, 1)
    images = rng.normal(size=(2, 32, 24, 3)).astype("float32")
    features = hybrid_stem(arrays, images, (2, 1))
    sizes = dict(patch_size=(1, 1), num_heads=2, num_layers=2)
    expected = vision_transformer(arrays, features, **sizes)
    oracles.assert_close(files.outputs(model, images), expected)


@pytest.mark.once
def test_what_a_resnet_cannot_have_is_refused(rng, tmp_path):
    path = tmp_path / "bit.npz"
    np.savez(path, **files.big_transfer(rng, (1,), width=32))
    with pytest.raises(ValueError, match="tells all; leave like= out"):
        keras_vit.from_checkpoint(path, like="BiT-R50x1")
    with pytest.raises(
        ValueError, match="'dropout_rate' cannot be given; what can is classifier_a"
    ):
        keras_vit.from_checkpoint(path, dropout_rate=0.1)
    with pytest.raises(ValueError, match=r"is for 3 channels and input_shape=\(32, 32, 1\) has 1"):
        keras_vit.from_checkpoint(path, input_shape=(32, 32, 1))
