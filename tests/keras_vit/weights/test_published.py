"""Published weights by name: from a loopback server into Keras' cache and into a model."""

import functools
import http.server
import json
import threading
import warnings
from typing import ClassVar

import keras
import numpy as np
import pytest
import transformers as hf
from safetensors.numpy import save_file

import keras_vit
from keras_vit.models.variants import get_variant
from keras_vit.weights.hub import ENDPOINT_VARIABLE, HUB_WEIGHTS
from keras_vit.weights.published import BASE_URL, BASE_URL_VARIABLE, PUBLISHED_WEIGHTS
from tests.keras_vit.weights import files, oracles

PATH = PUBLISHED_WEIGHTS["augreg-imagenet21k"]["ViT-B/16"]
# A ViT-B/16 in name only: small enough for a test.
TINY = dict(num_layers=2, hidden_size=8, mlp_dim=12, num_heads=2, input_shape=(64, 48, 3))


class Handler(http.server.SimpleHTTPRequestHandler):
    requests: ClassVar[list[str]] = []

    def do_GET(self):
        self.requests.append(self.path)
        super().do_GET()

    def log_message(self, *arguments):
        """Keeps the test's output clean."""


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serves `tmp_path/bucket`; Keras' cache is `tmp_path/home`."""
    root, home = tmp_path / "bucket", tmp_path / "home"
    (root / PATH).parent.mkdir(parents=True)
    home.mkdir()
    Handler.requests.clear()
    handler = functools.partial(Handler, directory=root)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    for variable in (BASE_URL_VARIABLE, ENDPOINT_VARIABLE):
        monkeypatch.setenv(variable, f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setattr(keras.config, "keras_home", lambda: str(home), raising=False)
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(home))
    yield root
    server.shutdown()
    server.server_close()
    thread.join()


def serve(root, rng, **overrides) -> files.Arrays:
    arguments = dict(patch=(16, 16), grid=(14, 14), classes=7, representation=5)
    arrays = files.vit_jax(rng, **{**arguments, **overrides})
    np.savez(root / PATH, **arrays)
    return arrays


def create(**overrides) -> keras.Model:
    arguments = {**TINY, "classes": 7, "weights": "augreg-imagenet21k", **overrides}
    return keras_vit.create_model("ViT-B/16", **arguments)


def test_downloads_once_and_loads(rng, server, tmp_path):
    arrays = serve(server, rng)
    model = create()
    assert Handler.requests == [f"/{PATH}"]
    assert list((tmp_path / "home").rglob("*.npz"))
    create(seed=3)
    assert len(Handler.requests) == 1
    config = model.arguments
    assert config["representation_size"] == 5 and config["activation"] == "gelu_tanh"
    for name, layer in (("pre_logits", "pre_logits"), ("head", "head")):
        kernel = model.get_layer(layer).get_weights()[0]
        np.testing.assert_array_equal(kernel, arrays[f"{name}/kernel"])
    table = arrays["Transformer/posembed_input/pos_embedding"]
    expected = keras_vit.resample_position_embedding(table, (14, 14), (4, 3))
    result = model.get_layer("position_embedding").get_weights()[0]
    np.testing.assert_array_equal(result, expected)


def test_published_grids_are_square_also_where_the_models_is_as_large(rng, server, tmp_path):
    """16 x 36 patches of the images and 24 x 24 of the file are as many."""
    arrays = serve(server, rng, grid=(24, 24), representation=None)
    model = create(input_shape=(256, 576, 3))
    table = arrays["Transformer/posembed_input/pos_embedding"]
    expected = keras_vit.resample_position_embedding(table, (24, 24), (16, 36))
    result = model.get_layer("position_embedding").get_weights()[0]
    np.testing.assert_array_equal(result, expected)
    with pytest.raises(ValueError, match=r"with load_weights \(not create_model\) and say which"):
        create(input_shape=(256, 576, 3), weights=server / PATH)


def test_other_classes_mean_a_new_head(rng, server):
    arrays = serve(server, rng)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = create(classes=10)
    assert model.get_config()["representation_size"] is None
    np.testing.assert_array_equal(model.get_layer("head").get_weights()[0], 0)
    np.testing.assert_array_equal(model.get_layer("class_token").get_weights()[0], arrays["cls"])
    bare = create(classes=None)
    kernel = bare.get_layer("pre_logits").get_weights()[0]
    np.testing.assert_array_equal(kernel, arrays["pre_logits/kernel"])
    with pytest.warns(UserWarning, match="The head of ViT-B/16 is new"):
        create(classes=1000)


def test_weights_decide_what_overrides_do_not(rng, server):
    serve(server, rng, classifier="gap", representation=None)
    assert create().get_config()["classifier"] == "gap"
    with pytest.raises(ValueError, match="Build the model with activation='gelu_tanh'"):
        create(activation="gelu")


def test_a_path_does_as_well(rng, tmp_path):
    arrays = files.vit_jax(rng, patch=(16, 16), grid=(4, 3), classes=7, classifier="map")
    np.savez(tmp_path / "mine.npz", **files.big_vision(arrays))
    model = create(weights=tmp_path / "mine.npz")
    assert model.get_config()["classifier"] == "map"
    probe = model.get_layer("pooling").get_weights()
    assert any(np.array_equal(weight, arrays["MAPHead_0/probe"]) for weight in probe)


def test_bit_by_path(rng, tmp_path):
    np.savez(tmp_path / "bit.npz", **files.big_transfer(rng, (2, 1)))
    small = dict(input_shape=(16, 16, 3), block_counts=(2, 1), width_factor=1 / 8, groups=4)
    path = str(tmp_path / "bit.npz")
    model = keras_vit.create_model("BiT-R50x1", weights=path, classes=5, **small)
    assert np.abs(model.get_layer("head").get_weights()[0]).max() > 0


