"""The groups of a Vision Transformer's arguments, and files written before there were any."""

import functools
import json
import re
import warnings
from dataclasses import FrozenInstanceError
from pathlib import Path

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

import keras_vit
from tests.contracts import numpy, randomise
from tests.keras_vit.weights import files
from tests.keras_vit.weights.files import outputs

GOLDEN = Path(__file__).parents[2] / "golden"
TINY = dict(
    input_shape=(8, 12, 3),
    patch_size=4,
    num_layers=2,
    hidden_size=8,
    mlp_dim=12,
    num_heads=2,
    classes=3,
)


@pytest.mark.parametrize("written_on", ["tensorflow", "jax", "torch"])
def test_files_from_before_the_groups_load_and_compute_the_same(written_on):
    """Written by version 0.1 on each backend, with the numbers that it gave."""
    model = keras.saving.load_model(GOLDEN / f"vit-0.1-{written_on}.keras")
    images = np.random.default_rng(0).normal(size=(2, 8, 12, 3)).astype("float32")
    expected = [[0.1460068, 0.6265141, 0.5793508], [0.0033142, 0.6300510, 0.6770544]]
    np.testing.assert_allclose(outputs(model, images), expected, atol=1e-6)
    block = model.get_config()["block"]
    assert block["activation"] == "gelu" and block["epsilon"] == 1e-5
    rates = ("dropout_rate", "attention_dropout_rate", "stochastic_depth_rate")
    assert [block[rate] for rate in rates] == [0.1, 0.2, 0.3]


@pytest.mark.once
def test_single_options_and_groups_say_the_same():
    tokens, block = keras_vit.TokenOptions, keras_vit.BlockOptions
    given = [
        dict(tokens=tokens(registers=2), block=block(layer_scale=0.1, activation="gelu")),
        dict(tokens={"registers": 2}, block={"layer_scale": 0.1, "activation": "gelu"}),
        dict(registers=2, layer_scale=0.1, activation="gelu"),
        dict(
            tokens=tokens(registers=9), registers=2, block=block(layer_scale=0.1), activation="gelu"
        ),
    ]
    configs = [keras_vit.VisionTransformer(**TINY, **g, name="vit").get_config() for g in given]
    assert all(config == configs[0] for config in configs)
    assert json.loads(json.dumps(configs[0]["block"]))["layer_scale"] == 0.1
    made = keras_vit.create_model("ViT-Ti/4", (8, 8, 3), num_layers=1, registers=2, qkv_bias=False)
    assert made.get_config()["tokens"]["registers"] == 2


@pytest.mark.parametrize("form", ["single", "mapping", "group"])
def test_what_a_file_implies_replaces_nothing_that_is_given(rng, tmp_path, form):
    """In whatever form: what the file lacks is refused, what it leaves open is kept."""
    path = tmp_path / "vit.safetensors"
    arrays = files.timm_vit(files.vit_jax(rng))  # of the exact GELU, without registers
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, str(path))
    groups = {"tokens": keras_vit.TokenOptions, "block": keras_vit.BlockOptions}

    def create(group, **options):
        given = options
        if form != "single":
            given = {group: options if form == "mapping" else groups[group](**options)}
        sizes = {k: v for k, v in files.VIT.items() if k not in ("input_shape", "classes")}
        shape, classes = files.VIT["input_shape"], files.VIT["classes"]
        return keras_vit.create_model("ViT-S/4", shape, classes, weights=path, **sizes, **given)

    with pytest.raises(ValueError, match=r"missing in the file: (\w+\.)*reg_token"):
        create("tokens", registers=4)
    with pytest.raises(ValueError, match=r"missing in the file: blocks\.0\.ls1\.gamma"):
        create("block", layer_scale=1e-5)
    with pytest.raises(ValueError, match="does not fit the model's activation 'relu'"):
        create("block", activation="relu")
    block = create("block", epsilon=1e-5, dropout_rate=0.1).get_config()["block"]
    assert (block["epsilon"], block["dropout_rate"], block["activation"]) == (1e-5, 0.1, "gelu")


@pytest.mark.once
def test_groups_are_frozen():
    with pytest.raises(FrozenInstanceError):
        keras_vit.TokenOptions().registers = 3
    assert keras_vit.BlockOptions(layer_scale=1) == keras_vit.BlockOptions(layer_scale=1.0)


@pytest.mark.once
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"register": 4}, "no argument 'register'; single options are class_token, registers"),
        ({"tokens": {"register": 4}}, "tokens has no 'register'; it has class_token"),
        ({"tokens": 4}, "tokens is 4; give a keras_vit.TokenOptions"),
        ({"registers": -1}, "registers is -1; give an int from 0"),
        ({"registers": True}, "registers is True"),
        ({"layer_scale": "small"}, "layer_scale is 'small'; give a number"),
        ({"final_norm": "behind"}, "use one of 'before', 'after', 'none'"),
        ({"patch_bias": 1}, "patch_bias is 1; use True or False"),
        ({"class_token": False}, "reads the class token, which class_token=False leaves out"),
        ({"classifier": "distilled"}, "give distilled=True"),
        ({"position_embedding": {"foo": 1}}, "no 'foo'; it has kind, grid, interpolation"),
        ({"position_embedding": None}, "position_embedding is None; use one of"),
    ],
)
def test_what_does_not_fit_is_named(given, message):
    with pytest.raises(ValueError, match=message):
        keras_vit.VisionTransformer(**TINY, **given)


