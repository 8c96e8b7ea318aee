"""Models for images of any size compute what a model of that size does."""

import json

import keras
import numpy as np
import pytest
import torch
import transformers as hf
from safetensors.numpy import save_file

import keras_vit
from keras_vit.layers.resample import INTERPOLATIONS
from tests.contracts import forward, numpy, randomise
from tests.keras_vit.weights import oracles
from tests.keras_vit.weights import timm_reference as timm

VIT = dict(
    input_shape=(12, 16, 3),
    patch_size=4,
    num_layers=1,
    hidden_size=8,
    mlp_dim=16,
    num_heads=2,
    classes=3,
)
KINDS = {
    "bilinear": ({}, "bilinear"),
    "bicubic": ({"registers": 2, "distilled": True, "classifier": "distilled"}, "bicubic"),
    "antialias": ({"registers": 2, "class_slot": False}, "bicubic_antialias"),
    "2d": ({"position_embedding": "learned_2d", "classifier": "gap"}, "bicubic"),
    "sincos": ({"position_embedding": "sincos2d", "classifier": "map"}, "bilinear"),
    "none": ({"position_embedding": "none"}, "bilinear"),
    "hybrid": ({"input_shape": (24, 32, 3), "patch_size": 2, "stem_block_counts": (1,)}, "bicubic"),
}


def of_size(model: keras.Model, shape: tuple, interpolation: str | None = None) -> keras.Model:
    """The same model for another size, with its own heads."""
    new = keras_vit.for_finetuning(model, 3, shape, interpolation=interpolation)
    for layer in model.layers:
        if layer.name.endswith("head"):
            new.get_layer(layer.name).set_weights(layer.get_weights())
    return new


