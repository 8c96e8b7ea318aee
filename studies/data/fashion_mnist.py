"""Fashion-MNIST (Xiao et al. 2017, arXiv 1708.07747): 60,000 + 10,000 grey images of 28x28 pixels.

Read from the four original files, in their order: from Debian's package dataset-fashion-mnist where
it is installed, else downloaded (and checked) by TensorFlow Datasets in a process of its own. Both
ways lead to the same arrays.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np

from studies.data import tfds
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


class FashionMnist:
    """The source of the images; validation is cut out of the 60,000 (see `splits`)."""

    def __init__(self, cache: Path, size: ImageSize | None = None, fit: str = "crop") -> None:
        self.name = "fashion_mnist"
        self.class_names = CLASS_NAMES
        self.image_shape = (*(size or (28, 28)), 1)
        names = [name for pair in FILES.values() for name in pair]
        if all((DEBIAN / name).is_file() for name in names):
            paths = {name: DEBIAN / name for name in names}
        else:
            paths = tfds.download("fashion_mnist", names, cache, URL)
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
