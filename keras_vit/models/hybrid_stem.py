"""The ResNet stem of the hybrids (paper, section 3.1; vit_jax)."""

import keras

from keras_vit.layers.residual_unit import PostActivationUnit, group_norm
from keras_vit.layers.std_conv import StandardizedConv2D

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
    x = images
    if data_format == "channels_first":
        x = keras.layers.Permute((2, 3, 1), dtype=policy, name="channels_last")(x)
    x = StandardizedConv2D(
        width,
        7,
        strides=2,
        padding="same",
        use_bias=False,
        epsilon=1e-5,
        epsilon_inside_root=False,
        kernel_initializer="lecun_normal",
        data_format="channels_last",
        dtype=policy,
        name="stem_conv",
    )(x)
    x = group_norm(width, groups, EPSILON, policy, "stem_norm")(x)
    x = keras.layers.ReLU(dtype=policy, name="stem_relu")(x)
    x = keras.layers.MaxPooling2D(
        3, 2, padding="same", data_format="channels_last", dtype=policy, name="stem_pool"
    )(x)
    for stage, count in enumerate(block_counts, 1):
        for unit in range(1, count + 1):
            x = PostActivationUnit(
                width * 2 ** (stage - 1),
                strides=2 if unit == 1 and stage > 1 else 1,
                groups=groups,
                epsilon=EPSILON,
                dtype=policy,
                name=f"stem_stage{stage}_unit{unit}",
            )(x)
    return x
