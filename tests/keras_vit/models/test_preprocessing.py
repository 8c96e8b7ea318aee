"""Pixel values to [-1, 1], whatever kind of tensor they come in."""

from dataclasses import replace

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.models.preprocessing import INTERPOLATIONS

IMAGES = np.array([[0, 127, 128, 255]], "uint8")
EXPECTED = np.array([[-1, -1 / 255, 1 / 255, 1]])


def assert_maps(result):
    assert keras.backend.standardize_dtype(result.dtype) == "float32"
    np.testing.assert_allclose(keras.ops.convert_to_numpy(result), EXPECTED, atol=1e-6)


def test_arrays():
    images = IMAGES.copy()
    result = keras_vit.preprocess_input(images)
    assert isinstance(result, np.ndarray)
    assert_maps(result)
    np.testing.assert_array_equal(images, IMAGES)  # the input is left alone
    assert_maps(keras_vit.preprocess_input(IMAGES.tolist()))
    assert keras_vit.preprocess_input(IMAGES.astype("float64")).dtype == np.float64


def test_tensors_of_the_backend():
    result = keras_vit.preprocess_input(keras.ops.convert_to_tensor(IMAGES))
    assert keras.ops.is_tensor(result)
    assert_maps(result)
    half = keras.ops.convert_to_tensor(IMAGES.astype("float16"))
    result = keras_vit.preprocess_input(half)
    assert keras.backend.standardize_dtype(result.dtype) == "float16"


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_inside_a_functional_model(tmp_path, dtype):
    pixels = keras.Input((4,), dtype=dtype)
    model = keras.Model(pixels, keras_vit.preprocess_input(pixels))
    assert_maps(model(IMAGES.astype(dtype)))
    model.save(tmp_path / "model.keras")
    assert_maps(keras.models.load_model(tmp_path / "model.keras")(IMAGES.astype(dtype)))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_inside_tf_data(dtype):
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices(IMAGES.astype(dtype)).batch(1)
    (result,) = data.map(keras_vit.preprocess_input)
    assert_maps(result.numpy())
    (eager,) = data
    assert_maps(keras_vit.preprocess_input(eager).numpy())


def vit(**more) -> keras.Model:
    return keras_vit.VisionTransformer(
        **{
            **dict(
                input_shape=(12, 8, 3),
                patch_size=4,
                num_layers=1,
                hidden_size=4,
                mlp_dim=4,
                num_heads=1,
                classes=2,
            ),
            **more,
        }
    )


IMAGENET = keras_vit.Preprocessing(
    mean=(0.485, 0.456, 0.406), deviation=(0.229, 0.224, 0.225), interpolation="bicubic", crop=0.875
)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_a_models_own_mean_and_deviation(rng, data_format):
    first = data_format == "channels_first"
    shape = (3, 12, 8) if first else (12, 8, 3)
    model = vit(input_shape=shape, data_format=data_format)
    model.preprocessing = IMAGENET
    images = rng.integers(0, 256, size=(2, *shape)).astype("uint8")
    result = keras_vit.preprocess_input(images, model)
    assert isinstance(result, np.ndarray) and result.dtype == np.float32
    last = np.moveaxis(images, 1, -1) if first else images
    expected = (last / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(np.moveaxis(result, 1, -1) if first else result, expected, atol=1e-5)
    tensor = keras_vit.preprocess_input(keras.ops.convert_to_tensor(images), model)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(tensor), result, atol=1e-5)
    with pytest.raises(ValueError, match="The images have 4 channels, the model takes 3"):
        keras_vit.preprocess_input(np.zeros((4, 12, 8) if first else (12, 8, 4)), model)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("shape", [(), (8,), (3, 3), (8, 3), (1, 1, 3, 3, 3)])
def test_what_is_no_images_is_one_sentence(data_format, shape):
    first = data_format == "channels_first"
    model = vit(input_shape=(3, 12, 8) if first else (12, 8, 3), data_format=data_format)
    form = "C, H, W" if first else "H, W, C"
    with pytest.raises(ValueError, match=rf"have {len(shape)} axes; give \(B, {form}\) or"):
        keras_vit.preprocess_input(np.zeros(shape), model)


