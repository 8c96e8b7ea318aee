"""Image files and arrays of any kind -> uint8 arrays of one size.

What Pillow reads is read. An image is made small before its colours are worked on, and a large JPEG
is decoded at a part of its size, so that no image takes gigabytes.
"""

from __future__ import annotations

import io
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile, JpegImagePlugin

from studies.errors import UsageError
from studies.machine.files import stamp
from studies.machine.threaded import threaded

ImageSize = tuple[int, int]  # (H, W)
Advance = Callable[[int], None]  # told how many images more are done

FITS = ("crop", "pad", "squash")
LARGEST = 89_478_485  # pixels of one decoded image: Pillow's own limit, 358 MB
_TOO_MANY = f"more than {LARGEST / 1e6:.0f} million pixels, which are not read"
_DRAFTED = ("JPEG", "MPO")
_MARGIN = 2  # a JPEG is decoded at this many times the size that is wanted, or more
_ORIENTATION = 0x0112  # EXIF's tag; what turns an image of each value upright
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (5, 6, 7, 8)

# Pillow warns of files that it reads all the same, and of sizes that are looked at here.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class UnreadableImage(UsageError):
    """An image that cannot be read; `reason` says why in a few words."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"The image {name} cannot be read ({reason}): repair or remove it.")
        self.reason = reason


class Decoded(NamedTuple):
    """An image's pixels (H, W, channels) uint8, and the size (H, W) that it has in its file."""

    pixels: np.ndarray
    size: ImageSize


def is_image(path: str | os.PathLike[str]) -> bool:
    """Whether a file's name ends as those of images do that Pillow reads."""
    return os.path.splitext(path)[1].lower() in _kinds()[1]


def decode(
    data: str | Path | bytes,
    name: str,
    size: ImageSize | None,
    channels: int = 3,
    fit: str = "crop",
) -> Decoded:
    """Decodes an image file: turned upright as EXIF says, made to fit, transparency on white.

    Args:
        data: the file's path or content.
        name: what to call it in a message.
        size: (H, W) in pixels; None keeps the image's own.
        channels: 3 for RGB, 1 for grey.
        fit: how an image of other proportions comes to (H, W): "crop" makes it just cover the size
            and cuts off what stands out at two sides; "pad" makes it just fit in and fills the rest
            with white; "squash" lets width and height change apart.

    Raises:
        UnreadableImage: the file is no image, damaged or larger than `LARGEST`.
    """
    try:
        with _open(data) as image:
            stored = image.size
            if size is not None and image.format in _DRAFTED:
                _draft(image, size, fit)
            # A progressive JPEG is held whole before it is made smaller.
            held = stored if image.info.get("progressive") else image.size
            pixels = held[0] * held[1]
            _check_pixels(pixels)
            with _room.for_pixels(pixels):
                deep = _is_deep(image)
                image.load()
                _check_pixels(image.width * image.height)  # an icon shows its size but now
                turn = _turn(image)
                upright = _turned(_averageable(image, deep), turn)
                small = _flat(_shrunk(upright, size, fit), "RGB" if channels == 3 else "L")
            return Decoded(_array(_padded(small, size)), _upright(stored, turn))
    except MemoryError:
        raise
    except Exception as error:  # Pillow's readers raise errors of many types on damaged files
        raise UnreadableImage(name, _reason(error, data)) from error


def dimensions(path: str | Path, name: str) -> ImageSize:
    """The size (H, W) in pixels of an image file, turned upright; its pixels are not decoded.

    Args:
        path: of the file.
        name: what to call it in a message.

    Raises:
        UnreadableImage: the file's head is not that of an image.
    """
    try:
        with _open(path) as image:
            # A PNG would be decoded to look for EXIF data behind its pixels, where hardly any has it.
            late = image.format == "PNG" and "exif" not in image.info
            return _upright(image.size, 1 if late else _turn(image))
    except MemoryError:
        raise
    except Exception as error:
        raise UnreadableImage(name, _reason(error, path)) from error


