"""Images with as many channels as a model takes: grey ones repeated, colours turned to grey."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from studies.data.dataset import Dataset

# ITU-R 601 luma in 16 bits, rounded, which is what Pillow's mode "L" has.
_LUMA, _HALF, _BITS = np.array([19595, 38470, 7471], np.int32), 2**15, 16


def with_channels(data: Dataset, channels: int) -> Dataset:
    """A data set whose images have 1 or 3 channels, converted as they are read.

    Args:
        data: the data set; it comes back as it is where it has so many channels already.
        channels: 1 or 3.
    """
    height, width, own = data.info.image_shape
    if own == channels:
        return data
    info = replace(data.info, image_shape=(height, width, channels))
    pools = {
        split: replace(pool, images=Converted(pool.images, channels))
        for split, pool in data.pools.items()
    }
    return replace(data, info=info, pools=pools)


def convert(images: np.ndarray, channels: int) -> np.ndarray:
    """uint8 images (..., H, W, C) with 1 or 3 channels -> the same with `channels`, 1 or 3."""
    if images.shape[-1] == channels:
        return images
    if channels == 3:
        return np.repeat(images, 3, axis=-1)
    luma = (images.astype(np.int32) @ _LUMA + _HALF) >> _BITS
    return luma.astype(np.uint8)[..., None]


class Converted:
    """An array of images, converted when they are asked for: they may be more than memory holds.

    Args:
        array: (N, H, W, C) uint8.
        channels: 1 or 3.
    """

    def __init__(self, array: Any, channels: int) -> None:
        self._array, self._channels = array, channels
        self.shape = (*array.shape[:-1], channels)
        self.dtype = array.dtype

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, key: Any) -> np.ndarray:
        return convert(self._array[key], self._channels)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)