@keras.saving.register_keras_serializable(package="tests")
def halved(x):
    return x / 2


def relu(x):
    """Of the name of one of Keras'."""
    return x


@pytest.mark.once
@pytest.mark.parametrize("argument", ["activation", "classifier_activation"])
@pytest.mark.parametrize(
    "given",
    [lambda x: x, relu, numpy, functools.partial(halved), "gelo", 3],
    ids=["lambda", "of a known name", "unregistered", "partial", "unknown name", "number"],
)
def test_a_function_that_no_file_could_name_is_refused(argument, given):
    message = f"{argument} is {re.escape(repr(given))}; give a name, a function of Keras, or one with @keras"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=message):
            keras_vit.VisionTransformer(**TINY, **{argument: given})
    if argument == "classifier_activation":
        with pytest.raises(ValueError, match=message):
            keras_vit.ResNet((8, 12, 3), (1,), 0.125, groups=4, classifier_activation=given)


@pytest.mark.parametrize("argument", ["activation", "classifier_activation"])
@pytest.mark.parametrize(
    "given",
    [halved, keras.ops.softplus, keras.activations.softplus, keras.layers.LeakyReLU(0.5)],
    ids=["registered", "ops", "activations", "layer"],
)
def test_functions_that_files_can_name(rng, tmp_path, argument, given):
    """From the constructor through a file, and to fine-tuning."""
    model = keras_vit.VisionTransformer(**TINY, **{argument: given})
    plain = keras_vit.VisionTransformer(**TINY)
    randomise(model)
    randomise(plain)
    images = rng.normal(size=(2, 8, 12, 3)).astype("float32")
    expected = outputs(model, images)
    if argument == "classifier_activation":
        by_hand = given(keras.ops.convert_to_tensor(outputs(plain, images)))
        np.testing.assert_allclose(expected, numpy(by_hand), atol=1e-5)
    else:
        assert np.abs(expected - outputs(plain, images)).max() > 1e-3
    model.save(tmp_path / "vit.keras")
    loaded = keras.saving.load_model(tmp_path / "vit.keras", safe_mode=True)
    tuned = keras_vit.for_finetuning(loaded, classes=3)
    tuned.set_weights(model.get_weights())
    for each in (loaded, tuned):
        np.testing.assert_allclose(outputs(each, images), expected, atol=1e-6)


# what a model has, and the tokens before its patches
KINDS = {
    "token": ({}, 1),
    "gap": ({"classifier": "gap", "registers": 3, "class_slot": False}, 3),
    "map": ({"classifier": "map", "registers": 2}, 2),
    "token_gap": ({"classifier": "token_gap", "registers": 1, "final_norm": "after"}, 2),
    "distilled": ({"classifier": "distilled", "distilled": True}, 2),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_else_takes_such_models(rng, kind):
    """Fine-tuning at another size, FLOPs, attention maps, LoRA and masked patches."""
    options, prefix = KINDS[kind]
    model = keras_vit.VisionTransformer(**TINY, **options, layer_scale=0.1, qkv_bias=False)
    assert model.num_prefix_tokens == prefix
    tuned = keras_vit.for_finetuning(model, classes=5, input_shape=(16, 12, 3))
    assert tuned.output_shape == (None, 5) and tuned.grid == (4, 3)
    images = rng.normal(size=(2, 16, 12, 3)).astype("float32")
    assert not outputs(tuned, images).any()
    heat = keras_vit.inspection.attention_map(tuned, images)
    assert heat.shape == (2, 16, 12) and np.isfinite(heat).all()
    similarity = keras_vit.inspection.position_similarity(tuned)
    assert similarity.shape == (4, 3, 4, 3)
    scores = keras_vit.inspection.attention_scores(tuned, images)
    assert scores.shape[-1] == prefix + 12
    distance = keras_vit.inspection.attention_distance(scores, tuned.grid, 4)
    assert distance.shape == (2, 2)
    assert keras_vit.flops(tuned) > keras_vit.flops(model)
    keras_vit.enable_lora(tuned, rank=1)
    masked = keras_vit.pretraining.MaskedPatchModel(model)
    masked.compile("sgd")
    small = rng.uniform(-1, 1, size=(2, 8, 12, 3)).astype("float32")
    assert np.isfinite(masked.evaluate(small, batch_size=2, verbose=0, return_dict=True)["loss"])


def test_the_attention_map_reads_what_the_classifier_reads(rng):
    """Two heads: half of what either token sees. Patches alone: nothing of the registers."""
    images = rng.normal(size=(1, 8, 12, 3)).astype("float32")
    for kind, rows in (("distilled", [0, 1]), ("gap", range(3, 9))):
        model = keras_vit.VisionTransformer(**{**TINY, "num_layers": 1}, **KINDS[kind][0])
        prefix = model.num_prefix_tokens
        scores = keras_vit.inspection.attention_scores(model, images)
        rollout = keras_vit.inspection.attention_rollout(scores)[0]
        patches = rollout[list(rows), prefix:].mean(axis=0).reshape(2, 3)
        expected = keras.ops.convert_to_numpy(
            keras.ops.image.resize(
                patches[..., None], (8, 12), "bilinear", data_format="channels_last"
            )
        )[..., 0]
        heat = keras_vit.inspection.attention_map(model, images)[0]
        np.testing.assert_allclose(heat, expected / expected.max(), atol=1e-5)
