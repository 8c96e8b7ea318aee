"""RandAugment against Pillow, operation by operation; affine maps against its transforms."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from studies.data.affine import affine
from studies.data.randaugment import (
    BLENDS,
    MAPS,
    OPERATIONS,
    TABLES,
    changed,
    grey,
    randaugment,
)

pytestmark = pytest.mark.once

SIDE = 24


def some(channels, size=12):
    """Noise, smooth images, dark ones, bright ones, and one of a single value."""
    rng = np.random.default_rng(channels)
    y, x = np.mgrid[:SIDE, :SIDE]
    slopes = rng.uniform(0.5, 4.0, (size, 2, channels))
    images = slopes[:, None, None, 0] * y[..., None] + slopes[:, None, None, 1] * x[..., None]
    images[::3] += rng.normal(0, 30, images[::3].shape)
    images[1] = 30 + images[1] / 4
    images[2] = 255 - images[2] / 3
    images[3] = 77
    return np.clip(images, 0, 255).astype(np.uint8)


def pillow(image):
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def array(image):
    pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


EXACT = {  # by operation: strength -> a function of a Pillow image
    "autocontrast": lambda s: ImageOps.autocontrast,
    "equalize": lambda s: ImageOps.equalize,
    "invert": lambda s: ImageOps.invert,
    "posterize": lambda s: lambda image: ImageOps.posterize(image, 8 - round(4 * abs(s))),
    "solarize": lambda s: lambda image: ImageOps.solarize(image, 256 * (1 - abs(s))),
    "brightness": lambda s: lambda image: ImageEnhance.Brightness(image).enhance(1 + 0.9 * s),
    "contrast": lambda s: lambda image: ImageEnhance.Contrast(image).enhance(1 + 0.9 * s),
    "color": lambda s: lambda image: ImageEnhance.Color(image).enhance(1 + 0.9 * s),
    "sharpness": lambda s: lambda image: ImageEnhance.Sharpness(image).enhance(1 + 0.9 * s),
}
MOVED = {  # by operation: strength -> the affine coefficients about the middle, as Pillow has them
    "shear_x": lambda s: (1, 0.3 * s, 0, 0, 1, 0),
    "shear_y": lambda s: (1, 0, 0, 0.3 * s, 1, 0),
    "translate_x": lambda s: (1, 0, 0.45 * SIDE * s, 0, 1, 0),
    "translate_y": lambda s: (1, 0, 0, 0, 1, 0.45 * SIDE * s),
}


def test_every_operation_has_an_oracle():
    assert {*EXACT, *MOVED, "rotate"} == {*MAPS, *TABLES, *BLENDS} == set(OPERATIONS)
    assert len(OPERATIONS) == 14


def alone(name, images, strength):
    drawn = np.full(len(images), OPERATIONS.index(name))
    return changed(images, drawn, np.full(len(images), strength))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", EXACT)
def test_colours_are_pillows(name, channels):
    images = some(channels)
    for strength in (-1.0, 0.3, 0.6, 1.0):
        expected = [array(EXACT[name](strength)(pillow(image))) for image in images]
        np.testing.assert_array_equal(alone(name, images, strength), expected)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", [*MOVED, "rotate"])
def test_places_are_pillows(name, channels):
    images = some(channels)
    white = np.full((1, SIDE, SIDE, 1), 255, np.uint8)
    for strength in (-1.0, 0.25, 1.0):

        def move(image, fill, strength=strength):
            if name == "rotate":  # Pillow's angle is anticlockwise, as ours
                return image.rotate(30 * strength, Image.Resampling.BILINEAR, fillcolor=fill)
            a, b, c, d, e, f = MOVED[name](strength)
            middle = SIDE / 2
            c, f = c + middle * (1 - a - b), f + middle * (1 - d - e)
            return image.transform(
                image.size,
                Image.Transform.AFFINE,
                (a, b, c, d, e, f),
                Image.Resampling.BILINEAR,
                fillcolor=fill,
            )

        # Beyond the edges Pillow fills, and ours repeats them: compared is what comes from inside.
        inside = array(move(pillow(white[0]), 0))[..., 0] == 255
        assert inside.mean() > 0.4
        for image, found in zip(images, alone(name, images, strength), strict=True):
            expected = array(move(pillow(image), 0))
            np.testing.assert_allclose(found[inside].astype(int), expected[inside], atol=1)


def test_beyond_the_edges_they_are_repeated():
    images = some(1)
    maps = np.tile([[1.0, 0.0, 5.0], [0.0, 1.0, 0.0]], (len(images), 1, 1))
    moved = affine(images, maps)
    np.testing.assert_array_equal(moved[:, :, :-5], images[:, :, 5:])
    np.testing.assert_array_equal(moved[:, :, -5:], np.repeat(images[:, :, -1:], 5, axis=2))


def test_images_are_worked_on_as_if_alone():
    images = np.repeat(some(3), len(OPERATIONS), axis=0)
    drawn = np.tile(np.arange(len(OPERATIONS)), len(images) // len(OPERATIONS))
    strength = np.random.default_rng(0).uniform(-1, 1, len(images))
    together = changed(images, drawn, strength)
    for place, image in enumerate(images):
        one = slice(place, place + 1)
        np.testing.assert_array_equal(
            together[place], changed(image[None], drawn[one], strength[one])[0]
        )


def test_strength_zero_leaves_images_as_they_are():
    images = some(3)
    for name in {*OPERATIONS} - {"autocontrast", "equalize", "invert", "solarize"}:
        np.testing.assert_array_equal(alone(name, images, 0.0), images, err_msg=name)
    below = images < 255  # solarize inverts from 256 on
    np.testing.assert_array_equal(alone("solarize", images, 0.0)[below], images[below])


def test_all_operations_and_both_directions_are_drawn():
    images = np.repeat(some(1)[:1], 2000, axis=0)
    once = randaugment(images, 1, 10.0, np.random.default_rng(0))
    kinds = np.unique(once.reshape(2000, -1), axis=0)
    # Of eight operations both directions, of five one image each, solarize's being invert's here; the
    # colours of a grey image are left as they are.
    assert len(kinds) == 2 * 8 + 4 + 1
    twice = randaugment(images, 2, 10.0, np.random.default_rng(0))
    assert (twice != once).any((1, 2, 3)).mean() > 0.5


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 3), (8, 5, 1)])
def test_images_of_any_size_and_magnitude(shape):
    images = np.random.default_rng(0).integers(0, 256, (60, *shape), dtype=np.uint8)
    kept = images.copy()
    for magnitude in (0.0, 30.0):
        result = randaugment(images, 3, magnitude, np.random.default_rng(0))
        assert result.shape == images.shape and result.dtype == np.uint8
    np.testing.assert_array_equal(images, kept)  # the data themselves are untouched


def test_grey_is_pillows():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    np.testing.assert_array_equal(grey(image)[..., 0], np.asarray(pillow(image).convert("L")))
