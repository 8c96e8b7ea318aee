"""What does not fit is one error with all names, and leaves the model as it was."""

import warnings

import keras
import numpy as np
import pytest

import keras_vit
from tests.keras_vit.weights import files


@pytest.fixture
def model() -> keras.Model:
    return keras_vit.VisionTransformer(**files.VIT)


@pytest.fixture
def write(tmp_path):
    def write(arrays: files.Arrays):
        np.savez(tmp_path / "vit.npz", **arrays)
        return tmp_path / "vit.npz"

    return write


def test_one_error_lists_all_names_and_changes_nothing(rng, model, write):
    arrays = files.vit_jax(rng)
    del arrays["Transformer/encoderblock_1/LayerNorm_0/bias"]
    del arrays["cls"]
    arrays["Transformer/encoderblock_7/LayerNorm_0/bias"] = np.zeros(8, "float32")
    arrays["embedding/bias"] = np.zeros(9, "float32")
    before = model.get_weights()
    with pytest.raises(ValueError) as error:
        keras_vit.load_weights(model, write(arrays))
    for part in (
        "2 missing in the file: cls, Transformer/encoderblock_1/LayerNorm_0/bias",
        "1 unexpected in the file: Transformer/encoderblock_7/LayerNorm_0/bias",
        "1 of the wrong shape: embedding/bias is (9,), needs (8,)",
    ):
        assert part in str(error.value)
    assert "replace" not in str(error.value)
    for old, new in zip(before, model.get_weights()):
        np.testing.assert_array_equal(old, new)


def test_names_in_errors_are_the_files_own(rng, model, write):
    arrays = files.big_vision(files.vit_jax(rng))
    arrays["params/Transformer/encoderblock_0/MlpBlock_0/Dense_0/bias"] = np.zeros(3, "float32")
    message = r"params/Transformer/encoderblock_0/MlpBlock_0/Dense_0/bias is \(3,\), needs \(12,\)"
    with pytest.raises(ValueError, match=message):
        keras_vit.load_weights(model, write(arrays))


def test_other_number_of_heads_has_the_same_sizes_but_not_shapes(rng, model, write):
    with pytest.raises(ValueError, match=r"query/kernel is \(8, 4, 2\), needs \(8, 2, 4\)"):
        keras_vit.load_weights(model, write(files.vit_jax(rng, heads=4)))


def test_transposed_patches_are_noticed(rng, model, write):
    with pytest.raises(ValueError, match=r"embedding/kernel is \(2, 4, 3, 8\)"):
        keras_vit.load_weights(model, write(files.vit_jax(rng, patch=(2, 4))))


def test_only_the_head_is_replaced_and_only_when_asked(rng, model, write):
    arrays = files.vit_jax(rng, classes=11)
    path = write(arrays)
    with pytest.raises(ValueError, match='Only the head differs: head="replace"'):
        keras_vit.load_weights(model, path)
    kept = model.get_layer("head").get_weights()
    keras_vit.load_weights(model, path, head="replace")
    for old, new in zip(kept, model.get_layer("head").get_weights()):
        np.testing.assert_array_equal(old, new)
    cls = model.get_layer("class_token").get_weights()[0]
    np.testing.assert_array_equal(cls, arrays["cls"])
    del arrays["cls"]
    with pytest.raises(ValueError, match="missing in the file: cls"):
        keras_vit.load_weights(model, write(arrays), head="replace")
    with pytest.raises(ValueError, match="head is 'keep'; use one of 'load', 'replace'"):
        keras_vit.load_weights(model, path, head="keep")


def test_representation_layer_belongs_to_the_head(rng, write):
    arrays = files.vit_jax(rng, classes=11, representation=5)
    path = write(arrays)
    without = keras_vit.VisionTransformer(**files.VIT)
    keras_vit.load_weights(without, path, head="replace")
    same = keras_vit.VisionTransformer(**files.VIT, representation_size=5)
    keras_vit.load_weights(same, path, head="replace")
    kernel = same.get_layer("pre_logits").get_weights()[0]
    np.testing.assert_array_equal(kernel, arrays["pre_logits/kernel"])
    other = keras_vit.VisionTransformer(**files.VIT, representation_size=4)
    kept = other.get_layer("pre_logits").get_weights()[0]
    keras_vit.load_weights(other, path, head="replace")
    np.testing.assert_array_equal(other.get_layer("pre_logits").get_weights()[0], kept)
    bare = keras_vit.VisionTransformer(**{**files.VIT, "classes": None})
    keras_vit.load_weights(bare, path, head="replace")


def test_activation_belongs_to_the_format(rng, write):
    path = write(files.vit_jax(rng))
    exact = keras_vit.VisionTransformer(**files.VIT, activation="gelu")
    message = (
        "does not fit the model's activation 'gelu': google's files mean activation='gelu_tanh'"
    )
    with pytest.raises(ValueError, match=message):
        keras_vit.load_weights(exact, path)
    keras_vit.load_weights(exact, path, allow_activation_mismatch=True)


@pytest.mark.parametrize("source", ["timm", "huggingface", "keras_hub"])
def test_the_other_formats_mean_the_exact_gelu(rng, tmp_path, source):
    """Files without a word about it: the names alone decide."""
    arrays = {
        "timm": lambda: files.timm_vit(files.vit_jax(rng)),
        "huggingface": lambda: {"embeddings.patch_embeddings.projection.weight": np.zeros(1)},
        "keras_hub": lambda: {
            "layers/vi_t_patching_and_embedding/patch_embedding/vars/0": np.zeros(1)
        },
    }[source]()
    np.savez(tmp_path / "theirs.npz", **arrays)
    message = (
        f"the model's activation 'gelu_tanh': {source}'s files mean activation='gelu' unless .* "
        r"load_weights \(not create_model\) and allow_activation_mismatch=True"
    )
    with pytest.raises(ValueError, match=message):
        keras_vit.load_weights(keras_vit.VisionTransformer(**files.VIT), tmp_path / "theirs.npz")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"interpolation": "cubic"}, "interpolation is 'cubic'; use one of 'bilinear', 'bicubic'"),
        ({"grid": (2, 0)}, r"grid is \(2, 0\)"),
        ({"grid": "2x6"}, "grid is '2x6'"),
    ],
)
def test_wrong_arguments_are_named_also_where_the_grids_agree(
    rng, model, write, arguments, message
):
    with pytest.raises(ValueError, match=message):
        keras_vit.load_weights(model, write(files.vit_jax(rng)), **arguments)