def test_failed_download_says_what_to_do(server, monkeypatch):
    with pytest.raises(OSError) as error:
        create()
    text = str(error.value)
    assert f"/{PATH} could not be downloaded" in text and "by hand" in text
    assert BASE_URL_VARIABLE in text and "weights='B_16-i21k" in text


def test_an_interrupted_download_is_deleted(rng, server):
    serve(server, rng)
    content = (server / PATH).read_bytes()
    (server / PATH).write_bytes(content[: len(content) // 2])
    with pytest.raises(OSError, match=r"no whole \.npz file.*has been deleted: try again"):
        create()
    (server / PATH).write_bytes(content)
    create()


def test_a_repository_of_the_hub(rng, server):
    """A folder of three files, which a SigLIP of another size than its name's lies in."""
    folder = server / HUB_WEIGHTS["siglip"].repositories["ViT-B/16"] / "resolve" / "main"
    folder.mkdir(parents=True)
    config = hf.SiglipVisionConfig(**oracles.sizes(image_size=12))
    theirs = oracles.saved(hf.SiglipVisionModel(config), folder)
    settings = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    images = oracles.images(rng, 2, 12, 12, 3)
    expected = oracles.outputs(theirs, images, "pooler_output")
    model = keras_vit.from_checkpoint("siglip", like="ViT-B/16")
    oracles.assert_close(files.outputs(model, images), expected)
    assert keras_vit.preprocessing_of(model).mean == (0.485, 0.456, 0.406)
    sizes = dict(num_layers=2, hidden_size=16, mlp_dim=24, num_heads=4, patch_size=4)
    named = keras_vit.create_model("ViT-B/16", (12, 12, 3), None, weights="siglip", **sizes)
    np.testing.assert_array_equal(files.outputs(named, images), files.outputs(model, images))
    assert keras_vit.preprocessing_of(named).mean == (0.485, 0.456, 0.406)
    assert len(Handler.requests) == 3
    with pytest.raises(OSError, match=r"Fetch config\.json.* of google/siglip-large-.* by hand"):
        keras_vit.from_checkpoint("siglip", like="ViT-L/16")
    with pytest.raises(ValueError, match="no weights 'siglip' of None, only of ViT-B/16"):
        keras_vit.from_checkpoint("siglip")


def test_interrupted_safetensors_are_deleted(rng, server):
    folder = server / HUB_WEIGHTS["flexivit-imagenet2012"].repositories["ViT-B/16"] / "resolve/main"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"architecture": "flexivit_base"}))
    save_file({"cls_token": np.zeros((1, 1, 4), "float32")}, str(folder / "model.safetensors"))
    whole = (folder / "model.safetensors").read_bytes()
    for part in (whole[:-1], whole[:20], b""):
        (folder / "model.safetensors").write_bytes(part)
        with pytest.raises(OSError, match=r"no whole \.safetensors file.*has been deleted"):
            keras_vit.from_checkpoint("flexivit-imagenet2012", like="ViT-B/16")
    (folder / "model.safetensors").write_bytes(whole)
    with pytest.raises(ValueError, match="names of no known checkpoint"):
        keras_vit.from_checkpoint("flexivit-imagenet2012", like="ViT-B/16")


@pytest.mark.once
def test_the_table_of_the_hub():
    """Every name is a model's, every licence one that allows any use; no name stands twice."""
    assert not set(HUB_WEIGHTS) & set(PUBLISHED_WEIGHTS)
    repositories = [r for found in HUB_WEIGHTS.values() for r in found.repositories.values()]
    assert len(repositories) == len(set(repositories))
    for found in HUB_WEIGHTS.values():
        assert found.licence in ("Apache-2.0", "MIT")
        for name, repository in found.repositories.items():
            get_variant(name)
            patch = name.split("/")[1]
            assert repository.count("/") == 1
            assert patch in repository or "dinov2" in repository or "flexivit" in repository


@pytest.mark.once
def test_unknown_names_list_what_there_is(tmp_path):
    with pytest.raises(ValueError, match=r"neither a file nor .* ViT-B/16 has 'imagenet21k', "):
        create(weights="imagenet")
    with pytest.raises(ValueError, match="no weights 'bit-m' of ViT-B/16, only of BiT-R50x1"):
        create(weights="bit-m")
    with pytest.raises(ValueError, match="no weights of ViT-G/14 have been published"):
        keras_vit.create_model("ViT-G/14", weights="imagenet")


@pytest.mark.once
def test_the_table():
    assert BASE_URL == "https://storage.googleapis.com"
    paths = [path for models in PUBLISHED_WEIGHTS.values() for path in models.values()]
    assert len(paths) == len(set(paths))
    assert all(path.endswith(".npz") and path.count("/") <= 2 for path in paths)
    for models in PUBLISHED_WEIGHTS.values():
        for name, path in models.items():
            get_variant(name)
            size = name.split("-")[-1].replace("/", "_")  # B_16, R50x1
            assert size in path or "vit_s16" in path
    # from the README of google-research/vision_transformer and its listing of the bucket
    assert {
        "vit_models/imagenet21k/ViT-H_14.npz",
        "vit_models/imagenet21k+imagenet2012/R50+ViT-B_16.npz",
        "vit_models/augreg/B_16-i21k-300ep-lr_0.001-aug_medium1-wd_0.1-do_0.0-sd_0.0"
        "--imagenet2012-steps_20k-lr_0.03-res_384.npz",
        "vit_models/sam/ViT-S_16.npz",
        "bit_models/BiT-M-R50x1-ILSVRC2012.npz",
    } <= set(paths)
