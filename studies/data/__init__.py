"""Data sets as NumPy arrays: prepared once, split, nested subsets, batches; knows no Keras.

Names: "shapes" (drawn here), "fashion_mnist", "folder:PATH" (one folder a class) and every name of
TensorFlow Datasets whose images have one label each.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from studies.data.batches import AUGMENTATIONS, Batches
from studies.data.cache import cache_folder, prepared
from studies.data.dataset import Dataset, DatasetInfo, Replicate, Split, check_sizes
from studies.errors import UsageError

__all__ = [
    "AUGMENTATIONS",
    "Batches",
    "Dataset",
    "DatasetInfo",
    "Replicate",
    "Split",
    "cache_folder",
    "check_sizes",
    "describe",
    "load",
]


def load(
    name: str,
    image_size: int | tuple[int, int] | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> Dataset:
    """Opens a data set; the first call prepares it in the cache.

    Args:
        name: "shapes", "shapes:N" (N training images), "fashion_mnist", "folder:PATH" or a name of
            TensorFlow Datasets, with a config if need be ("imagenet_resized/32x32").
        image_size: side of the square images, or (H, W), in pixels; None keeps the native size.
        cache: the cache's folder; by default $KERAS_VIT_CACHE or ~/.cache/keras_vit.

    Returns:
        the data set; images are uint8 (N, H, W, C), C = 1 for grey ones.

    Raises:
        UsageError: the name is unknown, or the data cannot be read, downloaded or kept.

    Example:
        >>> data = load("fashion_mnist")
        >>> data.pools["train"].images.shape
        (60000, 28, 28, 1)
        >>> data.replicate(seed=0).counts
        {'train': 54000, 'validation': 6000, 'test': 10000}
    """
    from studies.data.prepare import read

    folder, info = _find(name, image_size, cache)
    return read(folder, info)


def describe(
    name: str,
    image_size: int | tuple[int, int] | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> DatasetInfo:
    """Describes a data set without opening its images; the first call prepares it.

    Args:
        name, image_size, cache: as for `load`.

    Raises:
        UsageError: as for `load`.

    Example:
        >>> describe("fashion_mnist").counts
        {'train': 54000, 'validation': 6000, 'test': 10000}
    """
    return _find(name, image_size, cache)[1]


def _find(
    name: str, image_size: int | tuple[int, int] | None, cache: str | os.PathLike[str] | None
) -> tuple[Path, DatasetInfo]:
    size = _size(image_size)
    place = cache_folder(cache)
    key, build = _source(name, size, place)
    folder, info = prepared(place, name, [key, size], build)
    return folder, DatasetInfo.from_dict({**info, "name": name})


def _source(name: str, size: tuple[int, int] | None, cache: Path) -> tuple[Any, Any]:
    """What decides a source's content, and a function that writes it into a folder.

    The modules are loaded where they are needed: a command's help should not wait for them.
    """
    from studies.data.prepare import write

    if name == "fashion_mnist":
        from studies.data.fashion_mnist import FashionMnist

        return "original files", lambda folder: write(folder, FashionMnist(cache, size))
    if name == "shapes" or name.startswith("shapes:"):
        from studies.data.shapes import Shapes, version

        source = Shapes(name, size)
        return version(), lambda folder: write(folder, source)
    if name.startswith("folder:"):
        from studies.data.folder import ImageFolder

        images = ImageFolder(name, size)
        return images.state(), lambda folder: write(folder, images)
    from studies.data.tfds import write_tfds

    return "tfds", lambda folder: write_tfds(folder, name, cache, size)


def _size(image_size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    if image_size is None:
        return None
    pair = tuple(image_size) if isinstance(image_size, list | tuple) else (image_size,) * 2
    if len(pair) != 2 or not all(isinstance(side, int) and side > 0 for side in pair):
        raise UsageError(
            f"The image size {image_size!r} is wrong: give a number of pixels above 0, such as 32."
        )
    return pair
