"""How the images of a checkpoint were prepared: what a model remembers of it."""

import math
from dataclasses import dataclass

from keras_vit.layers.arguments import check_choice, is_number, plain_numbers

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos3")


@dataclass(frozen=True)
class Preprocessing:
    """How the images of a checkpoint were prepared.

    Args:
        mean: of each channel, in [0, 1]; subtracted from the values.
        deviation: of each channel, in [0, 1]; the values are divided by it.
        size: `(height, width)` in pixels; None for that of the model.
        interpolation: of the resizing: `"nearest"`, `"bilinear"`, `"bicubic"` or `"lanczos3"`,
            always with antialiasing.
        crop: None resizes the whole image to `size`, whatever its proportions. A number keeps them:
            the image is made to cover `size / crop` just so, and its centre of `size` is taken. Two
            numbers are of height and width.

    Raises:
        ValueError: for an unknown interpolation, text where numbers belong, or a crop that is not
            positive.

    Example:
        >>> keras_vit.preprocessing_of(model).mean
        (0.485, 0.456, 0.406)
    """

    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    deviation: tuple[float, ...] = (0.5, 0.5, 0.5)
    size: tuple[int, int] | None = None
    interpolation: str = "bilinear"
    crop: float | tuple[float, float] | None = None

    def __post_init__(self):
        check_choice("interpolation", self.interpolation, INTERPOLATIONS)
        for name in ("mean", "deviation"):  # JSON has lists
            if isinstance(getattr(self, name), str):  # whose digits would be taken for channels
                raise ValueError(f"{name} is {getattr(self, name)!r}; give a number a channel.")
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))
        if self.size is not None:
            if isinstance(self.size, str):
                raise ValueError(f"size is {self.size!r}; give (height, width) in pixels.")
            object.__setattr__(self, "size", tuple(int(side) for side in self.size))
        object.__setattr__(self, "crop", _crop(self.crop))

    @property
    def box(self) -> tuple[int, int] | None:
        """The sides `(height, width)` that an image is made to cover before its centre is taken.

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
