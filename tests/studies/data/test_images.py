"""Image files of every kind become upright RGB arrays of one size."""

import io

import numpy as np
import pytest
from PIL import Image

from studies.data import images
from studies.data.images import fit_array
from studies.errors import UsageError

pytestmark = pytest.mark.once


def decode(*arguments, **options) -> np.ndarray:
    return images.decode(*arguments, **options).pixels


def encoded(image: Image.Image, kind="PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def plain(colour, mode="RGB", size=(6, 4)) -> Image.Image:
    return Image.new(mode, size, colour)


def test_the_image_covers_the_square_and_its_centre_is_kept():
    array = np.zeros((40, 100, 3), np.uint8)
    array[:, 30:70] = 255  # exactly the centre square
    assert (decode(encoded(Image.fromarray(array)), "x", (40, 40)) == 255).all()
    half = decode(encoded(Image.fromarray(array)), "x", (20, 20))
    assert half.shape == (20, 20, 3) and (half[:, 1:-1] == 255).all()
    tall = decode(encoded(Image.fromarray(array).transpose(Image.Transpose.ROTATE_90)), "x", (8, 8))
    assert tall.shape == (8, 8, 3) and (tall[1:-1] > 250).all()


def test_odd_and_smaller_sizes_fit_exactly():
    for size in [(7, 7), (33, 33), (5, 9), (1, 1)]:
        assert decode(encoded(plain((9, 9, 9), size=(17, 11))), "x", size).shape == (*size, 3)


def test_making_smaller_averages_instead_of_skipping():
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    small = decode(encoded(Image.fromarray(board)), "x", (8, 8))
    assert np.abs(small.astype(int) - 127).max() <= 16


def test_transparency_lies_on_white():
    assert decode(encoded(plain((0, 0, 0, 0), "RGBA")), "x", None).min() == 255
    half = decode(encoded(plain((0, 0, 0, 128), "RGBA")), "x", None)
    assert (half == 127).all()
    assert decode(encoded(plain((50, 0), "LA")), "x", None).min() == 255
    palette = plain(0, "P")
    palette.putpalette([10, 20, 30, 40, 50, 60])
    assert (decode(encoded(palette, transparency=0), "x", None) == 255).all()
    assert decode(encoded(palette), "x", None)[0, 0].tolist() == [10, 20, 30]


def test_exif_turns_the_image_upright():
    array = np.zeros((4, 8, 3), np.uint8)
    array[:, :4, 0] = 255  # red on the left
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise: left becomes top
    upright = decode(encoded(Image.fromarray(array), exif=exif), "x", None)
    assert upright.shape == (8, 4, 3)
    assert (upright[:4, :, 0] == 255).all() and (upright[4:, :, 0] == 0).all()


def test_other_colour_models_become_rgb():
    cmyk = decode(encoded(plain((0, 255, 255, 0), "CMYK"), "JPEG", quality=100), "x", None)
    assert cmyk[0, 0, 0] > 200 and cmyk[0, 0, 1:].max() < 60
    assert decode(encoded(plain(77, "L")), "x", None)[0, 0].tolist() == [77, 77, 77]
    assert decode(encoded(plain(1, "1")), "x", None).min() == 255


def test_16_bits_become_8():
    values = np.array([[0, 257 * 100, 65535]], np.uint16)
    assert decode(encoded(Image.fromarray(values)), "x", None)[0, :, 0].tolist() == [0, 100, 255]
    floats = Image.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32))
    assert decode(encoded(floats, "TIFF"), "x", None)[0, :, 0].tolist() == [0, 128, 255]


def test_grey_stays_one_channel_where_asked_for():
    assert decode(encoded(plain(77, "L")), "x", (2, 2), channels=1).shape == (2, 2, 1)
    assert fit_array(np.full((8, 8, 1), 5, np.uint8), (4, 4)).tolist() == [[[5]] * 4] * 4


@pytest.mark.parametrize("content", [b"", b"no image at all", b"\x89PNG\r\n\x1a\n" + b"\0" * 50])
def test_a_file_that_is_no_image_is_named(content):
    with pytest.raises(UsageError, match=r"The image cats/1\.jpg cannot be read \(.+\): repair"):
        decode(content, "cats/1.jpg", None)


def test_a_cut_file_is_named():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for kind in ("JPEG", "PNG", "GIF", "WEBP"):
        whole = encoded(Image.fromarray(noise), kind)
        with pytest.raises(UsageError, match=r"cats/2\.jpg cannot be read"):
            decode(whole[: len(whole) // 2], "cats/2.jpg", None)
