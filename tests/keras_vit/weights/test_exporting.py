"""Exported files: bit-for-bit round trips, metadata, warnings, and whole files only."""

import warnings

import keras
import numpy as np
import pytest
from safetensors import safe_open

import keras_vit
from tests.keras_vit.names import randomise, reference_weights
from tests.keras_vit.weights import files

ENDINGS = {"google": ".npz", "timm": ".safetensors", "huggingface": ".safetensors"}
HYBRID = dict(input_shape=(16, 24, 3), patch_size=1, stem_block_counts=(1, 2))
ROOT = dict(input_shape=(16, 24, 3), patch_size=2, stem_block_counts=())
CASES = [
    ("google", {}),
    ("google", {"classifier": "gap", "activation": "gelu"}),
    ("google", {"classifier": "map"}),
    ("google", {"representation_size": 5}),
    ("google", {"classes": None}),
    ("google", {"position_embedding": "none"}),
    ("google", {"position_embedding": "sincos2d"}),
    ("google", HYBRID),
    ("google", ROOT),
    ("timm", {}),
    ("timm", {"classifier": "gap"}),
    ("timm", {"classifier": "map", "activation": "gelu"}),
    ("timm", {"classes": None, "position_embedding": "none"}),
    ("timm", HYBRID),
    ("timm", ROOT),
    ("huggingface", {}),
    ("huggingface", {"classes": None, "representation_size": 8}),
]


@pytest.fixture
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def assert_round_trip(model: keras.Model, path, target: str, rng: np.random.Generator) -> None:
    randomise(model, rng)
    keras_vit.export_weights(model, path, target=target)
    copy = type(model).from_config(model.get_config())
    keras_vit.load_weights(copy, path)
    for ours, theirs in zip(model.weights, copy.weights, strict=True):
        assert ours.path == theirs.path
        np.testing.assert_array_equal(*(keras.ops.convert_to_numpy(w) for w in (ours, theirs)))


@pytest.mark.parametrize(("target", "overrides"), CASES)
def test_vit_round_trip(rng, tmp_path, quiet, target, overrides):
    model = keras_vit.VisionTransformer(**{**files.VIT, **overrides})
    assert_round_trip(model, tmp_path / f"vit{ENDINGS[target]}", target, rng)


@pytest.mark.parametrize("target", list(ENDINGS))
def test_bit_round_trip(rng, tmp_path, quiet, target):
    model = keras_vit.ResNet(
        input_shape=(16, 16, 3), block_counts=(2, 1), width_factor=1 / 8, groups=4, classes=5
    )
    assert_round_trip(model, tmp_path / f"bit{ENDINGS[target]}", target, rng)


@pytest.mark.parametrize("overrides", [{}, {"classifier": "map"}, HYBRID])
def test_google_names_and_shapes(rng, tmp_path, quiet, overrides):
    """The authors' names, written down by hand in tests/keras_vit/names.py."""
    model = keras_vit.VisionTransformer(**{**files.VIT, **overrides})
    randomise(model, rng)
    keras_vit.export_weights(model, tmp_path / "vit.npz")
    expected, result = reference_weights(model), dict(np.load(tmp_path / "vit.npz"))
    assert set(result) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(result[name], array, err_msg=name)
        assert result[name].dtype == "float32"


def test_google_bit_names_and_shapes(rng, tmp_path):
    arrays = files.big_transfer(rng, (2, 1))
    np.savez(tmp_path / "theirs.npz", **arrays)
    model = keras_vit.ResNet(
        input_shape=(16, 16, 3), block_counts=(2, 1), width_factor=1 / 8, groups=4, classes=5
    )
    keras_vit.load_weights(model, tmp_path / "theirs.npz")
    with pytest.warns(UserWarning, match=r"32 groups \(here 4\)"):
        keras_vit.export_weights(model, tmp_path / "ours.npz")
    result = dict(np.load(tmp_path / "ours.npz"))
    assert set(result) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(result[name], array, err_msg=name)


@pytest.mark.parametrize("target", ["timm", "huggingface"])
def test_metadata_decides_about_the_activation(tmp_path, quiet, target):
    model = keras_vit.VisionTransformer(**files.VIT, epsilon=1e-5)
    keras_vit.export_weights(model, tmp_path / "vit.safetensors", target=target)
    with safe_open(str(tmp_path / "vit.safetensors"), framework="np") as file:
        metadata = file.metadata()
    assert metadata["activation"] == "gelu_tanh" and float(metadata["epsilon"]) == 1e-5
    keras_vit.load_weights(model, tmp_path / "vit.safetensors")
    exact = keras_vit.VisionTransformer(**files.VIT, activation="gelu")
    with pytest.raises(ValueError, match="activation='gelu_tanh'"):
        keras_vit.load_weights(exact, tmp_path / "vit.safetensors")


