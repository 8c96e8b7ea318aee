"""Image files and arrays of any kind -> uint8 arrays of one size.

What Pillow reads is read. An image is made small before its colours are worked on, and a large JPEG
is decoded at a part of its size, so that no image takes gigabytes.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile

from studies.errors import UsageError
from studies.machine.threads import cores

ImageSize = tuple[int, int]  # (H, W)
Advance = Callable[[int], None]  # told how many images more are done

FITS = ("crop", "pad", "squash")
LARGEST = 89_478_485  # pixels of one decoded image: Pillow's own limit, 358 MB
_MARGIN = 2  # a JPEG is decoded at this many times the size that is wanted, or more
_WHITE = 255
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


def is_image(path: str | PurePath) -> bool:
    """Whether a file's name ends as those of images do that Pillow reads."""
    return PurePath(path).suffix.lower() in _kinds()[1]


def decode(
    data: Path | bytes,
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
        fit: one of `FITS`, see `resize`.

    Raises:
        UnreadableImage: the file is no image, damaged or larger than `LARGEST`.
    """
    try:
        with _open(data) as image:
            turn = _turn(image)
            height, width = _upright(image.size, turn)
            if size is not None:
                _draft(image, size, fit, turn)
            pixels = image.width * image.height
            # A progressive JPEG is held whole before it is made smaller.
            _check_pixels(height * width if image.info.get("progressive") else pixels)
            with _room.for_pixels(pixels):
                image.load()
                _check_pixels(image.width * image.height)  # an icon shows its size but now
                small = resize(_turned(_colours(image), turn), size, fit)
            array = np.asarray(_flat(small, "RGB" if channels == 3 else "L"))
            return Decoded(array[:, :, None] if array.ndim == 2 else array, (height, width))
    except MemoryError:
        raise
    except Exception as error:  # Pillow's readers raise errors of many types on damaged files
        raise UnreadableImage(name, _reason(error)) from error


def dimensions(path: Path, name: str) -> ImageSize:
    """The size (H, W) in pixels of an image file, turned upright; its pixels are not decoded.

    Args:
        path: of the file.
        name: what to call it in a message.

    Raises:
        UnreadableImage: the file's head is not that of an image.
    """
    try:
        with _open(path) as image:
            return _upright(image.size, _turn(image))
    except MemoryError:
        raise
    except Exception as error:
        raise UnreadableImage(name, _reason(error)) from error


def resize(image: Image.Image, size: ImageSize | None, fit: str = "crop") -> Image.Image:
    """Makes an image fit (H, W), with antialias where it becomes smaller.

    Args:
        image: of a mode that can be interpolated (not of a palette).
        size: (H, W) in pixels; None keeps the image as it is.
        fit: "crop" makes it just cover the size and cuts off what stands out at two sides; "pad"
            makes it just fit in and fills the rest with white; "squash" lets width and height
            change apart.
    """
    if size is None or (image.height, image.width) == size:
        return image
    height, width = size
    bilinear = Image.Resampling.BILINEAR
    if fit == "squash":
        return image.resize((width, height), bilinear)
    wide, tall = _scaled(image.size, size, fit)
    if fit == "pad":
        small = image.resize((wide, tall), bilinear)
        ground = Image.new(image.mode, (width, height), _white(image.mode))
        ground.paste(small, ((width - wide) // 2, (height - tall) // 2))
        return ground
    # Only what is kept is computed: of a strip, the whole would be thousands of times as much.
    left, top = (wide - width) // 2, (tall - height) // 2
    across, down = image.width / wide, image.height / tall
    box = (left * across, top * down, (left + width) * across, (top + height) * down)
    return image.resize((width, height), bilinear, box=box)


def fit_array(array: np.ndarray, size: ImageSize | None, fit: str = "crop") -> np.ndarray:
    """`resize` for an array (H, W, 1 or 3) of uint8."""
    if size is None or array.shape[:2] == size:
        return array
    image = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
    return np.asarray(resize(image, size, fit)).reshape(*size, array.shape[2])


def parallel(function: Callable[[int], np.ndarray], indices: Sequence[int]) -> np.ndarray:
    """Calls a function for every index on all cores, and stacks the results in their order.

    Threads do: Pillow decodes and resizes outside Python's lock.
    """
    workers = len(cores())
    if workers == 1 or len(indices) < 32:
        return np.stack([function(index) for index in indices])
    pool = ThreadPoolExecutor(workers)
    try:
        return np.stack(list(pool.map(function, indices)))
    finally:
        pool.shutdown(cancel_futures=True)  # after an error the rest need not be decoded


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


def _open(data: Path | bytes) -> Image.Image:
    source = io.BytesIO(data) if isinstance(data, bytes) else data
    return Image.open(source, formats=_kinds()[0])


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


def _draft(image: Image.Image, size: ImageSize, fit: str, turn: int) -> None:
    """Has a JPEG decoded at a half, a quarter or an eighth, where more than enough is left."""
    height, width = _upright(image.size, turn)
    wide, tall = _scaled((width, height), size, fit)
    wanted = (tall, wide) if turn in _SIDEWAYS else (wide, tall)
    image.draft(None, (_MARGIN * wanted[0], _MARGIN * wanted[1]))


def _scaled(given: tuple[int, int], size: ImageSize, fit: str) -> tuple[int, int]:
    """(width, height) of a whole image that just covers or just fits into (H, W), or is squashed."""
    (width, height), (tall, wide) = given, size
    if fit == "squash":
        return wide, tall
    if fit == "crop":
        scale = max(tall / height, wide / width)
        return max(wide, round(width * scale)), max(tall, round(height * scale))
    scale = min(tall / height, wide / width)
    return min(wide, max(1, round(width * scale))), min(tall, max(1, round(height * scale)))


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
        raise ValueError(
            f"it has {number / 1e6:.0f} million pixels, more than the {LARGEST / 1e6:.0f} that are read"
        )


def _colours(image: Image.Image) -> Image.Image:
    """In a mode whose values can be averaged: grey or RGB, perhaps with opacity, or numbers ("F")."""
    if "transparency" in image.info or image.mode == "PA":
        return image.convert("RGBA")
    if image.mode.startswith("I"):  # 16 bits, which Pillow keeps as "I;16" or as 32-bit "I"
        return _scaled_numbers(image.convert("I").convert("F"), 1 / 257)
    if image.mode == "F":
        values = np.nan_to_num(np.asarray(image))
        return _scaled_numbers(Image.fromarray(values), 255 if values.max(initial=0) <= 1 else 1)
    if image.mode in ("L", "LA", "RGB", "RGBA"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _scaled_numbers(image: Image.Image, factor: float) -> Image.Image:
    """Numbers "F", so that 0 to 255 is from black to white; what lies beyond is cut."""
    values = np.array(image)
    values *= np.float32(factor)
    return Image.fromarray(np.clip(values, 0, _WHITE, out=values))


def _white(mode: str) -> float | tuple[int, ...]:
    return float(_WHITE) if mode == "F" else (_WHITE,) * len(Image.new(mode, (1, 1)).getbands())


def _flat(image: Image.Image, mode: str) -> Image.Image:
    """8 bits a channel, no transparency, RGB or grey."""
    if image.mode == "F":
        image = Image.fromarray((np.asarray(image) + 0.5).astype(np.uint8))
    if image.mode in ("LA", "RGBA"):
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, (_WHITE,) * 4)
        image = Image.alpha_composite(ground, image)
    return image if image.mode == mode else image.convert(mode)


def _reason(error: Exception) -> str:
    """Why an image could not be read, in one line."""
    if isinstance(error, Image.UnidentifiedImageError):
        return "it is not an image that Pillow knows"  # its own words name an object in memory
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__
