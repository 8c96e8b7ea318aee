"""How the images of a checkpoint were prepared: what a model remembers of it."""

from dataclasses import dataclass

from keras_vit.layers.arguments import check_choice, plain_numbers

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos3")


@dataclass(frozen=True)
class Preprocessing:
    """How the images of a checkpoint were prepared.

    Args:
        mean: of each channel, in [0, 1]; taken from the values.
        deviation: of each channel, in [0, 1]; the values are divided by it.
        size: `(height, width)` in pixels; None for that of the model.
        interpolation: of the resizing: `"nearest"`, `"bilinear"`, `"bicubic"` or `"lanczos3"`,
            always with antialiasing.
        crop: None resizes the whole image to `size`, whatever its proportions. A number resizes
            its short side so that `size` is that part of it, and takes the centre.

    Raises:
        ValueError: for an unknown interpolation, or text where numbers belong.

    Example:
        >>> keras_vit.preprocessing_of(model).mean
        (0.485, 0.456, 0.406)
    """

    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    deviation: tuple[float, ...] = (0.5, 0.5, 0.5)
    size: tuple[int, int] | None = None
    interpolation: str = "bilinear"
    crop: float | None = None

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
        object.__setattr__(self, "crop", plain_numbers(self.crop))
