"""How images are prepared goes with the weights: in metadata, beside files, and into models."""

import json
import warnings
import zipfile
from dataclasses import replace

import keras
import numpy as np
import pytest
import transformers as hf
from safetensors.numpy import load_file, save_file

import keras_vit
from tests.keras_vit.names import randomise
from tests.keras_vit.weights import files

IMAGENET = keras_vit.Preprocessing(
    mean=(0.485, 0.456, 0.406), deviation=(0.229, 0.224, 0.225), interpolation="bicubic", crop=0.875
)
SIZES = {key: value for key, value in files.VIT.items() if key not in ("input_shape", "classes")}
EXACT = {**files.VIT, "activation": "gelu"}
PATHS = {"google": "tuned.npz", "timm": "tuned.safetensors", "huggingface": "tuned.safetensors"}
UNKNOWN = "Nothing beside .* says how its images were prepared"


def vit(rng, **overrides) -> keras.Model:
    model = keras_vit.VisionTransformer(**{**EXACT, **overrides})
    randomise(model, rng)
    model.preprocessing = IMAGENET
    return model


def bare(source, target) -> None:
    """Writes a file's arrays without its metadata."""
    save_file(load_file(source), str(target))


def prepared(processor, images: np.ndarray) -> np.ndarray:
    """What transformers makes of them, channels last."""
    return processor(list(images), return_tensors="np")["pixel_values"].transpose(0, 2, 3, 1)


@pytest.mark.filterwarnings("ignore:.*would compute something else")
@pytest.mark.parametrize("target", PATHS)
def test_a_file_of_ours_says_it_alone(rng, tmp_path, target):
    """Without a configuration beside it, whatever the other project's own weights expect."""
    path = tmp_path / "there" / PATHS[target]
    path.parent.mkdir()
    model = vit(rng)
    keras_vit.export_weights(model, path, target=target)
    path = path.rename(tmp_path / path.name)
    loaded = keras_vit.VisionTransformer(**EXACT)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", UNKNOWN)
        keras_vit.load_weights(loaded, path)
        named = keras_vit.create_model("ViT-S/4", (16, 12, 3), 3, weights=path, **SIZES)
        made = keras_vit.from_checkpoint(path)
        grey = keras_vit.from_checkpoint(path, input_shape=(8, 12, 1), adapt=True)
        anything = keras_vit.from_checkpoint(path, input_shape=(None, None, 3))
    for each in (loaded, made, anything):
        assert keras_vit.preprocessing_of(each) == keras_vit.preprocessing_of(model)
    assert keras_vit.preprocessing_of(named).size == (16, 12)
    assert keras_vit.preprocessing_of(named).mean == IMAGENET.mean
    np.testing.assert_allclose(keras_vit.preprocessing_of(grey).mean, [1.347 / 3])


def test_that_the_authors_code_prepares_images_otherwise_is_told(rng, tmp_path):
    model = vit(rng, activation="gelu_tanh")
    with pytest.warns(
        UserWarning, match=r"maps images to \[-1, 1\], and this model's have the mean"
    ):
        keras_vit.export_weights(model, tmp_path / "vit.npz")
    model.preprocessing = None
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        keras_vit.export_weights(model, tmp_path / "vit.npz")


def test_older_files_of_ours_are_read_as_before(rng, tmp_path):
    """Their metadata say nothing of images."""
    keras_vit.export_weights(vit(rng, activation="gelu_tanh"), tmp_path / "vit.npz")
    with zipfile.ZipFile(tmp_path / "vit.npz", "a") as archive:
        said = json.loads(archive.comment)
        del said["preprocessing"], said["position_interpolation"]
        archive.comment = json.dumps(said).encode()
    model = keras_vit.from_checkpoint(tmp_path / "vit.npz")
    assert keras_vit.preprocessing_of(model) == keras_vit.Preprocessing(size=(8, 12))
    assert model.positions == keras_vit.Positions()