def fit_array(array: np.ndarray, size: ImageSize | None, fit: str = "crop") -> np.ndarray:
    """Makes an array (H, W, 1 or 3) of uint8 fit another size, as `decode` does a file's image."""
    if size is None or array.shape[:2] == size:
        return array
    image = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
    return _array(_padded(_shrunk(image, size, fit), size))


def parallel(function: Callable[[int], np.ndarray], indices: Sequence[int]) -> np.ndarray:
    """Calls a function for every index on all cores, and stacks the results in their order.

    Threads do: Pillow decodes and resizes outside Python's lock.
    """
    few = len(indices) < 32
    return np.stack(list((map if few else threaded)(function, indices)))


@cache
def _kinds() -> tuple[list[str], frozenset[str]]:
    """Pillow's formats that hold pictures, and the endings of their files' names.

    Not among them: what Pillow writes alone (PDF), knows without reading it (HDF5), or would have
    another program draw (EPS), whatever a file is called.
    """
    endings = Image.registered_extensions()  # loads all of Pillow's readers
    formats = [
        name
        for name, (reader, _) in Image.OPEN.items()
        if Image.MIME.get(name, "image/").startswith("image/")
        and not (isinstance(reader, type) and issubclass(reader, ImageFile.StubImageFile))
    ]
    # Files of several JPEGs are read by the reader of one.
    return formats, frozenset(e for e, name in endings.items() if name in {*formats, "MPO"})


def _open(data: str | Path | bytes) -> Image.Image:
    def source() -> io.BytesIO | str | Path:
        return io.BytesIO(data) if isinstance(data, bytes) else data

    if not isinstance(data, bytes):
        stamp(data)  # a pipe would be waited for, and a device may have no end
    try:
        return Image.open(source(), formats=_kinds()[0])
    except Image.DecompressionBombError:
        try:
            return JpegImagePlugin.JpegImageFile(source())  # it need not be decoded whole
        except SyntaxError:
            raise ValueError(f"it has {_TOO_MANY}") from None


