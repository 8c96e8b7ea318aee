"""The ResNet stem of the hybrids (paper, section 3.1; vit_jax)."""

import keras

from keras_vit.layers.group_norm import GroupNormalization
from keras_vit.layers.residual_unit import HYBRID_CONV, PostActivationUnit, standardized_conv
from keras_vit.models.residual_stages import channels_last, residual_stages

EPSILON = 1e-6  # Flax's default, with which the published hybrids were trained


def hybrid_stem(images, block_counts, data_format, policy, width=64, groups=32):
    """Builds the post-activation ResNet up to its last stage.

    Args:
        images: symbolic `(B, H, W, C)`.
        block_counts: units of each stage; empty for the root alone.
        data_format: of the images; the stem itself runs channels last.
        policy: dtype policy.

    Returns:
        Symbolic feature map `(B, H / r, W / r, C')`, channels last, r = 4 * 2^(stages - 1).

    Reference:
        google-research/vision_transformer, vit_jax/models_vit.py and models_resnet.py.
    """
    x = channels_last(images, data_format, policy)
    x = standardized_conv(width, 7, 2, policy, "stem_conv", **HYBRID_CONV)(x)
    x = GroupNormalization(groups, EPSILON, dtype=policy, name="stem_norm")(x)
    x = keras.layers.ReLU(dtype=policy, name="stem_relu")(x)
    x = keras.layers.MaxPooling2D(
        3, 2, padding="same", data_format="channels_last", dtype=policy, name="stem_pool"
    )(x)
    return residual_stages(
        x,
        PostActivationUnit,
        block_counts,
        width,
        prefix="stem_",
        groups=groups,
        epsilon=EPSILON,
        dtype=policy,
    )


def stem_side(side, block_counts):
    """Returns the height or width of the feature map for images of `side` pixels."""
    halvings = 2 + max(len(block_counts) - 1, 0)  # root, pooling, all stages but the first
    return -(-side // 2**halvings)
