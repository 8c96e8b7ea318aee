"""Masked patch prediction: the corruption's statistics, the targets by hand, and training."""

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.pretraining import (
    CorruptPatches,
    MaskedPatchModel,
    mean_colour_classes,
    mean_colour_levels,
)
from tests.contracts import forward, numpy, randomise

VIT = dict(
    input_shape=(8, 12, 3),
    patch_size=4,
    num_layers=1,
    hidden_size=8,
    mlp_dim=16,
    num_heads=2,
    classes=3,
)
# A training of some steps takes longer op by op than compiled on JAX, and the other way around on
# the others.
COMPILED = keras.backend.backend() == "jax"
SHARES = {"mask": 0.8, "random": 0.1, "kept": 0.1}


def said(model: MaskedPatchModel, images: np.ndarray) -> dict:
    """What the model says, its random numbers included."""
    return model.predict_on_batch(images) if COMPILED else model(images)


def corrupted(batch=400, number=16, **arguments):
    """What became of tokens that say where they come from: token n of image b is (b, n)."""
    layer = CorruptPatches(seed=1, **arguments)
    tokens = np.stack(np.meshgrid(np.arange(batch), np.arange(number), indexing="ij"), axis=-1)
    layer.build((None, number, 2))
    layer.mask_token.assign(np.full((1, 1, 2), -5.0))
    result, chosen = layer(tokens.astype("float32"))
    return tokens, numpy(result), numpy(chosen)


def test_half_of_each_image_is_corrupted_80_10_10():
    tokens, result, chosen = corrupted()
    assert (chosen.sum(axis=1) == 8).all()
    changed = (result != tokens).any(axis=-1)
    masked = (result == -5).all(axis=-1)
    swapped = changed & ~masked
    assert not (changed & ~chosen).any()
    observed = {
        "mask": masked[chosen].mean(),
        "random": swapped[chosen].mean(),
        "kept": (chosen & ~changed)[chosen].mean(),
    }
    for kind, share in SHARES.items():  # 3,200 draws: four standard deviations
        assert abs(observed[kind] - share) < 4 * np.sqrt(share * (1 - share) / 3200), kind
    # Another patch of the same image, and every place is as likely to be chosen.
    images, places = result[..., 0], result[..., 1]
    assert (images[swapped] == tokens[..., 0][swapped]).all()
    assert set(places[swapped]) == set(range(16))
    assert np.abs(chosen.mean(axis=0) - 0.5).max() < 4 * np.sqrt(0.25 / 400)


def test_each_call_draws_anew_and_shares_can_be_chosen():
    _, first, chosen = corrupted(rate=0.25, mask_share=1.0, random_share=0.0)
    assert (chosen.sum(axis=1) == 4).all() and (first[chosen] == -5).all()
    layer = CorruptPatches(seed=1)
    tokens = np.random.default_rng(0).normal(size=(4, 16, 2)).astype("float32")
    draws = [numpy(layer(tokens)[1]) for _ in range(2)]
    assert (draws[0] != draws[1]).any()
    # An image of a single patch: it is chosen, and it is its own "other" patch.
    one = CorruptPatches(mask_share=0.0, random_share=1.0)(tokens[:, :1])
    np.testing.assert_array_equal(numpy(one[0]), tokens[:, :1])
    assert numpy(one[1]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rate": 0}, "must be in"),
        ({"rate": "0.5"}, "rate of corruption is '0.5'; it must be in"),
        ({"rate": None}, "must be in"),
        ({"mask_share": 0.9, "random_share": 0.2}, "more than 1"),
        ({"mask_share": "0.8"}, "mask_share='0.8' .* must be numbers"),
        ({"random_share": float("nan")}, "must be numbers"),
    ],
)
def test_wrong_shares_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        CorruptPatches(**arguments)
    if "rate" in arguments:
        arguments = {"corruption_rate": arguments["rate"]}
    with pytest.raises(ValueError, match=message):
        MaskedPatchModel(keras_vit.VisionTransformer(**VIT), **arguments)


