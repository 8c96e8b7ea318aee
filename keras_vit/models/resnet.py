"""BiT: the ResNet baseline of the paper (section 4.1)."""

import keras

from keras_vit.layers.activations import activation_name
from keras_vit.layers.arguments import (
    check_block_counts,
    check_choice,
    check_epsilon,
    check_flag,
    check_input_shape,
    check_positive,
    is_number,
)
from keras_vit.layers.group_norm import GroupNormalization
from keras_vit.layers.residual_unit import PreActivationUnit, standardized_conv
from keras_vit.models.head import classification_head
from keras_vit.models.image_model import ImageModel, layer_policy
from keras_vit.models.residual_stages import channels_last, residual_stages

STEMS = ("imagenet", "small")


@keras.saving.register_keras_serializable(package="keras_vit")
class ResNet(ImageModel):
    """A pre-activation ResNetV2 with GroupNorm and standardised convolutions, as in BiT.

    Args:
        input_shape: `(H, W, C)`, or `(C, H, W)` with channels first.
        block_counts: residual units of each stage; the width doubles and the resolution halves
            from one stage to the next.
        width_factor: multiplies the width 64 of the first stage; below 1 is allowed.
        stem: `"imagenet"` (7x7 with stride 2, max-pooling) or `"small"` (3x3 with stride 1, no
            pooling) for images below 64 pixels.
        classes: number of outputs; None gives the pooled features (no head).
        bottleneck: bottleneck units (1x1, 3x3, 1x1) or basic ones (3x3, 3x3).
        groups: of the GroupNorms; it must divide every width.
        epsilon: of the GroupNorms.
        classifier_activation: of the output; None for logits.
        data_format: of the images; the convolutions themselves run channels last.

    Input shape:
        `(B, *input_shape)`, values in [-1, 1].

    Output shape:
        `(B, classes)`, or `(B, features)` with `classes=None`.

    Raises:
        ValueError: for an argument that does not fit; the message says which values do.

    Example:
        >>> resnet = keras_vit.ResNet(
        ...     input_shape=(32, 32, 3), block_counts=(1, 1, 1), width_factor=0.5, stem="small",
        ...     classes=10, bottleneck=False)

    Reference:
        Kolesnikov et al., "Big Transfer (BiT)", arXiv 1912.11370; arXiv 2010.11929, section 4.1;
        google-research/big_vision, models/bit_paper.py.
    """

    def __init__(
        self,
        input_shape=(224, 224, 3),
        block_counts=(3, 4, 6, 3),
        width_factor=1,
        stem="imagenet",
        classes=1000,
        bottleneck=True,
        groups=32,
        epsilon=1e-5,
        classifier_activation=None,
        data_format=None,
        dtype=None,
        name=None,
    ):
        policy = layer_policy(dtype)
        data_format = data_format or keras.config.image_data_format()
        input_shape = check_input_shape(input_shape, data_format)
        check_choice("stem", stem, STEMS)
        check_positive(groups=groups)
        groups = int(groups)
        check_epsilon(epsilon=epsilon)
        check_flag(bottleneck=bottleneck)
        block_counts = check_block_counts("block_counts", block_counts)
        if not block_counts:
            raise ValueError("block_counts is empty; give the units of at least one stage.")
        width = int(64 * width_factor) if is_number(width_factor) else 0
        if width < 1 or width != 64 * width_factor:
            raise ValueError(
                f"width_factor is {width_factor!r}; give a positive multiple of 1/64, since the "
                "first stage is 64 * width_factor channels wide."
            )
        if classifier_activation is not None:
            classifier_activation = activation_name(classifier_activation, "classifier_activation")
        images = keras.Input(input_shape, name="images", dtype=policy.compute_dtype)
        size, stride = (7, 2) if stem == "imagenet" else (3, 1)
        x = channels_last(images, data_format, policy)
        x = standardized_conv(width, size, stride, policy, "root_conv", explicit_padding=True)(x)
        if stem == "imagenet":
            # BiT pads with zeros, not with the minus infinity of "same" pooling.
            x = keras.layers.ZeroPadding2D(
                1, data_format="channels_last", dtype=policy, name="root_padding"
            )(x)
            x = keras.layers.MaxPooling2D(
                3, 2, data_format="channels_last", dtype=policy, name="root_pool"
            )(x)
        x = residual_stages(
            x,
            PreActivationUnit,
            block_counts,
            width,
            bottleneck=bottleneck,
            groups=groups,
            epsilon=epsilon,
            dtype=policy,
        )
        x = GroupNormalization(groups, epsilon, dtype=policy, name="final_norm")(x)
        x = keras.layers.ReLU(dtype=policy, name="final_relu")(x)
        x = keras.layers.GlobalAveragePooling2D(
            data_format="channels_last", dtype=policy, name="pooling"
        )(x)
        outputs = classification_head(x, classes, classifier_activation, policy)
        super().__init__(images, outputs, name=name)
        arguments = {
            "input_shape": input_shape,
            "block_counts": block_counts,
            "width_factor": width_factor,
            "stem": stem,
            "classes": None if classes is None else int(classes),
            "bottleneck": bottleneck,
            "groups": groups,
            "epsilon": epsilon,
            "classifier_activation": classifier_activation,
            "data_format": data_format,
        }
        self._keep(arguments, dtype)
