"""Fashion-MNIST (Xiao et al. 2017, arXiv 1708.07747): 60,000 + 10,000 grey images of 28x28 pixels.

Read from the four original files, in their order, of Debian's package dataset-fashion-mnist where it is
installed; else as TensorFlow Datasets has prepared it in the user's own folders, in the order that it has
there; else the original files are downloaded (and checked) by TensorFlow Datasets. It runs in a process
of its own. With and without a download the arrays are the same; another order is another draw of the
training images, and a data set of its own.
"""

from __future__ import annotations

import gzip
import importlib.util
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from studies.data import tfds
from studies.data.building import build
from studies.data.images import ImageSize, fit_array
from studies.errors import UsageError

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
URL: str | None = None  # None: the address that TensorFlow Datasets knows
CLASS_NAMES = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
]
FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
_NAMES = [name for pair in FILES.values() for name in pair]


def write_fashion_mnist(
    folder: Path, cache: Path, size: ImageSize | None, fit: str
) -> dict[str, Any]:
    """Writes the images into a folder (see `building.build`); downloads them if need be.

    Args:
        folder: empty.
        cache: the cache's folder; downloads are kept in its folder "tfds".
        size: (H, W) in pixels; None keeps 28x28.
        fit: see `images.decode`.

    Returns:
        the description.

    Raises:
        UsageError: a file is damaged, or the download failed.
    """
    if not _installed() and importlib.util.find_spec("tensorflow_datasets"):
        found = tfds.write_prepared(folder, "fashion_mnist", cache, size, fit)
        if found is not None:
            return found
    return build(folder, FashionMnist(cache, size, fit))


def _installed() -> dict[str, Path]:
    """The original files of Debian's package by name; empty where it is not installed."""
    paths = {name: DEBIAN / name for name in _NAMES}
    return paths if all(path.is_file() for path in paths.values()) else {}


class FashionMnist:
    """The source of the original files; validation is cut out of the 60,000 (see `splits`)."""

    def __init__(self, cache: Path, size: ImageSize | None = None, fit: str = "crop") -> None:
        self.name = "fashion_mnist"
        self.class_names = CLASS_NAMES
        self.image_shape = (*(size or (28, 28)), 1)
        paths = _installed() or tfds.download("fashion_mnist", _NAMES, cache, URL)
        self._size, self._fit = size, fit
        self._images = {split: read_idx(paths[pair[0]]) for split, pair in FILES.items()}
        self.labels = {split: read_idx(paths[pair[1]]) for split, pair in FILES.items()}

    def images(self, split: str, indices: np.ndarray) -> np.ndarray:
        chosen = self._images[split][indices][..., None]
        if self._size in (None, (28, 28)):
            return chosen
        return np.stack([fit_array(image, self._size, self._fit) for image in chosen])


def read_idx(path: Path) -> np.ndarray:
    """Reads a gzipped file in the IDX format of MNIST, of unsigned bytes.

    Args:
        path: of the file.

    Returns:
        uint8, of the shape that the file's head tells.

    Raises:
        UsageError: the file is damaged.

    Reference:
        http://yann.lecun.com/exdb/mnist/
    """
    try:
        with gzip.open(path) as file:
            content = file.read()
        rank = content[3]
        shape = tuple(int(n) for n in np.frombuffer(content, ">i4", rank, offset=4))
        if content[:3] != b"\x00\x00\x08":
            raise ValueError("it is not an IDX file of bytes")
        return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)
    except (OSError, EOFError, ValueError, IndexError, zlib.error) as error:
        raise UsageError(
            f"The file {path} of fashion_mnist cannot be read ({error}): install it again, or "
            f"remove it so that it is downloaded."
        ) from error
