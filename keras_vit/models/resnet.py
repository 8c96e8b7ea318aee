"""BiT: the ResNet baseline of the paper (section 4.1)."""

import keras

from keras_vit.layers.arguments import check_choice, check_input_shape, check_positive
from keras_vit.layers.residual_unit import PreActivationUnit, group_norm
from keras_vit.layers.std_conv import StandardizedConv2D
from keras_vit.models.distribution import check_distribution
from keras_vit.models.head import classification_head
from keras_vit.models.quantization import float_policy, quantize_as, quantized_dtype

STEMS = ("imagenet", "small")


@keras.saving.register_keras_serializable(package="keras_vit")
class ResNet(keras.Model):
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
        check_distribution()
        data_format = data_format or keras.config.image_data_format()
        check_input_shape(input_shape, data_format)
        check_choice("stem", stem, STEMS)
        check_positive(groups=groups)
        if not block_counts:
            raise ValueError("block_counts is empty; give the units of at least one stage.")
        check_positive(**{f"block_counts[{i}]": count for i, count in enumerate(block_counts)})
        width = int(64 * width_factor)
        if width < 1 or width != 64 * width_factor:
            raise ValueError(
                f"width_factor is {width_factor!r}, which makes the first stage "
                f"{64 * width_factor} wide; choose a multiple of 1/64."
            )
        wanted = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
        policy = float_policy(wanted)
        images = keras.Input(input_shape, name="images", dtype=policy.compute_dtype)
        x = images
        if data_format == "channels_first":
            # CPUs convolve channels last only.
            x = keras.layers.Permute((2, 3, 1), dtype=policy, name="channels_last")(x)
        x = StandardizedConv2D(
            width,
            7 if stem == "imagenet" else 3,
            strides=2 if stem == "imagenet" else 1,
            explicit_padding=True,
            use_bias=False,
            kernel_initializer="lecun_normal",
            data_format="channels_last",
            dtype=policy,
            name="root_conv",
        )(x)
        if stem == "imagenet":
            # BiT pads with zeros, not with the minus infinity of "same" pooling.
            x = keras.layers.ZeroPadding2D(
                1, data_format="channels_last", dtype=policy, name="root_padding"
            )(x)
            x = keras.layers.MaxPooling2D(
                3, 2, data_format="channels_last", dtype=policy, name="root_pool"
            )(x)
        for stage, count in enumerate(block_counts, 1):
            for unit in range(1, count + 1):
                x = PreActivationUnit(
                    width * 2 ** (stage - 1),
                    strides=2 if unit == 1 and stage > 1 else 1,
                    bottleneck=bottleneck,
                    groups=groups,
                    epsilon=epsilon,
                    dtype=policy,
                    name=f"stage{stage}_unit{unit}",
                )(x)
        x = group_norm(x.shape[-1], groups, epsilon, policy, "final_norm")(x)
        x = keras.layers.ReLU(dtype=policy, name="final_relu")(x)
        x = keras.layers.GlobalAveragePooling2D(
            data_format="channels_last", dtype=policy, name="pooling"
        )(x)
        outputs = classification_head(x, classes, classifier_activation, policy)
        super().__init__(images, outputs, name=name)
        # `compile` looks at the model's own policy to scale the loss in mixed_float16.
        self.dtype_policy = policy
        self._config = {
            "input_shape": tuple(input_shape),
            "block_counts": tuple(block_counts),
            "width_factor": width_factor,
            "stem": stem,
            "classes": classes,
            "bottleneck": bottleneck,
            "groups": groups,
            "epsilon": epsilon,
            "classifier_activation": classifier_activation,
            "data_format": data_format,
            "dtype": policy,  # serialised when asked for: Keras imports TensorFlow to do so
        }
        quantize_as(self, wanted)

    def get_config(self):
        dtype = quantized_dtype(self, keras.dtype_policies.serialize(self._config["dtype"]))
        return {**self._config, "dtype": dtype, "name": self.name}

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        if isinstance(config.get("dtype"), dict):
            config["dtype"] = keras.dtype_policies.deserialize(config["dtype"])
        return cls(**config)