def test_images_of_unknown_rank_in_tf_data():
    import tensorflow as tf

    data = tf.data.Dataset.from_tensors(tf.io.encode_png(np.zeros((4, 4, 3), "uint8")))
    with pytest.raises(ValueError, match="an unknown number of axes"):
        data.map(lambda x: keras_vit.preprocess_input(tf.io.decode_image(x), vit()))


def test_without_a_checkpoint_it_is_minus_one_to_one():
    settings = keras_vit.preprocessing_of(vit(input_shape=(8, 8, 1)))
    assert settings == keras_vit.Preprocessing((0.5,), (0.5,), size=(8, 8))
    images = np.full((1, 8, 8, 1), 255, "uint8")
    result = keras_vit.preprocess_input(images, vit(input_shape=(8, 8, 1)))
    np.testing.assert_allclose(result, 1.0, atol=1e-6)
    with pytest.raises(ValueError, match=r"preprocessing_of takes .*; this Sequential has none"):
        keras_vit.preprocessing_of(keras.Sequential())


def test_text_is_not_taken_apart():
    """Its digits are neither channels nor sides."""
    with pytest.raises(ValueError, match="mean is '555'; give a number a channel"):
        keras_vit.Preprocessing(mean="555")
    with pytest.raises(ValueError, match=r"size is '48'; give \(height, width\)"):
        keras_vit.Preprocessing(size="48")


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mean": 0.5}, r"mean is 0\.5; give a number a channel, as in \(0\.5, 0\.5, 0\.5\)"),
        ({"deviation": 0.5}, r"deviation is 0\.5; give a number a channel"),
        ({"mean": ()}, "mean is .*; give a number a channel"),
        ({"mean": ("0.5",) * 3}, "mean is .*; give a number a channel"),
        ({"mean": (0.5, None, 0.5)}, "mean is .*; give a number a channel"),
        ({"mean": (0.5, float("nan"), 0.5)}, "mean is .*; give a number a channel"),
        ({"mean": (0.5,)}, "mean is of 1 channels and deviation of 3"),
        ({"deviation": (0.5, 0, 0.5)}, "deviation is .*; give positive numbers"),
        ({"size": 48}, r"size is 48; give \(height, width\)"),
        ({"size": (48, 0)}, r"size is \(48, 0\); give \(height, width\)"),
        ({"size": (48,)}, r"size is \(48,\); give \(height, width\)"),
        ({"resize": "squash"}, "resize is 'squash'; use one of 'cover', 'whole'"),
    ],
)
def test_what_is_no_preprocessing_is_one_sentence(arguments, message):
    with pytest.raises(ValueError, match=message):
        keras_vit.Preprocessing(**arguments)


def test_of_the_model_inside(rng):
    """A head of one's own around it changes nothing in what its weights expect."""
    model = vit()
    model.preprocessing = IMAGENET
    outer = keras.Sequential([keras.Input((12, 8, 3)), model, keras.layers.Dense(2)])
    assert keras_vit.preprocessing_of(outer) == keras_vit.preprocessing_of(model)
    images = rng.integers(0, 256, size=(2, 30, 24, 3)).astype("uint8")
    expected = keras_vit.preprocess_input(images, model)
    np.testing.assert_array_equal(keras_vit.preprocess_input(images, outer), expected)
    inputs = keras.Input((12, 8, 3))
    pair = keras.Model(inputs, keras.layers.Add()([model(inputs), vit(name="other")(inputs)]))
    with pytest.raises(ValueError, match=r"several inside .* give one: preprocessing_of\(model"):
        keras_vit.preprocess_input(images, pair)