def _turn(image: Image.Image) -> int:
    """EXIF's orientation, 1 where there is none or the EXIF data are damaged."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # the image itself may well be sound
        return 1
    return value if value in _TURNS else 1


def _upright(size: tuple[int, int], turn: int) -> ImageSize:
    """The (H, W) that an image of (width, height) has once it is turned."""
    return size if turn in _SIDEWAYS else (size[1], size[0])


def _turned(image: Image.Image, turn: int) -> Image.Image:
    return image.transpose(_TURNS[turn]) if turn in _TURNS else image


def _draft(image: Image.Image, size: ImageSize, fit: str) -> None:
    """Has a JPEG decoded at a half, a quarter or an eighth, where more than enough is left."""
    turn = _turn(image)
    height, width = _upright(image.size, turn)
    wide, tall = _scaled((width, height), size, fit)
    wanted = (tall, wide) if turn in _SIDEWAYS else (wide, tall)
    image.draft(None, (_MARGIN * wanted[0], _MARGIN * wanted[1]))


def _scaled(given: tuple[int, int], size: ImageSize, fit: str) -> tuple[int, int]:
    """(width, height) of the whole image once it just covers (H, W), fits in, or is squashed."""
    (width, height), (tall, wide) = given, size
    if fit == "squash":
        return wide, tall
    if fit == "crop":
        scale = max(tall / height, wide / width)
        return max(wide, round(width * scale)), max(tall, round(height * scale))
    scale = min(tall / height, wide / width)
    return min(wide, max(1, round(width * scale))), min(tall, max(1, round(height * scale)))


def _shrunk(image: Image.Image, size: ImageSize | None, fit: str) -> Image.Image:
    """Resized, with antialias where it becomes smaller, and cropped to (H, W); smaller for "pad"."""
    if size is None or (image.height, image.width) == size:
        return image
    height, width = size
    wide, tall = _scaled(image.size, size, fit)
    shown = min(width, wide), min(height, tall)
    # Only what is kept is computed: of a strip, the whole would be thousands of times as much.
    left, top = (wide - shown[0]) // 2, (tall - shown[1]) // 2
    across, down = image.width / wide, image.height / tall
    box = (left * across, top * down, (left + shown[0]) * across, (top + shown[1]) * down)
    return image.resize(shown, Image.Resampling.BILINEAR, box=box)


def _padded(image: Image.Image, size: ImageSize | None) -> Image.Image:
    """Laid in the middle of a white ground of (H, W); of mode "RGB" or "L"."""
    if size is None or (image.height, image.width) == size:
        return image
    height, width = size
    ground = Image.new(image.mode, (width, height), "white")
    ground.paste(image, ((width - image.width) // 2, (height - image.height) // 2))
    return ground


def _array(image: Image.Image) -> np.ndarray:
    array = np.asarray(image)
    return array[:, :, None] if array.ndim == 2 else array  # (H, W, 3 or 1)


class _Room:
    """Threads decode at the same time only as many pixels as one image may have."""

    def __init__(self) -> None:
        self._taken = 0
        self._changed = threading.Condition()

    @contextmanager
    def for_pixels(self, number: int) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._taken or self._taken + number <= LARGEST)
            self._taken += number
        try:
            yield
        finally:
            with self._changed:
                self._taken -= number
                self._changed.notify_all()


_room = _Room()


def _check_pixels(number: int) -> None:
    if number > LARGEST:
        raise ValueError(f"it has {_TOO_MANY}")


def _is_deep(image: Image.Image) -> bool:
    """Whether colours have 16 bits in the file, of which Pillow loads the upper 8."""
    return any(str(tile.args).startswith("RGB;16") for tile in getattr(image, "tile", ()))


def _averageable(image: Image.Image, deep: bool = False) -> Image.Image:
    """In a mode whose values are brightnesses: grey or RGB, perhaps with opacity, or numbers."""
    if image.mode.startswith("I"):
        return _numbers(image)
    if "transparency" in image.info or image.mode == "PA":
        if deep:  # the transparent colour is told in 16 bits, and Pillow would compare the lower 8
            image.info["transparency"] = tuple(value >> 8 for value in image.info["transparency"])
        return image.convert("RGBA")
    if image.mode == "F":
        values = np.asarray(image)
        most = np.fmax.reduce(values, axis=None)
        return Image.fromarray(values * np.float32(255)) if most <= 1 else image
    if image.mode in ("L", "LA", "RGB", "RGBA"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _numbers(image: Image.Image) -> Image.Image:
    """Integers in the machine's own order of bytes, which alone Pillow resizes; with opacity in 8 bits."""
    values = np.asarray(image)
    if image.mode not in ("I", "I;16"):
        image = Image.fromarray(values.astype(np.uint16))
    transparent = image.info.get("transparency")
    if not isinstance(transparent, int):
        return image
    opacity = np.where(values == transparent, 0, 255).astype(np.uint8)
    return Image.merge("LA", (_bytes(values / np.float32(257)), Image.fromarray(opacity)))


def _bytes(values: np.ndarray) -> Image.Image:
    """Numbers (H, W) from 0 to 255 as a grey image."""
    return Image.fromarray(np.clip(values + 0.5, 0, 255).astype(np.uint8))


def _flat(image: Image.Image, mode: str) -> Image.Image:
    """8 bits a channel, no transparency, RGB or grey."""
    if image.mode == "F" or image.mode.startswith("I"):  # "I;16", or "I" for 16 bits in 32
        values = np.nan_to_num(np.asarray(image).astype(np.float64))
        image = _bytes(values / 257 if image.mode != "F" else values)
    if image.mode in ("LA", "RGBA"):
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(ground, image)
    return image if image.mode == mode else image.convert(mode)


def _reason(error: Exception, data: str | Path | bytes) -> str:
    """Why an image could not be read, in one line."""
    if isinstance(error, Image.UnidentifiedImageError):  # its own words name an object in memory
        empty = not data if isinstance(data, bytes) else os.path.getsize(data) == 0
        return "the file is empty" if empty else "it is not an image that Pillow knows"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__