def test_targets_by_hand():
    """Means in [-1, 1] to 3 bits: -1 -> 0, -0.75 -> 1, 0 -> 4, 0.5 -> 6, 1 -> 7."""
    image = np.zeros((1, 4, 8, 3), "float32")
    image[0, :2, :4] = [-1, 0, 1]  # 0, 4, 7 -> 0 * 64 + 4 * 8 + 7 = 39
    image[0, 2:, :4] = [0.5, -0.75, -1]  # 6, 1, 0 -> 6 * 64 + 8 = 392
    image[0, :2, 4:] = 1  # the lightest: 7 * 64 + 7 * 8 + 7 = 511
    # Half of the patch at -1, half at 1, in the green channel alone: its mean is 0 -> 4.
    image[0, 2:, 4:] = [-1, -1, -1]
    image[0, 2:, 4:6, 1] = 1  # 0, 4, 0 -> 32
    expected = [[39, 511, 392, 32]]
    np.testing.assert_array_equal(numpy(mean_colour_classes(image, (2, 4))), expected)
    first = np.moveaxis(image, -1, 1)
    found = numpy(mean_colour_classes(first, (2, 4), data_format="channels_first"))
    np.testing.assert_array_equal(found, expected)
    grey = np.full((1, 4, 4, 1), 0.3, "float32")  # 1.3 / 2 * 8 = 5.2
    np.testing.assert_array_equal(numpy(mean_colour_classes(grey, 4)), [[5]])


def test_levels_and_classes_of_many_channels():
    """A colour is a number in base 8, as long as 32 bits hold it."""
    image = np.linspace(-1, 1, 10, dtype="float32")[None, None, None]  # one pixel of ten channels
    levels = [0, 0, 1, 2, 3, 4, 5, 6, 7, 7]  # floor(4 * (m + 1)), at most 7
    np.testing.assert_array_equal(numpy(mean_colour_levels(image, np.int64(1))), [[levels]])
    number = int("".join(map(str, levels)), 8)
    np.testing.assert_array_equal(numpy(mean_colour_classes(image, 1)), [[number]])
    with pytest.raises(ValueError, match="11 channels are 8"):
        mean_colour_classes(np.zeros((1, 1, 1, 11), "float32"), 1)


@pytest.mark.parametrize(("channels", "shape"), [(1, (8,)), (4, (4096,)), (5, (5, 8)), (8, (8, 8))])
def test_many_channels_are_predicted_one_by_one(channels, shape, rng):
    """The loss is the sum of their cross-entropies, the accuracy the mean over the channels."""
    arguments = {**VIT, "input_shape": (8, 12, channels)}
    model = MaskedPatchModel(keras_vit.VisionTransformer(**arguments), seed=0)
    assert model.prediction.units == np.prod(shape)
    images = rng.uniform(-1, 1, size=(4, 8, 12, channels)).astype("float32")
    assert said(model, images)["logits"].shape == (4, 6, *shape)
    if len(shape) == 1:
        return
    logits = rng.normal(size=(4, 6, *shape)).astype("float32")
    chosen = rng.uniform(size=(4, 6)) < 0.5
    targets = numpy(mean_colour_levels(images, 4))
    log_p = logits - np.log(np.exp(logits.astype("float64")).sum(axis=-1, keepdims=True))
    entropy = -np.take_along_axis(log_p, targets[..., None], axis=-1)[..., 0].sum(axis=-1)
    y_pred = {
        "logits": keras.ops.convert_to_tensor(logits),
        "corrupted": keras.ops.convert_to_tensor(chosen),
    }
    loss = numpy(model.compute_loss(x=images, y_pred=y_pred))
    np.testing.assert_allclose(loss, entropy[chosen].mean(), rtol=1e-5)
    accuracy = model.compute_metrics(images, None, y_pred)["accuracy"]
    right = (logits.argmax(axis=-1) == targets)[chosen].mean()
    np.testing.assert_allclose(numpy(accuracy), right, rtol=1e-5)
    model.accuracy.reset_state()
    model.compile("adam", run_eagerly=not COMPILED, jit_compile=COMPILED)
    history = model.fit(images, verbose=0).history
    assert abs(history["loss"][0] - channels * np.log(8)) < 1 * channels