@pytest.mark.parametrize("path", [None, 3])
def test_a_path_is_wanted(model, path):
    with pytest.raises(ValueError, match="give the path of a checkpoint"):
        keras_vit.load_weights(model, path)


def test_weights_come_before_lora_and_quantisation(rng, write):
    path = write(files.vit_jax(rng))
    adapted, quantised = (keras_vit.VisionTransformer(**files.VIT) for _ in range(2))
    keras_vit.enable_lora(adapted, rank=1)
    with pytest.raises(ValueError, match="call enable_lora afterwards"):
        keras_vit.load_weights(adapted, path)
    quantised.quantize("int8")
    with pytest.raises(ValueError, match=r"is quantised \(int8\).*before quantize"):
        keras_vit.load_weights(quantised, path)
    with pytest.raises(ValueError, match=r"is quantised \(int8\).*before quantize"):
        keras_vit.export_weights(quantised, path)


def test_another_epsilon_never_blocks(rng, write):
    other = keras_vit.VisionTransformer(**files.VIT, epsilon=1e-3)
    keras_vit.load_weights(other, write(files.vit_jax(rng)))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "bicubic_antialias"])
def test_position_embeddings_are_interpolated(rng, write, interpolation):
    """By the same argument where a file is loaded, named, and fine-tuned from."""
    arrays = files.vit_jax(rng, grid=(3, 3))
    path, shape = write(arrays), (16, 10, 3)
    table = arrays["Transformer/posembed_input/pos_embedding"]
    expected = keras_vit.resample_position_embedding(
        table, (3, 3), (4, 5), interpolation=interpolation
    )
    loaded = keras_vit.VisionTransformer(**{**files.VIT, "input_shape": shape})
    keras_vit.load_weights(loaded, path, interpolation=interpolation)
    sizes = {k: v for k, v in files.VIT.items() if k not in ("input_shape", "classes")}
    named = keras_vit.create_model(
        "ViT-S/4", shape, 3, weights=path, interpolation=interpolation, **sizes
    )
    source = keras_vit.VisionTransformer(**{**files.VIT, "input_shape": (12, 6, 3)})
    keras_vit.load_weights(source, path)
    tuned = keras_vit.for_finetuning(source, 3, shape, interpolation=interpolation)
    for model in (loaded, named, tuned):
        result = model.get_layer("position_embedding").get_weights()[0]
        np.testing.assert_array_equal(result, expected)


def test_kinds_of_position_embedding_must_agree(rng, write):
    path = write(files.vit_jax(rng))
    for kind in ("learned_2d", "relative"):
        model = keras_vit.VisionTransformer(**files.VIT, position_embedding=kind)
        with pytest.raises(ValueError, match="without a name in google's files"):
            keras_vit.load_weights(model, path)
    model = keras_vit.VisionTransformer(**files.VIT, position_embedding="none")
    with pytest.raises(ValueError, match="unexpected in the file: Transformer/posembed_input"):
        keras_vit.load_weights(model, path)


def test_family_must_agree(rng, tmp_path, model):
    np.savez(tmp_path / "bit.npz", **files.big_transfer(rng, (1,)))
    with pytest.raises(ValueError, match=r"holds a ResNet \(BiT\), but the model is a Vision"):
        keras_vit.load_weights(model, tmp_path / "bit.npz")


@pytest.mark.parametrize("function", ["load_weights", "export_weights"])
def test_other_models_are_refused(tmp_path, function):
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="takes a VisionTransformer or ResNet"):
        getattr(keras_vit, function)(other, tmp_path / "vit.npz")


@pytest.mark.parametrize("name", ["head", "pre_logits"])
def test_a_layer_of_zeros_before_the_output_is_told(rng, write, name):
    """Nothing else in the file shows that every image gets the same output."""
    arrays = files.vit_jax(rng, representation=5)
    model = keras_vit.VisionTransformer(**files.VIT, representation_size=5)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        keras_vit.load_weights(model, write(arrays))
    arrays[f"{name}/kernel"][:] = 0
    layer = {"head": "head", "pre_logits": "representation layer"}[name]
    with pytest.warns(UserWarning, match=f"The {layer} of .* is all zeros.*same output"):
        keras_vit.load_weights(model, write(arrays))
    with warnings.catch_warnings():
        warnings.simplefilter(
            "error", UserWarning
        )  # a head that stays out of the model does not matter
        bare = keras_vit.VisionTransformer(**files.VIT)
        keras_vit.load_weights(bare, write(arrays), head="replace")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_not_loaded(rng, model, write, value):
    arrays = files.big_vision(files.vit_jax(rng))
    name = "params/Transformer/encoderblock_1/MlpBlock_0/Dense_0/kernel"
    arrays[name][0, 0] = value
    before = model.get_weights()
    with pytest.raises(ValueError, match=rf"infinite or not a number \(NaN\) in {name}, as after"):
        keras_vit.load_weights(model, write(arrays))
    for old, new in zip(before, model.get_weights()):
        np.testing.assert_array_equal(old, new)
