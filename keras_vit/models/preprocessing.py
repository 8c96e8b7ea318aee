"""How the images of a checkpoint were prepared: what a model remembers of it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from keras_vit.layers.arguments import check_choice, is_number, is_positive, plain_numbers

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos3")
RESIZES = ("cover", "whole")


@dataclass(frozen=True)
class Preprocessing:
    """How the images of a checkpoint were prepared.

    Args:
        mean: of each channel, in [0, 1]; subtracted from the values.
        deviation: of each channel, in [0, 1]; the values are divided by it.
        size: `(height, width)` in pixels; None for that of the model.
        interpolation: of the resizing: `"nearest"`, `"bilinear"`, `"bicubic"` or `"lanczos3"`,
            always with antialiasing.
        crop: None resizes the whole image to `size`, whatever its proportions. With a number the
            image is resized to `size / crop`, and its centre of `size` is taken. Two numbers are of
            height and width.
        resize: how, with a crop: `"cover"` keeps the proportions, and the image covers `size / crop`
            just so; `"whole"` makes it of these sides, whatever its proportions.

    Raises:
        ValueError: for an unknown interpolation or resize, a mean or deviation that is not a number
            for each of the same channels, a deviation, size or crop that is not positive.

    Example:
        >>> keras_vit.preprocessing_of(model).mean
        (0.485, 0.456, 0.406)
    """

    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    deviation: tuple[float, ...] = (0.5, 0.5, 0.5)
    size: tuple[int, int] | None = None
    interpolation: str = "bilinear"
    crop: float | tuple[float, float] | None = None
    resize: str = "cover"

    def __post_init__(self):
        check_choice("interpolation", self.interpolation, INTERPOLATIONS)
        check_choice("resize", self.resize, RESIZES)
        for name in ("mean", "deviation"):
            object.__setattr__(self, name, _a_channel(name, getattr(self, name)))
        if len(self.mean) != len(self.deviation):
            raise ValueError(
                f"mean is of {len(self.mean)} channels and deviation of {len(self.deviation)}; give "
                "a number a channel in both."
            )
        if not all(value > 0 for value in self.deviation):
            raise ValueError(f"deviation is {self.deviation!r}; give positive numbers.")
        if self.size is not None:
            object.__setattr__(self, "size", _size(self.size))
        object.__setattr__(self, "crop", _crop(self.crop))
        if self.resize == "whole" and self.crop == 1:  # nothing is left to cut off
            object.__setattr__(self, "crop", None)
        if self.crop is None:
            object.__setattr__(self, "resize", "cover")  # one way to say that there is no crop

    @property
    def box(self) -> tuple[int, int] | None:
        """The sides `(height, width)` that an image covers, or has, before its centre is taken.

        Both projects round down; a crop that was a quotient of two sides comes back to the side. No
        side is below that of `size`, since no image is padded. None without a crop, or a size.
        """
        if self.crop is None or self.size is None:
            return None
        crops = self.crop if isinstance(self.crop, tuple) else (self.crop, self.crop)
        rows, columns = (
            max(side, math.floor(side / crop + 1e-6))
            for side, crop in zip(self.size, crops, strict=True)
        )
        return rows, columns


def _a_channel(name, value):
    """Returns the numbers of the channels as a tuple: JSON has lists."""
    numbers = () if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)
    if not numbers or not all(is_number(part) and math.isfinite(part) for part in numbers):
        raise ValueError(f"{name} is {value!r}; give a number a channel, as in (0.5, 0.5, 0.5).")
    return tuple(float(part) for part in numbers)


def _size(value):
    sides = () if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)
    if len(sides) != 2 or not all(is_positive(side) for side in sides):
        raise ValueError(f"size is {value!r}; give (height, width) in pixels.")
    return tuple(int(side) for side in sides)


def _crop(value):
    """Returns a crop as plain numbers: one, where height and width have the same."""
    if value is None:
        return None
    parts = list(plain_numbers(value)) if isinstance(value, list | tuple) else [value, value]
    if len(parts) != 2 or not all(is_number(part) and 0 < part < math.inf for part in parts):
        raise ValueError(
            f"crop is {value!r}; give the part of the image that is kept, above 0, two of them for "
            "height and width, or None for the whole image."
        )
    height, width = (plain_numbers(part) for part in parts)
    return height if height == width else (height, width)