def test_loss_is_the_cross_entropy_of_the_corrupted_patches_alone(rng):
    model = MaskedPatchModel(keras_vit.VisionTransformer(**VIT))
    images = rng.uniform(-1, 1, size=(2, 8, 12, 3)).astype("float32")
    logits = rng.normal(size=(2, 6, 512)).astype("float32")
    chosen = np.array([[1, 1, 0, 0, 1, 0], [0, 0, 1, 0, 1, 1]], bool)
    targets = numpy(mean_colour_classes(images, 4))
    log_sum = np.log(np.exp(logits.astype("float64")).sum(axis=-1))
    entropy = log_sum - np.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    y_pred = {
        "logits": keras.ops.convert_to_tensor(logits),
        "corrupted": keras.ops.convert_to_tensor(chosen),
    }
    loss = numpy(model.compute_loss(x=images, y_pred=y_pred))
    np.testing.assert_allclose(loss, entropy[chosen].mean(), rtol=1e-5)
    weighted = model.compute_loss(x=images, y_pred=y_pred, sample_weight=np.array([3.0, 1.0]))
    expected = (3 * entropy[0][chosen[0]].sum() + entropy[1][chosen[1]].sum()) / (3 * 3 + 3)
    np.testing.assert_allclose(numpy(weighted), expected, rtol=1e-5)


