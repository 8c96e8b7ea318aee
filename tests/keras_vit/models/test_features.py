"""The tokens of blocks and the maps of stages, of plain, fine-tuned and nested models."""

import logging

import keras
import numpy as np
import pytest
import torch
import transformers as hf

import keras_vit
from tests.contracts import forward, numpy, randomise
from tests.keras_vit.weights import oracles

VIT = dict(
    input_shape=(8, 12, 3),
    patch_size=4,
    num_layers=3,
    hidden_size=8,
    mlp_dim=16,
    num_heads=2,
    classes=3,
)
RESNET = dict(input_shape=(32, 40, 3), block_counts=(2, 1), width_factor=0.25, groups=4, classes=3)


@pytest.fixture
def model() -> keras.Model:
    vit = keras_vit.VisionTransformer(**VIT)
    randomise(vit)
    return vit


@pytest.fixture
def images(rng) -> np.ndarray:
    return rng.normal(size=(2, 8, 12, 3)).astype("float32")


def outputs(model, images):
    result = forward(model, images)
    return [numpy(t) for t in result] if isinstance(result, list | tuple) else numpy(result)


SIZES = oracles.sizes(image_size=12)
TRANSFORMERS = {
    "vit": hf.ViTModel(hf.ViTConfig(**oracles.sizes()), add_pooling_layer=False),
    "clip": hf.CLIPVisionModel(hf.CLIPVisionConfig(**SIZES)),
    "siglip": hf.SiglipVisionModel(hf.SiglipVisionConfig(**SIZES)),
    "dinov2 with registers": hf.Dinov2WithRegistersModel(
        hf.Dinov2WithRegistersConfig(**{**SIZES, "intermediate_size": None})
    ),
}


@pytest.mark.filterwarnings("ignore:Nothing beside")
@pytest.mark.parametrize("name", TRANSFORMERS)
def test_tokens_are_transformers_hidden_states(rng, tmp_path, name):
    """Before any norm; the last ones after the final norm are theirs, too, and any after theirs."""
    theirs = oracles.saved(TRANSFORMERS[name], tmp_path)
    model = keras_vit.from_checkpoint(tmp_path, classes=None)
    images = oracles.images(rng, 2, *model.input_shape[1:])
    with torch.no_grad():
        pixels = torch.from_numpy(images.transpose(0, 3, 1, 2))
        result = theirs(pixels, output_hidden_states=True)
    normed = name != "clip"  # whose norm is of the class token alone
    wanted = [0, 1, *(["encoder_norm"] if normed else [])]
    found = outputs(keras_vit.features(model, wanted, as_grid=False), images)
    for ours, expected in zip(found, result.hidden_states[1:], strict=False):
        oracles.assert_close(ours, expected.numpy())
    if normed:
        oracles.assert_close(found[2], result.last_hidden_state.numpy())


def test_the_final_norm_on_any_block(model, images):
    """As with timm's `norm=True`, on grids as on tokens: by hand, of the first block."""
    norm, tokens = model.get_layer("encoder_norm"), forward(keras_vit.features(model, 0), images)
    x = numpy(tokens).astype("float64")
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    expected = x * numpy(norm.gamma) + numpy(norm.beta)
    np.testing.assert_allclose(numpy(norm(tokens)), expected, atol=1e-4)


def test_maps_are_transformers_stages(rng, tmp_path):
    """Of a ResNet for images of any size."""
    logging.getLogger("transformers").setLevel(logging.ERROR)
    torch.manual_seed(0)
    source = hf.BitModel(
        hf.BitConfig(embedding_size=16, hidden_sizes=[64, 128], depths=[2, 1], num_groups=4)
    ).eval()
    for part in source.modules():
        if type(part).__name__ == "WeightStandardizedConv2d":
            part.eps = 1e-10  # as in the authors' code
    source.save_pretrained(tmp_path)
    model = keras_vit.ResNet(**{**RESNET, "classes": None, "input_shape": (None, None, 3)})
    keras_vit.load_weights(model, tmp_path)
    images = rng.normal(size=(1, 32, 40, 3)).astype("float32")
    with torch.no_grad():
        # In float64, so that only our own roundings count.
        pixels = torch.from_numpy(images.transpose(0, 3, 1, 2)).double()
        expected = source.double()(pixels, output_hidden_states=True).hidden_states[1:]
    expected = [stage.numpy().transpose(0, 2, 3, 1) for stage in expected]
    for ours, theirs in zip(outputs(keras_vit.features(model), images), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    flat = outputs(keras_vit.features(model, -1, as_grid=False), images)
    last = expected[-1].reshape(1, -1, 128)
    np.testing.assert_allclose(flat, last, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "prefix"),
    [
        ({}, 1),
        ({"classifier": "gap"}, 0),
        ({"registers": 2}, 3),
        ({"registers": 2, "class_slot": False, "distilled": True, "classifier": "distilled"}, 4),
        ({"stem_block_counts": (1,), "patch_size": 1}, 1),
    ],
)
def test_a_grid_is_the_patches_in_their_places(images, options, prefix):
    model = keras_vit.VisionTransformer(**{**VIT, **options})
    randomise(model)
    rows, columns = model.grid
    tokens = outputs(keras_vit.features(model, [0, -1], as_grid=False), images)
    grids = outputs(keras_vit.features(model, (0, np.int64(2))), images)
    for flat, grid in zip(tokens, grids, strict=True):
        assert flat.shape == (2, prefix + rows * columns, 8)
        np.testing.assert_array_equal(grid, flat[:, prefix:].reshape(2, rows, columns, 8))
    embedded = outputs(keras_vit.features(model, "patch_embedding"), images)
    assert embedded.shape == (2, rows, columns, 8)


