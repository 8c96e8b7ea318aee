"""Images to sequences of flattened patches (paper, section 3.1)."""

import keras
from keras import ops

from keras_vit.layers.arguments import is_positive
from keras_vit.layers.graph_check import check_in_graph


@keras.saving.register_keras_serializable(package="keras_vit")
class Patches(keras.layers.Layer):
    """Cuts images into non-overlapping patches and flattens each of them.

    Patches come in row-major order; the values of a patch in (row, column, channel) order,
    whatever the data format, so that a `Dense` layer on them is the authors' patch convolution.

    Args:
        patch_size: height and width of a patch in pixels, an int or a pair `(height, width)`.
        data_format: `"channels_last"` or `"channels_first"`; None takes Keras' configured one.

    Input shape:
        `(B, H, W, C)`, or `(B, C, H, W)` with channels first.

    Output shape:
        `(B, N, ph * pw * C)` with `N = (H / ph) * (W / pw)`.

    Raises:
        ValueError: if the patch size does not divide the image size.

    Example:
        >>> keras_vit.Patches(16)(np.zeros((2, 224, 224, 3))).shape
        (2, 196, 768)

    Reference:
        Dosovitskiy et al., arXiv 2010.11929, section 3.1.
    """

    def __init__(self, patch_size, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.patch_size = as_pair(patch_size, "patch_size")
        self.data_format = keras.config.image_data_format() if data_format is None else data_format
        if self.data_format not in ("channels_last", "channels_first"):
            raise ValueError(
                f"data_format is {data_format!r}; use 'channels_last' or 'channels_first'."
            )

    def call(self, images):
        (ph, pw), (_, channels) = self.patch_size, self._grid_and_channels(images.shape)
        batch, (rows, columns) = ops.shape(images)[0], self.grid(images)
        self._check_open_sides(images)
        if self.data_format == "channels_first":
            x = ops.reshape(images, (batch, channels, rows, ph, columns, pw))
            x = ops.transpose(x, (0, 2, 4, 3, 5, 1))
        else:
            x = ops.reshape(images, (batch, rows, ph, columns, pw, channels))
            x = ops.transpose(x, (0, 1, 3, 2, 4, 5))  # (B, rows, columns, ph, pw, C)
        return ops.reshape(x, (batch, rows * columns, ph * pw * channels))

    def compute_output_shape(self, input_shape):
        (rows, columns), channels = self._grid_and_channels(input_shape)
        number = None if rows is None or columns is None else rows * columns
        return (input_shape[0], number, self.patch_size[0] * self.patch_size[1] * channels)

    def get_config(self):
        return {
            **super().get_config(),
            "patch_size": self.patch_size,
            "data_format": self.data_format,
        }

    def grid_of(self, input_shape):
        """Returns rows and columns of the patches; None for those of an unknown side."""
        return self._grid_and_channels(input_shape)[0]

    def grid(self, images):
        """Returns rows and columns of the patches as they are when it runs, ints or tensors."""
        shape = ops.shape(images)
        return tuple(
            shape[axis] // size for axis, size in zip(self._axes, self.patch_size, strict=True)
        )

    @property
    def _axes(self):
        return (2, 3) if self.data_format == "channels_first" else (1, 2)

    def _check_open_sides(self, images):
        for side, axis, patch in zip(("height", "width"), self._axes, self.patch_size, strict=True):
            if images.shape[axis] is None:
                size = ops.shape(images)[axis]
                message = [
                    f"The image {side}",
                    size,
                    f"is not a multiple of the patch {side} {patch}",
                ]
                check_in_graph(ops.equal(size % patch, 0), message)

    def _grid_and_channels(self, shape):
        if len(shape) != 4:
            raise ValueError(f"Patches takes images of rank 4, but the shape is {tuple(shape)}.")
        first = self.data_format == "channels_first"
        channels, (height, width) = (shape[1], shape[2:4]) if first else (shape[3], shape[1:3])
        return patch_grid((height, width), self.patch_size), channels


def patch_grid(image_size, patch_size):
    """Returns the rows and columns of patches in an image; an unknown side gives None.

    Args:
        image_size: `(height, width)` in pixels.
        patch_size: `(height, width)` in pixels.

    Returns:
        `(rows, columns)`.

    Raises:
        ValueError: if the patch size does not divide the image size.
    """
    for side, size, patch in zip(("height", "width"), image_size, patch_size, strict=True):
        if size is not None and size % patch:
            raise ValueError(
                f"The image {side} {size} is not a multiple of the patch {side} {patch}; "
                f"resize the images (to {max(1, round(size / patch)) * patch}, say) "
                "or choose a patch size that divides them."
            )
    return tuple(
        None if size is None else size // patch
        for size, patch in zip(image_size, patch_size, strict=True)
    )


def as_pair(value, name):
    """Returns `value` as a pair of positive ints; an int stands for both."""
    pair = tuple(value) if isinstance(value, list | tuple) else (value, value)
    if len(pair) != 2 or not all(is_positive(side) for side in pair):
        raise ValueError(f"{name} is {value!r}; give a positive int or a pair of them.")
    return tuple(int(side) for side in pair)
