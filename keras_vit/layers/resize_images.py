"""Images of another size: resized with antialias, whole or their centre.

One of the few places that import a backend: functions of tf.data run in TensorFlow, whatever the
models run in. Of its tensors only a running graph may know the sides.
"""

import keras
from keras import ops

from keras_vit.layers.arguments import check_choice, check_flag
from keras_vit.layers.patches import as_pair
from keras_vit.layers.resample import interpolation_matrix

OVERSHOOTING = ("bicubic", "lanczos3")  # kernels with negative parts, which make halos at edges
BLACK, WHITE = 0, 255


def resize_images(
    images, size, box=None, interpolation="bilinear", data_format="channels_last", whole=False
):
    """Resizes images that do not have the size yet.

    Args:
        images: array or tensor `(B, H, W, C)` or `(H, W, C)` (`C` first with channels first),
            pixel values 0..255, floating point; TensorFlow's on any backend. H and W may be
            unknown where they are TensorFlow's.
        size: `(height, width)` in pixels.
        box: `(height, width)` that the image is made to cover just so, in its own proportions,
            before its centre of `size` is taken; None resizes it whole, whatever its proportions.
        interpolation: `"nearest"`, `"bilinear"`, `"bicubic"` or `"lanczos3"`, with antialias.
        data_format: of the images.
        whole: make the image as large as the box, whatever its proportions, not to cover it.

    Returns:
        A tensor of the size; the images themselves where they have it.
    """
    axes = (-3, -2) if data_format == "channels_last" else (-2, -1)
    sides = tuple(images.shape[axis] for axis in axes)
    if sides == tuple(size):
        return images
    if box is None:
        return _resized(images, size, axes, interpolation, data_format)
    if None in sides:
        large = _large_in_graph(images, axes, size, box, whole)
    else:
        large = tuple(box) if whole else _covering(sides, box)
    images = _resized(images, large, axes, interpolation, data_format)
    index, shape = [slice(None)] * len(images.shape), list(images.shape)
    for axis, side, kept in zip(axes, large, size, strict=True):
        start = (side - kept) // 2
        index[axis], shape[axis] = slice(start, start + kept), kept
    images = images[tuple(index)]
    if None in sides:  # a graph does not see that these are the size's
        images.set_shape(shape)
    return images


@keras.saving.register_keras_serializable(package="keras_vit")
class ResizeImages(keras.layers.Layer):
    """Resizes images whose sides only the call knows, as `resize_images` does.

    Args:
        size: `(height, width)` in pixels.
        box: that the image is made to cover before its centre is taken; None resizes it whole.
        interpolation: `"nearest"`, `"bilinear"`, `"bicubic"` or `"lanczos3"`, with antialias.
        data_format: of the images; None takes Keras' configured one.
        whole: make the image as large as the box, whatever its proportions, not to cover it.

    Call arguments:
        images: `(B, H, W, C)`, or `(B, C, H, W)` with channels first.

    Output shape:
        The same, with the size's height and width.

    Raises:
        ValueError: for a size that is none, an unknown data format, or a `whole` that is no bool.
    """

    def __init__(
        self, size, box=None, interpolation="bilinear", data_format=None, whole=False, **kwargs
    ):
        super().__init__(**kwargs)
        check_flag(whole=whole)
        self.whole = whole
        self.size = as_pair(size, "size")
        self.box = None if box is None else as_pair(box, "box")
        self.interpolation = interpolation
        self.data_format = data_format or keras.config.image_data_format()
        check_choice("data_format", self.data_format, ("channels_last", "channels_first"))

    def call(self, images):
        how = (self.size, self.box, self.interpolation, self.data_format, self.whole)
        return resize_images(images, *how)

    def compute_output_shape(self, images_shape):
        if self.data_format == "channels_first":
            return (*images_shape[:-2], *self.size)
        return (*images_shape[:-3], *self.size, images_shape[-1])

    def get_config(self):
        return {
            **super().get_config(),
            "size": self.size,
            "box": self.box,
            "interpolation": self.interpolation,
            "data_format": self.data_format,
            "whole": self.whole,
        }


def _covering(sides, box, larger=max):
    """Returns the sides of the smallest image of these proportions that covers a box."""
    (height, width), (rows, columns) = sides, box

    def scaled(product, divisor):  # as the projects round: down for a square, else to the nearest
        return product // divisor if rows == columns else (2 * product + divisor) // (2 * divisor)

    return (
        larger(rows, scaled(columns * height, width)),
        larger(columns, scaled(rows * width, height)),
    )


def _large_in_graph(images, axes, size, box, whole):
    """The sides before the centre is taken, as tensors; the size where the images have it already."""
    import tensorflow as tf

    sides = [_side(images, axis) for axis in axes]
    fits = tf.reduce_all(tf.equal(tf.stack(sides), size))
    large = box if whole else _covering(sides, box, tf.maximum)
    return [tf.where(fits, kept, side) for kept, side in zip(size, large, strict=True)]


def _resized(images, size, axes, interpolation, data_format):
    if interpolation not in OVERSHOOTING:
        return _resample(images, size, interpolation, data_format)
    # As Pillow, with which the projects resize: columns, then rows, each cut off at black and white
    # (Pillow 13 begins with rows where that is cheaper; the two differ at corners).
    height, width = (images.shape[axis] for axis in axes)
    for known, wanted, sides in (
        (width, size[1], (_side(images, axes[0]), size[1])),
        (height, size[0], size),
    ):
        if not (isinstance(wanted, int) and known == wanted):
            images = _cut_off(_resample(images, sides, interpolation, data_format))
    return images


def _side(images, axis):
    """An int, or a scalar tensor where only the graph knows it."""
    if images.shape[axis] is not None:
        return images.shape[axis]
    import tensorflow as tf

    return tf.shape(images)[axis]


def _cut_off(images):
    if not type(images).__module__.startswith("tensorflow."):
        return ops.clip(images, BLACK, WHITE)
    import tensorflow as tf

    return tf.clip_by_value(images, BLACK, WHITE)


def _resample(images, size, interpolation, data_format):
    if not type(images).__module__.startswith("tensorflow."):
        if interpolation == "lanczos3":  # which Keras does not have on PyTorch
            return _by_matrices(images, size, interpolation, data_format)
        return ops.image.resize(
            images, size, interpolation=interpolation, antialias=True, data_format=data_format
        )
    import tensorflow as tf

    *batch, a, b, c = range(len(images.shape))
    first = data_format == "channels_first"
    if first:
        images = tf.transpose(images, (*batch, b, c, a))
    images = tf.cast(tf.image.resize(images, size, interpolation, antialias=True), images.dtype)
    return tf.transpose(images, (*batch, c, a, b)) if first else images


def _by_matrices(images, size, interpolation, data_format):
    """Resizes by a product for the rows and one for the columns; all sides are known."""
    images = ops.convert_to_tensor(images)
    dtype = keras.backend.standardize_dtype(images.dtype)
    wide = dtype if dtype in ("float32", "float64") else "float32"
    letters = "hwc" if data_format == "channels_last" else "chw"
    for axis, wanted in zip("hw", size, strict=True):
        old = images.shape[letters.index(axis) - 3]
        if old == wanted:
            continue
        matrix = ops.convert_to_tensor(interpolation_matrix(old, wanted, interpolation), wide)
        batch = "b" if len(images.shape) == 4 else ""
        given, made = batch + letters, batch + letters.replace(axis, "n")
        images = ops.einsum(f"n{axis},{given}->{made}", matrix, ops.cast(images, wide))
    return ops.cast(images, dtype)
