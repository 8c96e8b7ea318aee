"""Models by name: what a name stands for, what overrides do, and what is refused."""

import json

import keras
import numpy as np
import pytest

import keras_vit
from tests.keras_vit.abstract import abstract_model

TINY = dict(input_shape=(8, 8, 3), num_layers=1, hidden_size=8, mlp_dim=8, num_heads=2)


@pytest.mark.once
def test_published_names():
    names = keras_vit.list_models()
    assert len(names) == len(set(names))
    wanted = {"ViT-Ti/16", "ViT-S/16", "ViT-B/16", "ViT-B/32", "ViT-L/16", "ViT-L/32", "ViT-H/14"}
    wanted |= {"ViT-g/14", "ViT-G/14", "R+ViT-Ti/16", "R26+ViT-S/32", "R26+ViT-B/32"}
    wanted |= {"R50+ViT-B/16", "R50+ViT-L/32", "BiT-R50x1", "BiT-R101x1", "BiT-R152x1"}
    wanted |= {"BiT-R50x2", "BiT-R152x2", "BiT-R200x3", "BiT-R50x3", "BiT-R101x3", "BiT-R152x4"}
    assert wanted <= set(names)


@pytest.mark.once
def test_the_list_is_a_copy():
    keras_vit.list_models().clear()
    assert keras_vit.list_models()


@pytest.mark.once
def test_every_name_gives_a_model_name_of_its_own():
    from keras_vit.models.variants import get_variant

    names = keras_vit.list_models()
    own = {get_variant(name).default_name for name in names}
    assert len(own) == len(names)
    assert all(name.isidentifier() for name in own)


def test_a_name_decides_the_sizes_and_overrides_win():
    model = abstract_model("ViT-S/8", input_shape=(32, 64, 3), classes=10, num_layers=2)
    config = model.get_config()
    assert (config["hidden_size"], config["mlp_dim"], config["num_heads"]) == (384, 1536, 6)
    assert config["num_layers"] == 2 and tuple(config["patch_size"]) == (8, 8)
    assert model.input_shape == (None, 32, 64, 3) and model.output_shape == (None, 10)
    assert model.get_layer("position_embedding").grid == (4, 8)


def test_a_model_has_its_variants_name_or_the_one_given():
    assert abstract_model("ViT-S/4", **TINY).name == "vit_s_4"
    assert abstract_model("ViT-S/4", name="teacher", **TINY).name == "teacher"
    assert abstract_model("BiT-R50x1", name="student", input_shape=(32, 32, 3)).name == "student"


def test_logits_are_the_default_and_start_at_zero():
    model = keras_vit.create_model("ViT-S/4", **TINY, classes=3)
    logits = keras.ops.convert_to_numpy(model(np.ones((2, 8, 8, 3), "float32")))
    np.testing.assert_array_equal(logits, 0)
    model = keras_vit.create_model("ViT-S/4", **TINY, classes=4, classifier_activation="softmax")
    probabilities = keras.ops.convert_to_numpy(model(np.ones((2, 8, 8, 3), "float32")))
    np.testing.assert_allclose(probabilities, 0.25)


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("ViT-B16", "ViT-B/16"),
        ("vit-b/16", "ViT-B/16"),
        ("ViT-X/16", "ViT-"),
        ("R50-ViT-B/16", "R50+ViT-B/16"),
        ("BiT-R50", "BiT-R50x1"),
        ("BiT-R51x1", "BiT-R50x1"),
        ("R26+ViT-B/16", "R26+ViT-B/32"),
        ("ViT-B/0", "ViT-B/"),
    ],
)
def test_an_unknown_name_suggests_a_known_one(name, suggestion):
    with pytest.raises(ValueError) as error:
        keras_vit.create_model(name)
    assert repr(name) in str(error.value) and suggestion in str(error.value)


@pytest.mark.parametrize("name", [None, 16, ("ViT-B/16",)])
def test_a_name_is_a_string(name):
    with pytest.raises(ValueError, match="name is a string such as 'ViT-B/16'"):
        keras_vit.create_model(name)


