"""Image files and arrays of any kind -> uint8 arrays of one size."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from studies.errors import UsageError
from studies.machine.threads import cores

ImageSize = tuple[int, int]  # (H, W)


def decode(data: Path | bytes, name: str, size: ImageSize | None, channels: int = 3) -> np.ndarray:
    """Decodes an image file: turned upright as EXIF says, transparency on white, then `fit`.

    Args:
        data: the file's path or content.
        name: what to call it in a message.
        size: (H, W) in pixels; None keeps the image's own.
        channels: 3 for RGB, 1 for grey.

    Returns:
        (H, W, channels) uint8.

    Raises:
        UsageError: the file is no image or damaged; the message names it.
    """
    try:
        with Image.open(io.BytesIO(data) if isinstance(data, bytes) else data) as image:
            image.load()
            upright = ImageOps.exif_transpose(image)
            return fit(_flat(upright, "RGB" if channels == 3 else "L"), size)
    except MemoryError:
        raise
    except Exception as error:  # Pillow's readers raise errors of many types on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(
            f"The image {name} cannot be read ({reason}): repair or remove it."
        ) from error


def dimensions(path: Path, name: str) -> ImageSize:
    """The size (H, W) in pixels of an image file, turned upright.

    Args:
        path: of the file.
        name: what to call it in a message.

    Raises:
        UsageError: the file is no image or damaged.
    """
    height, width, _ = decode(path, name, None, channels=1).shape
    return height, width


def fit(image: Image.Image, size: ImageSize | None) -> np.ndarray:
    """Resizes with antialias until the image just covers (H, W), then cuts out the centre.

    Args:
        image: of mode "RGB" or "L".
        size: (H, W) in pixels; for a square that sets the short side. None keeps the image as is.

    Returns:
        (H, W, 3 or 1) uint8.
    """
    if size is not None and (image.height, image.width) != size:
        height, width = size
        scale = max(height / image.height, width / image.width)
        tall, wide = (
            max(height, round(image.height * scale)),
            max(width, round(image.width * scale)),
        )
        image = image.resize((wide, tall), Image.Resampling.BILINEAR)  # antialiased when smaller
        left, top = (wide - width) // 2, (tall - height) // 2
        image = image.crop((left, top, left + width, top + height))
    array = np.asarray(image)
    return array[:, :, None] if array.ndim == 2 else array


def fit_array(array: np.ndarray, size: ImageSize | None) -> np.ndarray:
    """`fit` for an array (H, W, 1 or 3) of uint8."""
    if size is None or array.shape[:2] == size:
        return array
    return fit(Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array), size)


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


def _flat(image: Image.Image, mode: str) -> Image.Image:
    """8 bits a channel, no transparency, RGB or grey."""
    if image.mode.startswith("I"):  # 16 bits, which Pillow keeps as "I;16" or as 32-bit "I"
        values = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        image = Image.fromarray(((values + 128) // 257).astype(np.uint8))
    elif image.mode == "F":
        values = np.asarray(image)
        values = values * 255 if values.max(initial=0) <= 1 else values
        image = Image.fromarray(np.clip(np.nan_to_num(values) + 0.5, 0, 255).astype(np.uint8))
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(ground, image)
    return image if image.mode == mode else image.convert(mode)