def test_the_head_on_the_features_is_the_model(model, images):
    tokens = outputs(keras_vit.features(model, "encoder_norm", as_grid=False), images)
    kernel, bias = model.get_layer("head").get_weights()
    np.testing.assert_allclose(tokens[:, 0] @ kernel + bias, outputs(model, images), atol=1e-5)
    pooled = outputs(keras_vit.features(model, "pooling"), images)
    np.testing.assert_allclose(pooled, tokens[:, 0], atol=1e-6)


def test_nested_models_keep_what_stands_before(model, images):
    expected = outputs(keras_vit.features(model, 1), 2 * images)
    inputs = keras.Input((8, 12, 3))
    inner = keras.Model(inputs, keras.layers.Dense(2)(model(keras.layers.Rescaling(4.0)(inputs))))
    sequential = keras.Sequential([keras.Input((8, 12, 3)), keras.layers.Rescaling(2.0), model])
    twice = keras.Sequential([keras.Input((8, 12, 3)), keras.layers.Rescaling(0.5), inner])
    text = keras.Input((2,))
    two = keras.Model([text, inputs], keras.layers.Concatenate()([text, inner.output]))
    for outer in (sequential, twice):
        result = outputs(keras_vit.features(outer, 1), images)
        np.testing.assert_allclose(result, expected, atol=1e-5)
    result = outputs(keras_vit.features(two, 1), images / 2)  # from the images alone
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_the_layers_of_a_model_without_the_model(model, images, tmp_path):
    """As transfer learning is often written; a file of it has no ViT inside."""
    outer = keras.Model(model.input, keras.layers.Dense(2)(model.get_layer("pooling").output))
    expected = outputs(keras_vit.features(model, [0, 1]), images)
    outer.save(tmp_path / "outer.keras")
    for made in (outer, keras.saving.load_model(tmp_path / "outer.keras")):
        found = outputs(keras_vit.features(made, [0, 1]), images)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_layers_that_are_called_again_are_those_of_the_model(model, images):
    """With a layer of one's own between the blocks, which the ViT does not have."""
    x = model.get_layer("block_0").output
    x = model.get_layer("block_1")(keras.layers.ReLU()(x))
    outer = keras.Model(model.input, model.get_layer("block_2")(x))
    first, second, last = outputs(keras_vit.features(outer, as_grid=False), images)
    block = model.get_layer("block_1")
    np.testing.assert_allclose(second, numpy(block(np.maximum(first, 0))), atol=1e-5)
    np.testing.assert_allclose(last, outputs(outer, images), atol=1e-6)
    twice = keras.Model(model.input, block(block(keras.layers.ReLU()(x))))
    with pytest.raises(
        ValueError, match=r"which output of 'block_1' is meant: .* calls it 3 times"
    ):
        keras_vit.features(twice, "block_1")
    longer = keras.Model(model.input, block(keras.layers.Concatenate(axis=1, name="both")([x, x])))
    tokens = outputs(keras_vit.features(longer, "both", as_grid=False), images)
    assert tokens.shape == (2, 14, 8)
    with pytest.raises(ValueError, match=r"The 14 tokens .* 2 x 3 patches and 1 before them; give"):
        keras_vit.features(longer, "both")


def test_features_are_of_the_precision_of_their_layer():
    model = keras_vit.VisionTransformer(**VIT, dtype="mixed_bfloat16")
    for as_grid in (True, False):
        assert keras_vit.features(model, 0, as_grid).output.dtype == "bfloat16"


def test_fine_tuned_saved_and_of_any_size(model, images, tmp_path):
    expected = outputs(keras_vit.features(model, [0, 2]), images)
    tuned = keras_vit.for_finetuning(model, 5)
    keras_vit.enable_lora(tuned, rank=1)
    any_size = keras_vit.for_finetuning(model, 5, (None, None, 3))
    keras_vit.features(any_size, [0, 2]).save(tmp_path / "features.keras")
    loaded = keras.saving.load_model(tmp_path / "features.keras", safe_mode=True)
    for made in (keras_vit.features(tuned, [0, 2]), loaded):
        for ours, theirs in zip(outputs(made, images), expected, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert outputs(loaded, np.zeros((1, 16, 20, 3), "float32"))[0].shape == (1, 4, 5, 8)


def test_weights_are_shared(model, images):
    made = keras_vit.features(model, -1)
    assert {id(w) for w in made.weights} <= {id(w) for w in model.weights}
    before = outputs(made, images)
    block = model.get_layer("block_0")
    block.set_weights([weight + 0.1 for weight in block.get_weights()])
    assert np.abs(outputs(made, images) - before).max() > 1e-3


def test_what_cannot_be_followed_is_said(model):
    with pytest.raises(ValueError, match="has no layer 3; it has 3 blocks, and the layers patch_"):
        keras_vit.features(model, 3)
    for unknown in (["block_7"], True, 1.0):
        with pytest.raises(ValueError, match=r"has no layer ('block_7'|True|1\.0); it has"):
            keras_vit.features(model, unknown)
    with pytest.raises(ValueError, match="layers is empty"):
        keras_vit.features(model, [])
    inputs = keras.Input((3,))
    with pytest.raises(ValueError, match="this Functional has none inside"):
        keras_vit.features(keras.Model(inputs, keras.layers.Dense(2)(inputs)))
    images = keras.Input((8, 12, 3))
    other = keras_vit.VisionTransformer(**VIT, name="other")
    with pytest.raises(
        ValueError, match=r"several inside \(.*'other'.*\); give one: features\(model\.get"
    ):
        keras_vit.features(keras.Model(images, [model(images), other(images)]))
    masked = keras_vit.pretraining.MaskedPatchModel(model)
    with pytest.raises(ValueError, match=r"what is inside: features\(model\.vit, \.\.\.\)"):
        keras_vit.features(masked)
