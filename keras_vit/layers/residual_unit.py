"""Residual units with GroupNorm and standardised convolutions."""

import keras
from keras import ops

from keras_vit.layers.arguments import check_epsilon, check_flag, check_positive
from keras_vit.layers.group_norm import GroupNormalization
from keras_vit.layers.std_conv import StandardizedConv2D
from keras_vit.layers.trainable import LayerKeepsWhatTrains

# How vit_jax pads and standardises in the hybrids' stem
HYBRID_CONV = {"padding": "same", "epsilon": 1e-5, "epsilon_inside_root": False}


class _ResidualUnit(LayerKeepsWhatTrains, keras.layers.Layer):
    """What both units share: convolutions, norms and the shape arithmetic; channels last."""

    def __init__(self, filters, strides=1, bottleneck=True, groups=32, epsilon=1e-5, **kwargs):
        super().__init__(**kwargs)
        check_positive(filters=filters, strides=strides, groups=groups)
        check_flag(bottleneck=bottleneck)
        check_epsilon(epsilon=epsilon)
        self.filters = filters
        self.strides = strides
        self.bottleneck = bottleneck
        self.groups = groups
        self.epsilon = epsilon
        self.output_channels = 4 * filters if bottleneck else filters

    def build(self, input_shape):
        channels = input_shape[-1]
        # (output channels, kernel size, stride) of each convolution
        self._plan = (
            [(self.filters, 1, 1), (self.filters, 3, self.strides), (self.output_channels, 1, 1)]
            if self.bottleneck
            else [(self.filters, 3, self.strides), (self.filters, 3, 1)]
        )
        self.convs, self.norms = [], []
        inputs = channels
        for number, (outputs, size, stride) in enumerate(self._plan, 1):
            self.convs.append(self._conv(f"conv{number}", inputs, outputs, size, stride))
            last = number == len(self._plan)
            self.norms.append(self._norm(f"norm{number}", *self._norm_plan(inputs, outputs, last)))
            inputs = outputs
        self.projection = None
        if self.strides > 1 or channels != self.output_channels:
            self.projection = self._conv(
                "projection", channels, self.output_channels, 1, self.strides
            )

    def compute_output_shape(self, input_shape):
        batch, *sides, _ = input_shape
        sides = [None if side is None else -(-side // self.strides) for side in sides]
        return (batch, *sides, self.output_channels)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "strides": self.strides,
            "bottleneck": self.bottleneck,
            "groups": self.groups,
            "epsilon": self.epsilon,
        }

    def _conv(self, name, inputs, outputs, size, stride):
        options = self._conv_options(size, stride)
        conv = standardized_conv(outputs, size, stride, self.dtype_policy, name, **options)
        conv.build((None, None, None, inputs))
        return conv

    def _norm(self, name, channels, gamma="ones"):
        norm = GroupNormalization(
            self.groups, self.epsilon, gamma_initializer=gamma, dtype=self.dtype_policy, name=name
        )
        norm.build((None, None, None, channels))
        return norm


@keras.saving.register_keras_serializable(package="keras_vit")
class PreActivationUnit(_ResidualUnit):
    """BiT's unit: GroupNorm and ReLU before each convolution, nothing after the addition.

    Args:
        filters: width of the 3x3 convolution; a bottleneck's output has four times as many
            channels, a basic unit's as many.
        strides: of the 3x3 convolution (the first one in a basic unit).
        bottleneck: three convolutions (1x1, 3x3, 1x1) or two (3x3, 3x3).
        groups: of the GroupNorms; it must divide the channels.
        epsilon: of the GroupNorms.

    Input shape:
        `(B, H, W, C)`.

    Output shape:
        `(B, ceil(H / strides), ceil(W / strides), output channels)`.

    Raises:
        ValueError: for an argument that does not fit, or if `groups` does not divide the channels.

    Example:
        >>> keras_vit.PreActivationUnit(64, strides=2)(np.zeros((2, 56, 56, 64))).shape
        (2, 28, 28, 256)

    Reference:
        Kolesnikov et al., "Big Transfer", arXiv 1912.11370; He et al., arXiv 1603.05027.
    """

    def call(self, x):
        y = ops.relu(self.norms[0](x))
        shortcut = x if self.projection is None else self.projection(y)
        for number, conv in enumerate(self.convs):
            if number:
                y = ops.relu(self.norms[number](y))
            y = conv(y)
        return y + shortcut

    def _norm_plan(self, inputs, outputs, last):
        return inputs, "ones"

    def _conv_options(self, size, stride):
        # With stride 1, "same" is the same as explicit padding, and needs no padded copy; with
        # kernel 1 there is none, which "same" would work out anew for each size of image.
        explicit = size > 1 and stride > 1
        same = size > 1 and stride == 1
        return {"padding": "same" if same else "valid", "explicit_padding": explicit}


@keras.saving.register_keras_serializable(package="keras_vit")
class PostActivationUnit(_ResidualUnit):
    """The hybrids' unit: GroupNorm after each convolution, ReLU after the addition.

    The last GroupNorm's scale starts at zero, so that the unit starts as its shortcut.
    Arguments and shapes as in `PreActivationUnit`.

    Example:
        >>> keras_vit.PostActivationUnit(64)(np.zeros((2, 56, 56, 64))).shape
        (2, 56, 56, 256)

    Reference:
        google-research/vision_transformer, vit_jax/models_resnet.py.
    """

    def build(self, input_shape):
        super().build(input_shape)
        if self.projection is not None:
            self.projection_norm = self._norm("projection_norm", self.output_channels)

    def call(self, x):
        shortcut = x
        if self.projection is not None:
            shortcut = self.projection_norm(self.projection(x))
        y = x
        for number, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True), 1):
            y = norm(conv(y))
            if number < len(self.convs):
                y = ops.relu(y)
        return ops.relu(y + shortcut)

    def _norm_plan(self, inputs, outputs, last):
        return outputs, "zeros" if last else "ones"

    def _conv_options(self, size, stride):
        return HYBRID_CONV


def standardized_conv(filters, size, stride, dtype, name, **options):
    """Returns a convolution as all of these ResNets have it: without bias, channels last."""
    return StandardizedConv2D(
        filters,
        size,
        strides=stride,
        use_bias=False,
        kernel_initializer="lecun_normal",
        data_format="channels_last",
        dtype=dtype,
        name=name,
        **options,
    )