@pytest.mark.parametrize("tensors", [False, True])
def test_weights_of_images_count_without_labels(tensors):
    """A model that says white of every patch, of white and of black images."""
    model = MaskedPatchModel(keras_vit.VisionTransformer(**VIT))
    model.prediction.kernel.assign(np.zeros((8, 512)))
    model.prediction.bias.assign(50 * np.eye(512)[511])
    images = np.ones((4, 8, 12, 3), "float32") * np.array([1, -1, 1, -1])[:, None, None, None]
    images = keras.ops.convert_to_tensor(images) if tensors else images
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=not COMPILED, jit_compile=COMPILED)
    white, black, none = np.array([1, 0, 1, 0]), np.array([0, 3, 0, 1]), np.zeros(4)
    for weights, expected in ((white, 0), (black, 50), (none, 0), (None, 25)):
        weights = (
            keras.ops.convert_to_tensor(weights) if tensors and weights is not None else weights
        )
        known = model.evaluate(images, sample_weight=weights, verbose=0, return_dict=True)
        history = model.fit(
            images, sample_weight=weights, validation_data=(images, None, weights), verbose=0
        ).history
        found = [known["loss"], history["loss"][0], history["val_loss"][0]]
        found.append(model.train_on_batch(images, sample_weight=weights, return_dict=True)["loss"])
        found.append(model.test_on_batch(images, sample_weight=weights, return_dict=True)["loss"])
        np.testing.assert_allclose([float(loss) for loss in found], expected, atol=1e-4)
    labels = np.arange(4)  # positional, too
    assert model.evaluate(images, labels, None, 0, black, return_dict=True)["loss"] > 49
    assert model.evaluate(images, None, None, 0, black, return_dict=True)["loss"] > 49


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("loss", "mse"),
        ("loss_weights", [2.0]),
        ("metrics", ["accuracy"]),
        ("weighted_metrics", []),
    ],
)
def test_a_loss_and_metrics_of_others_are_refused(name, value, tmp_path):
    model = MaskedPatchModel(keras_vit.VisionTransformer(**VIT))
    with pytest.raises(ValueError, match=f"a loss of its own .* compile it without {name}\\.$"):
        model.compile("adam", **{name: value})
    # A file that names one, as those of older versions may, is read without it.
    model.compile(keras.optimizers.SGD(0.125), steps_per_execution=1)
    config = model.get_compile_config()
    loaded = MaskedPatchModel.from_config(model.get_config())
    loaded.compile_from_config({**config, name: value})
    assert loaded.get_compile_config() == config
    assert float(loaded.optimizer.learning_rate) == 0.125 and loaded.optimizer.built


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("channels", [3, 5])
def test_colours_are_those_of_the_pixels_whatever_a_checkpoint_subtracts(data_format, channels):
    """A ramp of greys: 32 pixel values a level."""
    first = data_format == "channels_first"
    shape = (channels, 8, 12) if first else (8, 12, channels)
    vit = keras_vit.VisionTransformer(**{**VIT, "input_shape": shape}, data_format=data_format)
    greys = np.arange(0, 256, 3).astype("uint8")
    images = np.broadcast_to(greys[:, None, None, None], (len(greys), *shape))
    levels = np.broadcast_to((greys // 32)[:, None], (len(greys), 6))
    if channels == 3:
        classes, targets = 512, 73 * levels.astype("int32")  # 64 + 8 + 1
    else:
        classes, targets = 8, np.repeat(levels[..., None], channels, -1).astype("int32")
    y_pred = {
        "logits": keras.ops.convert_to_tensor(50 * np.eye(classes, dtype="float32")[targets]),
        "corrupted": keras.ops.ones((len(greys), 6), "bool"),
    }
    mean = np.array([0.485, 0.456, 0.406, 0.1, 0.9])[:channels]
    deviation = np.array([0.229, 0.224, 0.225, 1.0, 0.01])[:channels]
    for known in (None, keras_vit.Preprocessing(mean, deviation)):
        vit.preprocessing = known
        model = MaskedPatchModel(vit)
        prepared = keras_vit.preprocess_input(images, vit)
        assert numpy(model.compute_loss(x=prepared, y_pred=y_pred)) < 1e-4
        assert numpy(model.compute_metrics(prepared, None, y_pred)["accuracy"]) == 1


@pytest.mark.parametrize("classifier", ["token", "gap"])
def test_tokens_that_are_kept_give_the_encoders_own_predictions(classifier, rng):
    """With nothing masked or swapped, logit n belongs to patch n: class tokens are left out."""
    vit = keras_vit.VisionTransformer(**VIT, classifier=classifier)
    model = MaskedPatchModel(vit, mask_share=0.0, random_share=0.0)
    randomise(model)
    images = rng.uniform(-1, 1, size=(2, 8, 12, 3)).astype("float32")
    encoder = keras.Model(vit.input, vit.get_layer("encoder_norm").output)
    patches = numpy(forward(encoder, images))[:, -6:]
    expected = patches @ numpy(model.prediction.kernel) + numpy(model.prediction.bias)
    np.testing.assert_allclose(numpy(said(model, images)["logits"]), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("classifier", ["token", "gap", "map"])
def test_every_encoder_weight_trains_and_the_head_stays(classifier, rng):
    vit = keras_vit.VisionTransformer(**VIT, classifier=classifier, representation_size=4)
    model = MaskedPatchModel(vit, seed=0)
    before = {weight.path: numpy(weight) for weight in model.weights}
    images = rng.uniform(-1, 1, size=(8, 8, 12, 3)).astype("float32")
    model.compile(keras.optimizers.Adam(1e-2), run_eagerly=not COMPILED, jit_compile=COMPILED)
    history = model.fit(images, batch_size=4, epochs=2, verbose=0).history
    assert set(history) == {"loss", "accuracy"}
    # The head starts at random: about the entropy of 512 equally likely classes.
    assert abs(history["loss"][0] - np.log(512)) < 1
    unused = {
        w.path for name in ("pooling", "pre_logits", "head") for w in vit.get_layer(name).weights
    }
    for weight in model.weights:
        same = np.array_equal(numpy(weight), before[weight.path])
        assert same == (weight.path in unused), weight.path
    assert model.evaluate(images, verbose=0, return_dict=True).keys() == {"loss", "accuracy"}
    assert model.predict(images, verbose=0)["logits"].shape == (8, 6, 512)


def test_it_learns_and_its_vit_is_fine_tuned(rng, tmp_path):
    """Images of one colour each: what is visible tells the colour of what is masked."""
    colours = np.array([[-0.9, -0.9, 0.9], [0.9, -0.9, -0.9]], "float32")
    images = np.broadcast_to(colours[np.arange(32) % 2][:, None, None], (32, 8, 12, 3))
    model = MaskedPatchModel(keras_vit.VisionTransformer(**VIT), seed=0)
    model.compile(keras.optimizers.Adam(3e-2), jit_compile=COMPILED)
    history = model.fit(images, batch_size=16, epochs=12, verbose=0).history
    assert history["accuracy"][-1] > 0.9
    assert history["loss"][-1] < 1

    model.save(tmp_path / "pretrained.keras")
    loaded = keras.saving.load_model(tmp_path / "pretrained.keras")
    assert loaded.get_config()["vit"]["config"]["num_layers"] == 1
    np.testing.assert_array_equal(
        numpy(forward(loaded.vit, images[:2])), numpy(forward(model.vit, images[:2]))
    )
    for mine, other in zip(model.weights, loaded.weights, strict=True):
        assert mine.path.split("/")[-2:] == other.path.split("/")[-2:]
        if "seed" not in mine.path:
            np.testing.assert_array_equal(numpy(mine), numpy(other))
    # Training goes on where it was: the optimizer's state comes along.
    assert int(loaded.optimizer.iterations) == 24
    for mine, other in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(numpy(mine), numpy(other))
    assert loaded.evaluate(images, verbose=0, return_dict=True)["loss"] < 1

    classifier = keras_vit.for_finetuning(loaded.vit, classes=2, input_shape=(16, 12, 3))
    np.testing.assert_array_equal(
        numpy(classifier.get_layer("block_0").mlp.hidden.kernel),
        numpy(model.vit.get_layer("block_0").mlp.hidden.kernel),
    )
    assert forward(classifier, np.zeros((1, 16, 12, 3))).shape == (1, 2)


def test_hybrids_grey_images_channels_first_and_low_precision(rng):
    vit = keras_vit.VisionTransformer(
        **{**VIT, "input_shape": (1, 16, 24), "patch_size": 2},
        stem_block_counts=(1,),
        data_format="channels_first",
        dtype="mixed_bfloat16",
    )
    model = MaskedPatchModel(vit)
    assert model.region == (8, 8)
    model.compile("adam", run_eagerly=not COMPILED, jit_compile=COMPILED)
    images = rng.uniform(-1, 1, size=(4, 1, 16, 24)).astype("float32")
    assert np.isfinite(model.fit(images, verbose=0).history["loss"][0])
    output = said(model, images)
    assert output["logits"].shape == (4, 6, 8)
    assert keras.backend.standardize_dtype(output["logits"].dtype) == "float32"


def test_half_precision_scales_the_loss():
    """Else small gradients would vanish: float16 ends at 6e-8."""
    model = MaskedPatchModel(keras_vit.VisionTransformer(**VIT, dtype="mixed_float16"))
    model.compile("adam")
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)


def test_other_models_and_images_are_refused():
    with pytest.raises(ValueError, match="not ResNet"):
        MaskedPatchModel(
            keras_vit.ResNet((8, 8, 3), (1,), width_factor=0.125, groups=4, stem="small")
        )
    vit = keras_vit.VisionTransformer(**VIT)
    with pytest.raises(ValueError, match=r"expected shape=\(None, 8, 12, 3\)"):
        MaskedPatchModel(vit)(np.zeros((1, 8, 8, 3)))
    model, pixels = MaskedPatchModel(vit), np.full((2, 8, 12, 3), 255, "uint8")
    model.compile("sgd", run_eagerly=not COMPILED, jit_compile=COMPILED)
    for call in (model, model.fit, model.evaluate, model.predict):
        with pytest.raises(
            ValueError, match=r"not uint8, .* give it preprocess_input\(images, mod"
        ):
            call(pixels)
    vit.quantize("int8")
    with pytest.raises(ValueError, match="before quantize"):
        MaskedPatchModel(vit)