def test_files_and_fine_tuning_keep_it(tmp_path):
    model = vit()
    model.preprocessing = IMAGENET
    model.save(tmp_path / "vit.keras")
    loaded = keras.saving.load_model(tmp_path / "vit.keras")
    tuned = keras_vit.for_finetuning(loaded, classes=3, input_shape=(16, 16, 3))
    for one, size in ((loaded, (12, 8)), (tuned, (16, 16))):
        settings = keras_vit.preprocessing_of(one)
        assert settings.mean == IMAGENET.mean and settings.deviation == IMAGENET.deviation
        assert (settings.interpolation, settings.crop, settings.size) == ("bicubic", 0.875, size)


def test_images_of_any_size_keep_theirs(rng):
    model = vit(input_shape=(None, None, 3))
    model.preprocessing = replace(IMAGENET, size=(16, 16))
    assert keras_vit.preprocessing_of(model).size == (16, 16)
    images = rng.integers(0, 256, size=(2, 12, 20, 3)).astype("uint8")
    expected = (images / 255 - np.array(IMAGENET.mean)) / np.array(IMAGENET.deviation)
    np.testing.assert_allclose(keras_vit.preprocess_input(images, model), expected, atol=1e-5)


def pil(images: np.ndarray, size, interpolation: str) -> np.ndarray:
    """What Pillow makes of float images, channel by channel; cut off as it does with whole numbers."""
    from PIL import Image

    kind = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}[interpolation]
    planes = np.moveaxis(images.astype("float32"), -1, 1)
    for sides in ((images.shape[1], size[1]), size):  # columns first
        planes = np.array(
            [
                [
                    np.asarray(Image.fromarray(plane, "F").resize(sides[::-1], kind))
                    for plane in image
                ]
                for image in planes
            ]
        ).clip(0, 255)
    return np.moveaxis(planes, 1, -1)


