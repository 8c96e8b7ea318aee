"""The part of a ResNet that BiT and the hybrids' stem have in common."""

import keras


def channels_last(images, data_format, policy):
    """Returns symbolic images as `(B, H, W, C)`: CPUs convolve channels last only."""
    if data_format == "channels_last":
        return images
    return keras.layers.Permute((2, 3, 1), dtype=policy, name="channels_last")(images)


def residual_stages(x, unit, block_counts, width, prefix="", **arguments):
    """Puts stages of residual units on a feature map.

    The width doubles and the resolution halves from one stage to the next.

    Args:
        x: symbolic `(B, H, W, C)`.
        unit: `PreActivationUnit` or `PostActivationUnit`.
        block_counts: number of units of each stage.
        width: of the first stage's 3x3 convolutions.
        prefix: of the units' names.
        **arguments: of each unit.

    Returns:
        Symbolic `(B, H / r, W / r, C')`, r = 2^(stages - 1).
    """
    for stage, count in enumerate(block_counts, 1):
        for number in range(1, count + 1):
            x = unit(
                width * 2 ** (stage - 1),
                strides=2 if number == 1 and stage > 1 else 1,
                name=f"{prefix}stage{stage}_unit{number}",
                **arguments,
            )(x)
    return x