@pytest.mark.parametrize(
    "said", ["half", "3", "[]", "{}", '{"mean": [0.5], "deviation": 2}', "[" * 100_000]
)
def test_damaged_metadata_are_told_before_anything_is_loaded(rng, tmp_path, said):
    arrays = files.timm_vit(files.vit_jax(rng))
    plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    metadata = {"num_heads": "2", "preprocessing": said}
    save_file(plain, str(tmp_path / "vit.safetensors"), metadata=metadata)
    model = keras_vit.VisionTransformer(**EXACT)
    before = model.get_weights()
    with pytest.raises(ValueError, match="of how images are prepared is damaged"):
        keras_vit.load_weights(model, tmp_path / "vit.safetensors")
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_where_nothing_says_it_what_was_known_stays_or_a_warning_comes(rng, tmp_path):
    path = tmp_path / "bare.safetensors"
    arrays = files.timm_vit(files.vit_jax(rng))
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, str(path))
    model = keras_vit.VisionTransformer(**EXACT)
    with pytest.warns(UserWarning, match=UNKNOWN) as told:
        keras_vit.load_weights(model, path)
    assert told[0].filename == __file__
    with pytest.warns(UserWarning, match=UNKNOWN) as told:
        keras_vit.create_model("ViT-S/4", files.VIT["input_shape"], 3, weights=path, **SIZES)
    assert told[0].filename == __file__
    model.preprocessing = IMAGENET
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        keras_vit.load_weights(model, path)
    assert model.preprocessing == IMAGENET


def test_transformers_is_told_beside_a_file_of_any_name(rng, tmp_path):
    model = vit(rng)
    keras_vit.export_weights(model, tmp_path / "tuned.safetensors", target="huggingface")
    keras_vit.export_weights(model, tmp_path / "tuned.safetensors", target="huggingface")
    theirs = hf.CLIPImageProcessor.from_pretrained(tmp_path)
    assert tuple(theirs.image_mean) == IMAGENET.mean
    # of a file without a word of its own beside it nothing is said
    bare(tmp_path / "tuned.safetensors", tmp_path / "theirs.safetensors")
    with pytest.warns(UserWarning, match=UNKNOWN):
        keras_vit.load_weights(
            keras_vit.VisionTransformer(**EXACT), tmp_path / "theirs.safetensors"
        )
    (tmp_path / "config.json").unlink()
    with pytest.raises(ValueError, match=r"preprocessor_config\.json describes another model than"):
        keras_vit.export_weights(model, tmp_path / "other.safetensors", target="huggingface")


def test_images_for_a_model_of_any_size_are_made_to_fill_its_grid(rng, tmp_path):
    """What transformers takes without a further word is as large as its positions."""
    fixed = vit(rng, input_shape=(12, 12, 3), patch_size=4)
    model = keras_vit.for_finetuning(fixed, 3, (None, None, 3))
    randomise(model, rng)
    assert keras_vit.preprocessing_of(model).size is None
    keras_vit.export_weights(model, tmp_path, target="huggingface")
    theirs = hf.CLIPImageProcessor.from_pretrained(tmp_path)
    images = rng.integers(0, 256, size=(2, 30, 24, 3)).astype("uint8")
    expected = keras_vit.preprocess_input(images, fixed)
    np.testing.assert_allclose(prepared(theirs, images), expected, atol=1.2 / 255 / 0.224)
    again = keras_vit.from_checkpoint(tmp_path, input_shape=(None, None, 3))
    assert keras_vit.preprocessing_of(again) == keras_vit.preprocessing_of(fixed)


@pytest.mark.filterwarnings("ignore:.*would compute something else")
@pytest.mark.parametrize("target", PATHS)
def test_a_crop_of_the_whole_image_goes_along(rng, tmp_path, target):
    """In our metadata, and in the words of timm ("squash") and transformers (DeiT's)."""
    model = vit(rng)
    model.preprocessing = replace(IMAGENET, resize="whole")
    path = tmp_path / PATHS[target]
    keras_vit.export_weights(model, path, target=target)
    settings = keras_vit.preprocessing_of(model)
    assert settings.box == (9, 13)
    assert keras_vit.preprocessing_of(keras_vit.from_checkpoint(path)) == settings
    if target == "google":
        return
    bare(path, path)
    found = keras_vit.preprocessing_of(keras_vit.from_checkpoint(path))
    assert (found.size, found.box, found.resize) == (settings.size, settings.box, "whole")