def sharp(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Squares of three pixels without a shade between their colours."""
    squares = rng.integers(0, 2, size=(-(-height // 3), -(-width // 3), 3))
    return (255 * squares.repeat(3, axis=0).repeat(3, axis=1)[:height, :width]).astype("uint8")


@pytest.mark.parametrize("sides", [(30, 24), (6, 4), (12, 30)])
@pytest.mark.parametrize("kind", ["array", "tf.data"])
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_edges_have_no_halos(rng, sides, kind, interpolation):
    """Within what Pillow rounds twice, whichever sides become smaller or larger."""
    import tensorflow as tf
    from PIL import Image

    model = vit()
    model.preprocessing = keras_vit.Preprocessing((0, 0, 0), (1, 1, 1), interpolation=interpolation)
    image = sharp(rng, *sides)
    theirs = {"lanczos3": "LANCZOS"}.get(interpolation, interpolation.upper())
    expected = np.asarray(Image.fromarray(image).resize((8, 12), getattr(Image, theirs)))
    if kind == "array":
        result = keras_vit.preprocess_input(image, model)
    else:
        data = tf.data.Dataset.from_tensors(image)
        (result,) = data.map(lambda x: keras_vit.preprocess_input(x, model)).as_numpy_iterator()
    rounding = 1e-6 if interpolation == "bilinear" else 0  # which is not cut off, having no halos
    assert result.min() >= -rounding and result.max() <= 1 + rounding
    np.testing.assert_allclose(result * 255, expected, atol=1.2)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("crop", [None, 0.5])
def test_other_sizes_are_resized_as_pillow_does(rng, interpolation, crop):
    """The whole image, or its centre: it is made to cover (12, 8) / 0.5 = (24, 16)."""
    model = vit()
    model.preprocessing = keras_vit.Preprocessing(
        mean=(0, 0, 0), deviation=(1, 1, 1), interpolation=interpolation, crop=crop
    )
    images = rng.integers(0, 256, size=(2, 30, 24, 3)).astype("uint8")
    if crop is None:
        expected = pil(images, (12, 8), interpolation)
    else:
        expected = pil(images, (24, 19), interpolation)[:, 6:18, 5:13]  # 0.8 * 24 is 19.2
    result = keras_vit.preprocess_input(images, model)
    np.testing.assert_allclose(result * 255, expected, atol=0.05)
    one = keras_vit.preprocess_input(images[0], model)
    np.testing.assert_allclose(one, result[0], atol=1e-5)


@pytest.mark.parametrize(
    ("crop", "sides", "whole", "rows", "columns"),
    [
        (1.0, (12, 12), (16, 16), (4, 12), (0, 16)),
        (0.5, (30, 24), (40, 32), (16, 24), (8, 24)),  # covers 16 x 32: 32 / 24 times
        (0.7, (24, 30), (18, 22), (5, 13), (3, 19)),  # 11 x 22: 22 / 30 times 24 is 17.6
        ((0.5, 1.0), (24, 24), (16, 16), (4, 12), (0, 16)),  # 16 x 16: the short side, as CLIP's
        (2.0, (12, 12), (16, 16), (4, 12), (0, 16)),  # nothing is padded
    ],
)
def test_a_crop_fills_a_size_that_is_no_square(rng, crop, sides, whole, rows, columns):
    """As timm resizes for such a size, by hand: until both sides are `size / crop` at least."""
    model = vit(input_shape=(8, 16, 3))
    model.preprocessing = keras_vit.Preprocessing((0, 0, 0), (1, 1, 1), crop=crop)
    images = rng.integers(0, 256, size=(2, *sides, 3)).astype("uint8")
    expected = pil(images, whole, "bilinear")[:, slice(*rows), slice(*columns)]
    result = keras_vit.preprocess_input(images, model)
    assert result.shape == (2, 8, 16, 3)
    np.testing.assert_allclose(result * 255, expected, atol=0.05)


@pytest.mark.parametrize("kind", ["array", "tf.data", "functional"])
def test_a_crop_of_the_whole_image(rng, tmp_path, kind):
    """Made (12, 8) / 0.5 = (24, 16) whatever its proportions, then cut: as transformers' DeiT."""
    import tensorflow as tf

    model = vit()
    model.preprocessing = keras_vit.Preprocessing((0, 0, 0), (1, 1, 1), crop=0.5, resize="whole")
    model.save(tmp_path / "vit.keras")
    model = keras.saving.load_model(tmp_path / "vit.keras")
    assert keras_vit.preprocessing_of(model).box == (24, 16)
    images = rng.integers(0, 256, size=(2, 30, 50, 3)).astype("uint8")
    expected = pil(images, (24, 16), "bilinear")[:, 6:18, 4:12]
    if kind == "array":
        result = keras_vit.preprocess_input(images, model)
    elif kind == "tf.data":
        signature = tf.TensorSpec((None, None, 3), "uint8")
        data = tf.data.Dataset.from_generator(lambda: iter(images), output_signature=signature)
        data = data.map(lambda x: keras_vit.preprocess_input(x, model)).batch(2)
        assert data.element_spec.shape == (None, 12, 8, 3)
        (result,) = data.as_numpy_iterator()
    else:
        pixels = keras.Input((None, None, 3), dtype="uint8")
        keras.Model(pixels, keras_vit.preprocess_input(pixels, model)).save(tmp_path / "all.keras")
        result = keras.saving.load_model(tmp_path / "all.keras").predict(images, verbose=0)
    np.testing.assert_allclose(result * 255, expected, atol=0.05)


@pytest.mark.once
def test_without_a_crop_there_is_one_way_to_say_it():
    plain = keras_vit.Preprocessing()
    assert plain == keras_vit.Preprocessing(resize="whole")
    assert plain == keras_vit.Preprocessing(crop=1.0, resize="whole")
    assert plain != keras_vit.Preprocessing(crop=1.0)


def test_lanczos_in_any_layout_and_precision(rng):
    """Keras has none on PyTorch."""
    how = keras_vit.Preprocessing((0, 0, 0), (1, 1, 1), interpolation="lanczos3")
    last, first = vit(), vit(input_shape=(3, 12, 8), data_format="channels_first")
    last.preprocessing = first.preprocessing = how
    images = sharp(rng, 30, 24)[None]
    expected = keras_vit.preprocess_input(images, last)
    result = keras_vit.preprocess_input(np.moveaxis(images, -1, 1), first)
    np.testing.assert_allclose(np.moveaxis(result, 1, -1), expected, atol=1e-5)
    half = keras.ops.convert_to_tensor(images.astype("float16"))
    result = keras_vit.preprocess_input(half, last)
    assert keras.backend.standardize_dtype(result.dtype) == "float16"
    np.testing.assert_allclose(keras.ops.convert_to_numpy(result), expected, atol=1e-3)
    fixed = keras.Input((30, 24, 3))
    model = keras.Model(fixed, keras_vit.preprocess_input(fixed, last))
    result = keras.ops.convert_to_numpy(model(images.astype("float32")))
    np.testing.assert_allclose(result, expected, atol=1e-5)


@pytest.mark.once
def test_a_crop_is_a_part_or_two():
    assert keras_vit.Preprocessing(crop=[0.5, 0.5]) == keras_vit.Preprocessing(crop=0.5)
    assert keras_vit.Preprocessing(crop=(1, 0.5)).crop == (1, 0.5)
    for wrong in (0, -1, "half", (0.5,), (0.5, None), float("nan")):
        with pytest.raises(ValueError, match=r"crop is .* the part of the image that is kept"):
            keras_vit.Preprocessing(crop=wrong)


def test_tf_data_resizes_as_well(rng):
    import tensorflow as tf

    model = vit()
    model.preprocessing = IMAGENET
    images = rng.integers(0, 256, size=(2, 30, 24, 3)).astype("uint8")
    data = tf.data.Dataset.from_tensor_slices(images).batch(2)
    (result,) = data.map(lambda x: keras_vit.preprocess_input(x, model))
    expected = keras_vit.preprocess_input(images, model)
    np.testing.assert_allclose(result.numpy(), expected, atol=1e-2)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("crop", [None, 0.875])
def test_tf_data_resizes_images_of_unknown_sides(rng, data_format, crop):
    """As decoded files are: nothing knows their sides before they are there."""
    import tensorflow as tf

    first = data_format == "channels_first"
    model = vit(input_shape=(3, 12, 8) if first else (12, 8, 3), data_format=data_format)
    model.preprocessing = replace(IMAGENET, crop=crop)

    def decode(png):
        image = tf.io.decode_png(png, channels=3)
        image = tf.transpose(image, (2, 0, 1)) if first else image
        return keras_vit.preprocess_input(image, model)

    photos = [sharp(rng, *sides) for sides in ((30, 24), (17, 40), (12, 8))]
    files = [tf.io.encode_png(photo).numpy() for photo in photos]
    data = tf.data.Dataset.from_tensor_slices(files).map(decode).batch(3)
    assert data.element_spec.shape == (None, *model.input_shape[1:])
    (result,) = data
    for image, found in zip(photos, result.numpy(), strict=True):
        image = np.moveaxis(image, -1, 0) if first else image
        expected = keras_vit.preprocess_input(image, model)
        np.testing.assert_allclose(found, expected, atol=1e-2)


@pytest.mark.parametrize(
    ("crop", "interpolation"), [(None, "bicubic"), (0.875, "bicubic"), (0.875, "lanczos3")]
)
def test_a_functional_model_resizes_images_of_any_sides(rng, tmp_path, crop, interpolation):
    model = vit()
    model.preprocessing = replace(IMAGENET, crop=crop, interpolation=interpolation)
    pixels = keras.Input((None, None, 3), dtype="uint8")
    resizing = keras.Model(pixels, keras_vit.preprocess_input(pixels, model))
    assert resizing.output_shape == (None, 12, 8, 3)
    resizing.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for sides in ((30, 24), (17, 40), (12, 8)):
        images = np.array([sharp(rng, *sides)])
        expected = keras_vit.preprocess_input(images, model)
        found = keras.ops.convert_to_numpy(resizing(images))
        np.testing.assert_allclose(found, expected, atol=1e-4)
        np.testing.assert_allclose(loaded.predict(images, verbose=0), expected, atol=1e-4)
