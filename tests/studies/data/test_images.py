"""Image files of every kind become upright RGB arrays of one size."""

import io
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studies.data import images
from studies.data.images import fit_array
from studies.errors import UsageError

pytestmark = pytest.mark.once
ROOT = Path(__file__).parents[3]


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


def resized_and_cropped(array, size):
    """Written out: the whole image is resized until it covers the size, then the middle is cut out."""
    image = Image.fromarray(array)
    scale = max(size[0] / image.height, size[1] / image.width)
    tall, wide = max(size[0], round(image.height * scale)), max(size[1], round(image.width * scale))
    whole = np.asarray(image.resize((wide, tall), Image.Resampling.BILINEAR))
    top, left = (tall - size[0]) // 2, (wide - size[1]) // 2
    return whole[top : top + size[0], left : left + size[1]]


@pytest.mark.parametrize("shape", [(40, 100), (31, 17), (9, 9), (200, 64), (3, 150)])
def test_a_crop_is_the_middle_of_the_resized_image(shape, rng):
    array = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    for size in ((32, 32), (17, 30), (5, 9)):
        expected = resized_and_cropped(array, size).astype(int)
        assert np.abs(decode(encoded(Image.fromarray(array)), "x", size) - expected).max() <= 1


def test_pad_keeps_all_and_squash_fills_all():
    array = np.zeros((20, 40), np.uint8)
    array[:, 20:] = 200
    wide = encoded(Image.fromarray(array))
    padded = decode(wide, "x", (8, 8), 1, fit="pad")[:, :, 0]
    assert (padded[[0, 1, 6, 7]] == 255).all()  # 4 of 8 rows are the image
    assert (padded[2:6, [0, 1, 2]] == 0).all() and (padded[2:6, [5, 6, 7]] == 200).all()
    squashed = decode(wide, "x", (8, 8), 1, fit="squash")[:, :, 0]
    assert (squashed[:, :3] == 0).all() and (squashed[:, 5:] == 200).all()
    tall = decode(encoded(plain(0, "L", (1, 900))), "x", (8, 8), 1, fit="pad")[:, :, 0]
    assert (tall[:, 3] == 0).all() and (tall == 255).sum() == 56  # at least one pixel wide
    assert fit_array(array[:, :, None], (8, 8), "pad").tolist() == padded[:, :, None].tolist()


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


def test_numbers_are_scaled_after_they_are_averaged():
    wide = np.repeat(np.array([[0, 257 * 100]], np.uint16), 8, axis=1)
    assert (
        decode(encoded(Image.fromarray(wide)), "x", (1, 1), fit="squash")[0, 0].tolist() == [50] * 3
    )
    holes = np.array([[np.nan, 0.5], [0.5, 0.5]], np.float32)
    assert decode(encoded(Image.fromarray(holes), "TIFF"), "x", None)[:, :, 0].tolist() == [
        [0, 128],
        [128, 128],
    ]


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


def test_files_of_many_kinds_are_read(tmp_path, rng):
    smooth = np.repeat(np.repeat(rng.integers(0, 256, (2, 2, 3), dtype=np.uint8), 16, 0), 16, 1)
    for ending in (
        *(".jfif", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".ppm", ".tga", ".jp2"),
        *(".avif", ".ico", ".pcx", ".sgi", ".qoi", ".dds", ".mpo", ".apng", ".icns", ".im"),
    ):
        path = tmp_path / f"image{ending}"
        assert images.is_image(path) and images.is_image(f"IMAGE{ending.upper()}")
        Image.fromarray(smooth).save(path, lossless=True, quality=95)
        read = images.decode(path, "x", (32, 32))
        error = np.abs(read.pixels[4:12, 4:12].astype(int) - smooth[0, 0]).max()
        assert error < 20, ending
    for ending in (
        ".pdf",
        ".mpg",
        ".eps",
        ".ps",
        ".h5",
        ".svg",
        ".txt",
        ".csv",
        ".zip",
        ".wmf",
        "",
    ):
        assert not images.is_image(f"file{ending}"), ending