@pytest.mark.parametrize("target", ["google", "timm"])
def test_the_grid_travels_too(rng, tmp_path, quiet, target):
    """2 x 8 patches are not taken for 4 x 4."""
    path = tmp_path / f"vit{ENDINGS[target]}"
    model = keras_vit.VisionTransformer(**{**files.VIT, "input_shape": (8, 16, 3)})
    assert model.grid == (2, 8)
    assert_round_trip(model, path, target, rng)
    square = keras_vit.VisionTransformer(**{**files.VIT, "input_shape": (16, 8, 3)})
    keras_vit.load_weights(square, path)
    table = model.get_layer("position_embedding").get_weights()[0]
    expected = keras_vit.resample_position_embedding(table, (2, 8), (4, 4))
    result = square.get_layer("position_embedding").get_weights()[0]
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(
    ("target", "overrides"),
    [
        ("google", {"position_embedding": "none"}),
        ("google", {"position_embedding": "sincos2d"}),
        ("google", {"classifier": "map", "epsilon": 1e-4, "activation": "relu"}),
        ("timm", {"position_embedding": "none", "epsilon": 1e-5}),
        ("huggingface", {"epsilon": 1e-5, "activation": keras.activations.relu}),
    ],
)
def test_a_model_made_by_name_for_the_file_computes_the_same(
    rng, tmp_path, quiet, target, overrides
):
    """Whatever the other project's own choice is, what the file says decides."""
    path = tmp_path / f"vit{ENDINGS[target]}"
    model = keras_vit.VisionTransformer(**{**files.VIT, **overrides})
    randomise(model, rng)
    keras_vit.export_weights(model, path, target=target)
    sizes = {
        key: value for key, value in files.VIT.items() if key not in ("input_shape", "classes")
    }
    shape, classes = files.VIT["input_shape"], files.VIT["classes"]
    again = keras_vit.create_model("ViT-S/4", shape, classes, weights=path, **sizes)
    config = model.arguments
    for key in ("activation", "epsilon", "classifier", "position_embedding"):
        assert again.arguments[key] == config[key]
    images = rng.normal(size=(2, *shape)).astype("float32")
    np.testing.assert_array_equal(files.outputs(again, images), files.outputs(model, images))


def test_lora_is_merged(rng, tmp_path):
    model = keras_vit.VisionTransformer(**files.VIT)
    keras_vit.enable_lora(model, rank=2)
    randomise(model, rng)
    keras_vit.export_weights(model, tmp_path / "tuned.npz")
    plain = keras_vit.VisionTransformer(**files.VIT)
    keras_vit.load_weights(plain, tmp_path / "tuned.npz")
    images = rng.normal(size=(2, *files.VIT["input_shape"])).astype("float32")
    expected = files.outputs(model, images)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(files.outputs(plain, images), expected, atol=1e-5)


def test_the_same_numbers_need_no_warning(tmp_path, recwarn):
    """A config.json beside the file says whatever differs from the other project's defaults."""
    for classifier in ("token", "gap", "map"):
        model = keras_vit.VisionTransformer(**files.VIT, classifier=classifier)
        keras_vit.export_weights(model, tmp_path / "timm", target="timm")
    model = keras_vit.VisionTransformer(**files.VIT, activation="relu", epsilon=1e-3)
    keras_vit.export_weights(model, tmp_path / "huggingface", target="huggingface")
    keras_vit.export_weights(keras_vit.VisionTransformer(**files.VIT), tmp_path / "vit.npz")
    assert not [w for w in recwarn if "would compute" in str(w.message)]


@pytest.mark.parametrize(
    ("target", "overrides", "message"),
    [
        ("google", {"activation": "gelu"}, "activation is 'gelu_tanh'.*here 'gelu'"),
        ("google", {"epsilon": 1e-3}, "epsilon is 1e-06.*here 0.001"),
        ("google", {"classifier": "map"}, "no attention pooling"),
        ("google", {"position_embedding": "sincos2d"}, "no sines and cosines"),
        ("google", {"position_embedding": "none"}, "big_vision adds sines and cosines"),
        ("timm", {"activation": "elu"}, "timm has no activation 'elu' and takes its own, 'gelu'"),
        ("timm", {"epsilon": 1e-3}, "timm's epsilon is 1e-06.*here 0.001"),
        ("timm", {**ROOT, "stem_block_counts": (1,)}, r"no architecture .* no config\.json"),
        ("huggingface", {"activation": "elu"}, "has no activation 'elu' and takes its own, 'gelu'"),
    ],
)
def test_warnings_say_where_others_differ(tmp_path, target, overrides, message):
    model = keras_vit.VisionTransformer(**{**files.VIT, **overrides})
    with pytest.warns(UserWarning, match=message):
        keras_vit.export_weights(model, tmp_path / f"vit{ENDINGS[target]}", target=target)