@pytest.mark.parametrize(
    ("name", "override", "allowed"),
    [
        ("ViT-B/16", "hiden_size", "hidden_size"),
        ("ViT-B/16", "block_counts", "num_layers"),
        ("BiT-R50x1", "hidden_size", "width_factor"),
    ],
)
def test_an_unknown_override_is_named_with_those_that_exist(name, override, allowed):
    with pytest.raises(ValueError) as error:
        keras_vit.create_model(name, **{override: 3})
    assert repr(override) in str(error.value) and allowed in str(error.value)
    assert ", name," not in str(error.value)  # `create_model` takes it itself


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ({"classes": 0}, "classes"),
        ({"classes": "10"}, "classes"),
        ({"classes": True}, "classes"),
        ({"input_shape": (8, 8)}, "input_shape"),
        ({"input_shape": (8, 8, None)}, "input_shape"),
        ({"input_shape": (9, 8, 3)}, "9"),
        ({"input_shape": 8}, "give three positive ints (H, W, C)"),
        ({"input_shape": None}, "give three positive ints (H, W, C)"),
        ({"input_shape": (3, 8, 8)}, "move the 3 channels to the other end"),
        ({"data_format": "channels_first"}, "move the 3 channels to the other end"),
        ({"classifier": "cls"}, "'token', 'gap', 'map'"),
        ({"position_embedding": "2d"}, "learned_2d"),
        ({"num_heads": 3}, "num_heads"),
        ({"num_layers": 0}, "num_layers"),
        ({"num_layers": True}, "num_layers"),
        ({"hidden_size": -8}, "hidden_size"),
        ({"mlp_dim": 2.5}, "mlp_dim"),
        ({"activation": "gelu_tahn"}, "gelu_tahn"),
        ({"dropout_rate": 1.0}, "dropout_rate"),
        ({"attention_dropout_rate": 2}, "attention_dropout_rate"),
        ({"stochastic_depth_rate": -0.5}, "stochastic_depth_rate"),
        ({"representation_size": 0}, "representation_size"),
        ({"epsilon": "1e-6"}, "epsilon"),
        ({"epsilon": -1.0}, "epsilon"),
        ({"rematerialize": "yes"}, "rematerialize"),
        ({"stem_block_counts": 3}, "stem_block_counts"),
        ({"stem_block_counts": (1, 0)}, "stem_block_counts[1]"),
        ({"stem_block_counts": (1,)}, "feature map of 2 x 2 from images of input_shape=(8, 8, 3)"),
        ({"patch_size": (4, 3)}, "patch"),
        ({"data_format": "NCHW"}, "channels_last"),
        ({"classifier_activation": "softmaxx"}, "softmaxx"),
        ({"seed": "seven"}, "seed"),
        ({"weights": "imagenet"}, "imagenet"),
        ({"interpolation": "cubic"}, "'bilinear', 'bicubic', 'bicubic_antialias'"),
        ({"weights": True}, "neither a file nor the name"),
    ],
    ids=lambda value: str(value),
)
def test_wrong_vit_arguments_are_named(overrides, named):
    with pytest.raises(ValueError) as error:
        keras_vit.create_model("ViT-S/4", **{**TINY, **overrides})
    assert named in str(error.value)


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ({"stem": "tiny"}, "'imagenet', 'small'"),
        ({"block_counts": ()}, "block_counts"),
        ({"block_counts": (1, 0)}, "block_counts"),
        ({"block_counts": 3}, "block_counts"),
        ({"width_factor": "2"}, "width_factor is '2'; give a positive multiple of 1/64"),
        ({"width_factor": None}, "width_factor"),
        ({"epsilon": None}, "epsilon"),
        ({"bottleneck": 1}, "bottleneck"),
        ({"width_factor": 0}, "width_factor"),
        ({"width_factor": 0.01}, "width_factor"),
        ({"groups": 24}, "groups"),
    ],
    ids=lambda value: str(value),
)
def test_wrong_resnet_arguments_are_named(overrides, named):
    arguments = {"input_shape": (8, 8, 3), "block_counts": (1,), "stem": "small", **overrides}
    with pytest.raises(ValueError) as error:
        keras_vit.create_model("BiT-R50x1", **arguments)
    assert named in str(error.value)


@pytest.mark.parametrize("integer", [np.int64, np.uint8])
def test_integers_of_numpy_are_integers(integer):
    """As in classes=labels.max() + 1; the configuration is JSON all the same."""
    plain = dict(TINY, classes=3, patch_size=(4, 2), representation_size=5)
    ours = {
        key: tuple(map(integer, value)) if isinstance(value, tuple) else integer(value)
        for key, value in plain.items()
    }
    model = keras_vit.create_model("ViT-S/4", **ours, stem_block_counts=None)
    config = json.loads(json.dumps(model.get_config()))
    assert {key: tuple(v) if isinstance(v := config[key], list) else v for key in plain} == plain
    sizes = dict(
        input_shape=(8, 8, 3), block_counts=(integer(1),), stem="small", width_factor=1 / 8
    )
    model = keras_vit.create_model("BiT-R50x1", **sizes, classes=integer(3), groups=integer(4))
    wide = keras_vit.ResNet(**{**sizes, "width_factor": integer(1)}, classes=None)
    assert json.loads(json.dumps(wide.get_config()))["width_factor"] == 1
    assert json.loads(json.dumps(model.get_config()))["block_counts"] == [1]
    patches = keras_vit.Patches(integer(4))
    assert json.loads(json.dumps(patches.get_config()))["patch_size"] == [4, 4]


def test_a_function_of_keras_is_remembered_by_its_name():
    model = keras_vit.create_model("ViT-S/4", **TINY, activation=keras.activations.relu)
    assert model.arguments["activation"] == "relu"


def test_stochastic_depth_rises_linearly_to_the_last_block():
    model = keras_vit.create_model(
        "ViT-S/4", **{**TINY, "num_layers": 5}, stochastic_depth_rate=0.2
    )
    rates = [model.get_layer(f"block_{i}").stochastic_depth_rate for i in range(5)]
    np.testing.assert_allclose(rates, [0, 0.05, 0.1, 0.15, 0.2])


def test_a_model_of_the_same_name_can_be_renamed_beside_another(tmp_path):
    teacher, student = (keras_vit.create_model("ViT-S/4", **TINY, classes=3) for _ in range(2))
    images = keras.Input((8, 8, 3))
    teacher.name = "teacher"
    both = keras.Model(images, [teacher(images), student(images)])
    head = teacher.get_layer("head")
    head.set_weights([np.ones(weight.shape) for weight in head.weights])
    both.save(tmp_path / "both.keras")
    again = keras.models.load_model(tmp_path / "both.keras")
    assert [layer.name for layer in again.layers[1:]] == ["teacher", "vit_s_4"]
    for name, value in (("teacher", 1), ("vit_s_4", 0)):
        kernel = again.get_layer(name).get_layer("head").get_weights()[0]
        np.testing.assert_array_equal(kernel, value)
