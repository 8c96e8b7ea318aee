"""What masked patch prediction predicts: the mean colour of a patch, in 3 bits a channel."""

import math

import keras
from keras import ops

from keras_vit.layers.patches import Patches

LEVELS = 8  # 3 bits


def mean_colour_classes(images, patch_size, data_format="channels_last"):
    """Returns the class of each patch's mean colour, 3 bits for each channel.

    With means r, g, b in [-1, 1], each becomes a level `floor((mean + 1) / 2 * 8)`, at most 7, and
    the class is `64 * r + 8 * g + b`: the first channel counts most.

    Args:
        images: `(B, H, W, C)`, or `(B, C, H, W)` with channels first, values in [-1, 1], as
            `preprocess_input(images)` makes them without a model.
        patch_size: int or `(height, width)` in pixels.
        data_format: `"channels_last"` or `"channels_first"`.

    Returns:
        int32 tensor `(B, N)` in [0, 8^C), patches row by row.

    Raises:
        ValueError: for more than ten channels, whose classes 32 bits do not hold.
    """
    levels = mean_colour_levels(images, patch_size, data_format)
    channels = levels.shape[-1]
    if channels > 10:
        raise ValueError(
            f"The colours of {channels} channels are 8 ** {channels} classes, more than 32 bits "
            "hold; use mean_colour_levels, which has 8 for each channel."
        )
    places = [LEVELS ** (channels - 1 - channel) for channel in range(channels)]
    return ops.sum(levels * ops.convert_to_tensor(places, "int32"), axis=-1)


def mean_colour_levels(images, patch_size, data_format="channels_last"):
    """Returns the level of each channel of each patch's mean colour, 3 bits each.

    Args:
        images: as in `mean_colour_classes`.
        patch_size: int or `(height, width)` in pixels.
        data_format: `"channels_last"` or `"channels_first"`.

    Returns:
        int32 tensor `(B, N, C)` in [0, 8): `floor((mean + 1) / 2 * 8)`, at most 7.
    """
    cut = Patches(patch_size, data_format, dtype="float32")
    patches = cut(ops.cast(images, "float32"))  # (B, N, P * P * C)
    pixels = math.prod(cut.patch_size)
    shape = (-1, patches.shape[1], pixels, patches.shape[-1] // pixels)
    level = ops.floor((ops.mean(ops.reshape(patches, shape), axis=2) + 1) / 2 * LEVELS)
    return ops.cast(ops.clip(level, 0, LEVELS - 1), "int32")


class ColourLoss(keras.losses.Loss):
    """Cross-entropy of a patch's colour, the sum of its channels' where they stand alone.

    Reduced by Keras, which divides by the number of replicas where TensorFlow adds up theirs.
    """

    def __init__(self):
        super().__init__(name="colour", reduction="mean_with_sample_weight")

    def call(self, y_true, y_pred):
        losses = keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)
        return ops.sum(losses, axis=-1) if len(losses.shape) == 3 else losses