@pytest.mark.parametrize(
    ("target", "overrides", "message"),
    [
        ("google", {"position_embedding": "learned_2d"}, "no name for position_embedding/row"),
        ("google", {"layer_scale": 1e-5}, "no name for block_0/mlp_scale/scale"),
        ("timm", {"position_embedding": "relative"}, "no name for block_0/attention/position_bias"),
        ("timm", {"position_embedding": "sincos2d"}, "learned position embeddings or none"),
        ("timm", {"representation_size": 5}, "no representation layer"),
        ("huggingface", {"position_embedding": "learned_2d"}, "learned position embeddings only"),
        ("huggingface", {"representation_size": 5}, "no representation layer below a head"),
        (
            "huggingface",
            {"classifier": "map"},
            "by the class token only.*by the mean of the patches only",
        ),
        ("huggingface", ROOT, "no hybrids"),
        ("keras_hub", {}, "target is 'keras_hub'; use one of 'google', 'timm', 'huggingface'"),
    ],
)
def test_what_others_cannot_express_is_refused(tmp_path, target, overrides, message):
    model = keras_vit.VisionTransformer(**{**files.VIT, **overrides})
    with pytest.raises(ValueError, match=message):
        keras_vit.export_weights(model, tmp_path / f"vit{ENDINGS.get(target, '')}", target=target)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("target", ["google", "timm", "huggingface"])
def test_small_stems_are_ours_alone(tmp_path, target):
    model = keras_vit.ResNet(
        input_shape=(8, 8, 3), block_counts=(1,), width_factor=1 / 8, groups=4, stem="small"
    )
    with pytest.raises(ValueError, match="has no 'small' stem"):
        keras_vit.export_weights(model, tmp_path / f"bit{ENDINGS[target]}", target=target)


def test_ending_and_folder_are_checked(tmp_path):
    model = keras_vit.VisionTransformer(**files.VIT)
    with pytest.raises(ValueError, match=r"A file for google ends in \.npz"):
        keras_vit.export_weights(model, tmp_path / "vit.safetensors")
    for target, name in (("google", "vit.npz"), ("timm", "vit.safetensors"), ("timm", "vit")):
        with pytest.raises(ValueError, match=f"There is no folder .*nowhere to write {name} to"):
            keras_vit.export_weights(model, tmp_path / "nowhere" / name, target=target)
    (tmp_path / "vit").write_text("a file")
    with pytest.raises(ValueError, match="vit is a file, where a folder for timm would be"):
        keras_vit.export_weights(model, tmp_path / "vit", target="timm")


def test_no_folder_is_made_for_what_cannot_be_written(tmp_path):
    model = keras_vit.VisionTransformer(**files.VIT, representation_size=5)
    with pytest.raises(ValueError, match="no representation layer"):
        keras_vit.export_weights(model, tmp_path / "vit", target="timm")
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    model = keras_vit.VisionTransformer(**files.VIT)
    keras_vit.export_weights(model, tmp_path / "vit.npz")
    before = (tmp_path / "vit.npz").read_bytes()

    def full(file, **arrays):
        file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        keras_vit.export_weights(model, tmp_path / "vit.npz")
    assert [p.name for p in tmp_path.iterdir()] == ["vit.npz"]
    assert (tmp_path / "vit.npz").read_bytes() == before


@pytest.mark.parametrize("target", list(ENDINGS))
def test_a_head_of_zeros_is_no_classifier_to_hand_on(rng, tmp_path, target):
    """`.keras` keeps a model that is yet to be trained; a file for others says what it is not."""
    model = keras_vit.VisionTransformer(**files.VIT)
    randomise(model, rng)
    new = keras_vit.for_finetuning(model, classes=4)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        new.save(tmp_path / "new.keras")
    with pytest.warns(UserWarning, match="The head of .* is all zeros.*every image gets the same"):
        keras_vit.export_weights(new, tmp_path / f"new{ENDINGS[target]}", target=target)
    randomise(new, rng)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        keras_vit.export_weights(new, tmp_path / f"new{ENDINGS[target]}", target=target)
    assert not [w for w in told if "zeros" in str(w.message)]


def test_what_is_no_number_is_not_exported(tmp_path):
    model = keras_vit.VisionTransformer(**files.VIT)
    model.get_layer("head").set_weights([np.full((8, 3), np.nan), np.zeros(3)])
    with pytest.raises(ValueError, match=r"infinite or not a number .* in head/kernel, as after"):
        keras_vit.export_weights(model, tmp_path / "vit.npz")
    assert not list(tmp_path.iterdir())