@pytest.mark.parametrize("kind", KINDS)
def test_any_image_gets_what_a_model_of_its_size_computes(rng, kind):
    """By way of position embeddings that are interpolated as arrays, which others' code checks."""
    arguments, interpolation = KINDS[kind]
    model = keras_vit.VisionTransformer(**{**VIT, **arguments})
    randomise(model)
    any_size = of_size(model, (None, None, 3), interpolation)
    height, width, _ = model.input_shape[1:]
    shape = (2 * height, width // 2, 3)
    images = rng.normal(size=(2, *shape)).astype("float32")
    expected = numpy(forward(of_size(model, shape, interpolation), images))
    np.testing.assert_allclose(numpy(forward(any_size, images)), expected, atol=2e-6)


def test_sizes_that_the_graph_does_not_know(rng):
    """`predict` compiles once for sizes that it has not seen."""
    model = keras_vit.VisionTransformer(**VIT)
    randomise(model)
    any_size = of_size(model, (None, None, 3), "bicubic")
    fixed = {(12, 16): model, (16, 40): of_size(model, (16, 40, 3), "bicubic")}
    for size in ((12, 16), (24, 16), (16, 40)):
        images = rng.normal(size=(1, *size, 3)).astype("float32")
        found = any_size.predict(images, verbose=0)
        if size in fixed:
            expected = numpy(forward(fixed[size], images))
            np.testing.assert_allclose(found, expected, atol=2e-6)
    with pytest.raises(
        Exception, match=r"image width\W+13\W+is not a multiple of the patch width 4"
    ):
        any_size.predict(np.zeros((1, 8, 13, 3), "float32"), verbose=0)


ONE_BLOCK = oracles.sizes(image_size=12, num_hidden_layers=1)
# model class, configuration, the output that ours is, whether the sizes need a word
TRANSFORMERS = {
    "vit": (hf.ViTForImageClassification, hf.ViTConfig(**ONE_BLOCK), "logits", True),
    "siglip": (hf.SiglipVisionModel, hf.SiglipVisionConfig(**ONE_BLOCK), "pooler_output", True),
    "dinov2 with registers": (
        hf.Dinov2WithRegistersModel,
        hf.Dinov2WithRegistersConfig(**{**ONE_BLOCK, "intermediate_size": None}),
        "pooler_output",
        False,
    ),
}


@pytest.mark.filterwarnings("ignore:Nothing beside")
@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformers_interpolates_alike(rng, tmp_path, name):
    """`interpolate_pos_encoding=True` is Hugging Face's own way to other sizes, and DINOv2's always."""
    made, config, field, asked = TRANSFORMERS[name]
    theirs = oracles.saved(made(config), tmp_path)
    model = keras_vit.from_checkpoint(tmp_path, input_shape=(None, None, 3))
    images = oracles.images(rng, 2, 28, 8, 3)  # more rows and fewer columns than theirs
    how = {"interpolate_pos_encoding": True} if asked else {}
    expected = oracles.outputs(theirs, images, field, **how)
    oracles.assert_close(numpy(forward(model, images)), expected)


@pytest.mark.filterwarnings("ignore:Nothing beside")
@pytest.mark.parametrize("slots", [True, False])
def test_timm_interpolates_alike(rng, tmp_path, slots):
    """`dynamic_img_size=True` there: PyTorch's bicubic with antialias, tokens' own rows as they are."""
    arrays = timm.draw(rng, registers=2, slots=slots, depth=1)
    save_file(arrays, str(tmp_path / "model.safetensors"))
    args = {"img_size": [12, 8], "num_heads": timm.HEADS, "no_embed_class": not slots}
    config = {"architecture": "vit_tiny_patch16_224", "model_args": args}
    (tmp_path / "config.json").write_text(json.dumps(config))
    model = keras_vit.from_checkpoint(tmp_path, input_shape=(None, None, 3))
    table = arrays["pos_embed"]
    prefix, patches = table[:, : 3 * slots], torch.from_numpy(table[:, 3 * slots :])
    patches = patches.reshape(1, 3, 2, -1).permute(0, 3, 1, 2)
    patches = torch.nn.functional.interpolate(patches, (2, 5), mode="bicubic", antialias=True)
    patches = patches.permute(0, 2, 3, 1).reshape(1, 10, -1).numpy()
    images = rng.normal(size=(2, 8, 20, 3)).astype("float32")
    expected = timm.forward({**arrays, "pos_embed": np.concatenate([prefix, patches], 1)}, images)
    oracles.assert_close(numpy(forward(model, images)), expected)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_weights_keep_their_own_grid(rng, tmp_path, interpolation):
    """No image is interpolated twice: the file's table is the model's."""
    source = keras_vit.VisionTransformer(**VIT)
    randomise(source)
    keras_vit.export_weights(source, tmp_path / "vit.npz")
    sizes = {key: VIT[key] for key in ("num_layers", "hidden_size", "mlp_dim", "num_heads")}
    model = keras_vit.create_model(
        "ViT-S/4",
        (None, None, 3),
        3,
        weights=tmp_path / "vit.npz",
        interpolation=interpolation,
        **sizes,
    )
    assert model.grid == source.grid == (3, 4)
    table = model.get_layer("position_embedding").get_weights()[0]
    expected = source.get_layer("position_embedding").get_weights()[0]
    np.testing.assert_array_equal(table, expected)
    images = rng.normal(size=(1, 20, 24, 3)).astype("float32")
    expected = numpy(forward(of_size(source, (20, 24, 3), interpolation), images))
    np.testing.assert_allclose(numpy(forward(model, images)), expected, atol=2e-6)
    back = of_size(model, (20, 24, 3))  # by the model's own interpolation
    np.testing.assert_allclose(numpy(forward(back, images)), expected, atol=2e-6)


def test_without_weights_the_grid_is_that_of_224_pixels():
    sizes = {key: VIT[key] for key in ("num_layers", "hidden_size", "mlp_dim", "num_heads")}
    model = keras_vit.create_model("ViT-S/16", (None, None, 3), 3, **sizes)
    assert model.positions == keras_vit.Positions(grid=None) and model.grid == (14, 14)
    own = keras_vit.Positions(grid=(2, 3), interpolation="bicubic")
    for interpolation in (None, "bicubic_antialias"):
        model = keras_vit.create_model(
            "ViT-S/16",
            (None, None, 3),
            3,
            position_embedding=own,
            interpolation=interpolation,
            **sizes,
        )
        assert model.positions.interpolation == (interpolation or "bicubic")
        assert model.grid == (2, 3)
    positions = keras_vit.Positions(grid=(2, 5))
    model = keras_vit.VisionTransformer(
        **{**VIT, "input_shape": (None, 32, 3)}, position_embedding=positions
    )
    assert model.grid == (2, 5) and model.grid_of((16, 32)) == (4, 8)


def test_a_file_keeps_the_grid_and_the_interpolation(rng, tmp_path):
    model = keras_vit.VisionTransformer(
        **{**VIT, "input_shape": (3, 12, 16)}, data_format="channels_first"
    )
    randomise(model)
    any_size = of_size(model, (3, None, None), "bicubic")
    any_size.save(tmp_path / "vit.keras")
    loaded = keras.saving.load_model(tmp_path / "vit.keras")
    assert loaded.positions == keras_vit.Positions("learned", (3, 4), "bicubic")
    images = rng.normal(size=(1, 3, 20, 24)).astype("float32")
    expected = numpy(forward(any_size, images))
    np.testing.assert_array_equal(numpy(forward(loaded, images)), expected)
    assert model.get_config()["position_embedding"] == "learned"  # as in older files
    fixed = of_size(any_size, (3, 20, 24))
    assert fixed.positions == keras_vit.Positions("learned", None, "bicubic")
    assert of_size(model, (3, 20, 24)).get_config()["position_embedding"] == "learned"


def test_positions_train_through_their_interpolation(rng):
    model = keras_vit.VisionTransformer(**{**VIT, "input_shape": (None, None, 3)})
    randomise(model)
    before = model.get_layer("position_embedding").get_weights()[0]
    model.compile(keras.optimizers.SGD(0.1), "mse")
    images = rng.normal(size=(2, 8, 24, 3)).astype("float32")
    assert np.isfinite(model.train_on_batch(images, np.ones((2, 3))))
    assert np.abs(model.get_layer("position_embedding").get_weights()[0] - before).max() > 0


def test_attention_maps_are_those_of_the_size(rng):
    model = keras_vit.VisionTransformer(**VIT)
    randomise(model)
    images = rng.normal(size=(2, 20, 24, 3)).astype("float32")
    any_size = of_size(model, (None, None, 3), "bicubic")
    for size in ((8, 8), (16, 12)):  # after two, TensorFlow's graph does not know the size
        small = rng.normal(size=(1, *size, 3)).astype("float32")
        assert keras_vit.inspection.attention_map(any_size, small).shape == (1, *size)
    expected = keras_vit.inspection.attention_map(of_size(model, (20, 24, 3), "bicubic"), images)
    result = keras_vit.inspection.attention_map(any_size, images)
    np.testing.assert_allclose(result, expected, atol=1e-5)
    with pytest.raises(ValueError, match=r"the model takes \(B, None, None, 3\)"):
        keras_vit.inspection.attention_map(any_size, images[..., :1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"input_shape": (12, 16, 3), "position_embedding": {"grid": (3, 3)}},
            r"grid is \(3, 3\) and that of images of input_shape=\(12, 16, 3\) \(3, 4\)",
        ),
        ({"position_embedding": "relative"}, "needs images of one size.*for_finetuning"),
        ({"input_shape": (None, None, None)}, "or None for H or W that may be any"),
        ({"input_shape": (None, None, 3), "data_format": "channels_first"}, "None for H or W"),
        ({"position_embedding": "learned_3d"}, "position_embedding is 'learned_3d'; use one of"),
        ({"position_embedding": {"grid": (0, 2)}}, r"grid is \(0, 2\)"),
        ({"position_embedding": {"interpolation": "cubic"}}, "interpolation is 'cubic'"),
    ],
)
def test_what_cannot_be_is_said(arguments, message):
    with pytest.raises(ValueError, match=message):
        keras_vit.VisionTransformer(**{**VIT, "input_shape": (None, None, 3), **arguments})


def test_it_is_said_where_others_interpolate_otherwise(tmp_path):
    positions = keras_vit.Positions(grid=(3, 4), interpolation="bicubic_antialias")
    arguments = {**VIT, "input_shape": (None, None, 3), "position_embedding": positions}
    model = keras_vit.VisionTransformer(**arguments)
    with pytest.warns(UserWarning, match="positions interpolated by 'bicubic', not 'bicubic_anti"):
        keras_vit.export_weights(model, tmp_path / "theirs", target="huggingface")


def test_images_that_the_patches_do_not_fill_and_masked_patches_are_refused():
    model = keras_vit.VisionTransformer(**{**VIT, "input_shape": (None, None, 3)})
    with pytest.raises(ValueError, match="height 13 is not a multiple of the patch height 4"):
        model(np.zeros((1, 13, 16, 3), "float32"))
    with pytest.raises(ValueError, match="MaskedPatchModel needs images of one size"):
        keras_vit.pretraining.MaskedPatchModel(model)
    with pytest.raises(ValueError, match="unknown sides"):
        keras_vit.flops(model)