def test_no_other_program_is_started_to_draw(monkeypatch):
    """Pillow has Ghostscript draw PostScript, whatever the file is called."""
    monkeypatch.setattr("subprocess.check_call", None)
    page = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    with pytest.raises(UsageError, match="not an image that Pillow knows"):
        decode(page, "cats/1.jpg", (8, 8))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_data_do_not_matter():
    image = encoded(plain((9, 9, 9)), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xffdamaged")
    assert decode(image, "x", None).shape == (4, 6, 3)


@pytest.mark.parametrize("turn", [1, 3, 6, 8])
def test_a_large_jpeg_is_decoded_at_a_part_of_its_size(turn, rng, monkeypatch):
    coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    photo = Image.fromarray(coarse).resize((1600, 1200), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = turn
    content = encoded(photo, "JPEG", quality=95, exif=exif)
    seen = []
    load = Image.Image.load
    monkeypatch.setattr(Image.Image, "load", lambda self: (seen.append(self.size), load(self))[1])
    small = images.decode(content, "x", (32, 32))
    assert max(seen) == (200, 150)  # an eighth
    assert small.size == ((1200, 1600) if turn in (1, 3) else (1600, 1200))
    upright = photo.rotate({1: 0, 3: 180, 6: -90, 8: 90}[turn], expand=True)
    expected = resized_and_cropped(np.asarray(upright), (32, 32)).astype(int)
    assert np.abs(small.pixels - expected).max() <= 8
    assert np.abs(small.pixels - expected).mean() <= 1
    for fit in ("pad", "squash"):
        assert images.decode(content, "x", (32, 32), fit=fit).pixels.shape == (32, 32, 3)


def bomb(width, height):
    """A PNG of some hundred bytes that says it has any number of pixels."""

    def chunk(kind, content):
        check = zlib.crc32(kind + content).to_bytes(4, "big")
        return len(content).to_bytes(4, "big") + kind + content + check

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    body = chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [(20_000, 10_000), (15_000, 10_000), (2**31 - 1, 2**31 - 1)])
def test_too_many_pixels_are_refused(size):
    with pytest.raises(
        UsageError, match=r"1\.png cannot be read \(it has more than 89 million pix"
    ):
        decode(bomb(*size), "1.png", (32, 32))


@pytest.mark.parametrize(
    ("image", "size"),
    [
        (plain(7, "L", (20_000, 1)), (224, 224)),
        (plain(7, "L", (1, 20_000)), (224, 224)),
        (plain((1, 2, 3), size=(6000, 6000)), (32, 32)),
    ],
    ids=["strip", "column", "36 megapixels"],
)
def test_large_and_long_images_take_little_memory(tmp_path, image, size):
    path = tmp_path / "large.jpg"
    image.save(path, quality=95)
    code = f"""
import resource
from pathlib import Path
from studies.data.images import decode
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
decode(Path("{path}"), "x", (1, 1))
before = peak()
decode(Path("{path}"), "x", {size})
print(peak() - before)
"""
    grown = float(subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True))
    assert grown < 40  # MB; the image of 36 megapixels is one of 144


def test_threads_wait_for_room():
    room = images._Room()
    order = []

    def work(name, pixels):
        with room.for_pixels(pixels):
            order.append(name)
            time.sleep(0.05)
            order.append(name)

    threads = [threading.Thread(target=work, args=(n, images.LARGEST)) for n in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert order in (["a", "a", "b", "b"], ["b", "b", "a", "a"])


def test_dimensions_come_from_the_head_alone(tmp_path):
    path = tmp_path / "1.png"
    path.write_bytes(bomb(640, 480))  # its pixels cannot be decoded
    assert images.dimensions(path, "x") == (480, 640)
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "2.jpg").write_bytes(encoded(plain((1, 2, 3)), "JPEG", exif=exif))
    assert images.dimensions(tmp_path / "2.jpg", "x") == (6, 4)