@pytest.mark.filterwarnings("ignore:.*would compute something else")
def test_transformers_processor_of_images_inside_another_file(rng, tmp_path):
    """Which transformers reads before `preprocessor_config.json`, and so has to be told as well."""
    ours = vit(rng)
    keras_vit.export_weights(ours, tmp_path, target="huggingface")
    weights = tmp_path / "model.safetensors"
    bare(weights, weights)
    kind = hf.ViTImageProcessor
    kind(size={"height": 8, "width": 12}, image_mean=[0.1, 0.2, 0.3]).save_pretrained(tmp_path)
    flat = keras_vit.preprocessing_of(keras_vit.from_checkpoint(tmp_path))
    assert flat.mean == (0.1, 0.2, 0.3)
    inside = json.loads((tmp_path / "preprocessor_config.json").read_text())
    other = {**inside, "image_mean": [0.7, 0.8, 0.9]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(other))
    processor = tmp_path / "processor_config.json"
    processor.write_text(json.dumps({"processor_class": "P", "image_processor": inside}))
    assert list(kind.from_pretrained(tmp_path).image_mean) == [0.1, 0.2, 0.3]
    assert keras_vit.preprocessing_of(keras_vit.from_checkpoint(tmp_path)) == flat

    keras_vit.export_weights(ours, tmp_path, target="huggingface")
    bare(weights, weights)
    assert json.loads(processor.read_text())["processor_class"] == "P"
    assert tuple(hf.CLIPImageProcessor.from_pretrained(tmp_path).image_mean) == IMAGENET.mean
    again = keras_vit.preprocessing_of(keras_vit.from_checkpoint(tmp_path))
    assert (again.mean, again.interpolation) == (IMAGENET.mean, "bicubic")

    alone = tmp_path / "alone"
    alone.mkdir()
    for said in ('{"image_processor": {}}', "{"):
        (alone / processor.name).write_text(said)
        with pytest.raises(ValueError, match=r"/processor_config\.json describes another model"):
            keras_vit.export_weights(ours, alone / "vit.safetensors", target="huggingface")
    (alone / processor.name).write_text('{"processor_class": "P"}')
    keras_vit.export_weights(ours, alone / "vit.safetensors", target="huggingface")
    assert (alone / processor.name).read_text() == '{"processor_class": "P"}'
    (alone / processor.name).write_text("{")
    keras_vit.export_weights(ours, alone, target="huggingface")
    assert tuple(hf.CLIPImageProcessor.from_pretrained(alone).image_mean) == IMAGENET.mean


def test_a_resnet_of_any_size_has_images_of_theirs(rng, tmp_path):
    model = keras_vit.ResNet((None, None, 3), (1,), width_factor=1 / 8, groups=4, classes=3)
    randomise(model, rng)
    model.preprocessing = IMAGENET
    keras_vit.export_weights(model, tmp_path, target="huggingface")
    theirs = hf.ViTImageProcessor.from_pretrained(tmp_path)
    images = rng.integers(0, 256, size=(2, 16, 24, 3)).astype("uint8")
    expected = keras_vit.preprocess_input(images, model)
    np.testing.assert_allclose(prepared(theirs, images), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("told", "size"),
    [
        ({"size": {"height": 8, "width": 6}}, (8, 6)),
        ({"size": 9}, (9, 9)),
        ({"size": {"shortest_edge": 7}}, (7, 7)),
        ({"size": {"shortest_edge": 9}, "do_center_crop": True, "crop_size": 8}, (8, 8)),
        ({"size": 9, "do_center_crop": True, "crop_size": 8}, (8, 8)),
        ({"size": {"longest_edge": 9}}, None),
        ({"do_resize": True}, None),
    ],
)
def test_the_size_of_the_checkpoints_images(rng, tmp_path, told, size):
    """Which a model for images of any size remembers, in the words of transformers."""
    keras_vit.export_weights(vit(rng), tmp_path, target="huggingface")
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(told))
    bare(tmp_path / "model.safetensors", tmp_path / "model.safetensors")
    model = keras_vit.from_checkpoint(tmp_path, input_shape=(None, None, 3))
    assert keras_vit.preprocessing_of(model).size == size


@pytest.mark.parametrize(
    ("kind", "resize"),
    [
        ({"feature_extractor_type": "DeiTFeatureExtractor"}, "whole"),
        ({"image_processor_type": "DeiTImageProcessorFast"}, "whole"),
        ({"image_processor_type": "CLIPImageProcessor"}, "cover"),
        ({}, "cover"),
    ],
)
def test_a_single_number_is_of_both_sides_or_of_the_shorter_one(rng, tmp_path, kind, resize):
    """As in the file of the published DeiT, whose class makes a square of it; CLIP's does not."""
    keras_vit.export_weights(vit(rng), tmp_path, target="huggingface")
    told = {**kind, "size": 14, "do_center_crop": True, "crop_size": 8, "image_mean": 0.25}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(told))
    bare(tmp_path / "model.safetensors", tmp_path / "model.safetensors")
    model = keras_vit.from_checkpoint(tmp_path, input_shape=(None, None, 3))
    settings = keras_vit.preprocessing_of(model)
    assert (settings.box, settings.resize) == ((14, 14), resize)
    assert (settings.mean, settings.deviation) == ((0.25,) * 3, (1.0,) * 3)
