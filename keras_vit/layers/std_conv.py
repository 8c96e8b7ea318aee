"""Convolution with standardised weights."""

import keras
from keras import ops

from keras_vit.layers.arguments import (
    check_epsilon,
    check_flag,
    check_positive,
    plain_numbers,
)
from keras_vit.layers.channels_first import (
    channels_first_convolution,
    channels_first_kernel,
    channels_first_pays,
)
from keras_vit.layers.trainable import LayerKeepsWhatTrains


@keras.saving.register_keras_serializable(package="keras_vit")
class StandardizedConv2D(LayerKeepsWhatTrains, keras.layers.Conv2D):
    """A 2-D convolution whose kernel is standardised for each output channel before use.

    Args:
        filters: number of output channels.
        kernel_size: int or pair.
        epsilon: keeps the division finite.
        epsilon_inside_root: True divides by sqrt(variance + epsilon) (BiT), False by
            (standard deviation + epsilon) (the hybrids of vit_jax).
        explicit_padding: True pads `kernel_size // 2` on every side, as BiT does, whatever the
            stride; `"same"` padding with stride 2 would put one row less at the top and left.
        data_format: `"channels_last"` alone, also where Keras is configured otherwise.

    Input shape:
        `(B, H, W, C)`.

    Output shape:
        `(B, H', W', filters)`.

    Raises:
        ValueError: for another data format, explicit padding besides `padding="same"`, or another
            argument that does not fit.

    Example:
        >>> conv = keras_vit.StandardizedConv2D(64, 7, strides=2, explicit_padding=True)
        >>> conv(np.zeros((2, 224, 224, 3))).shape
        (2, 112, 112, 64)

    Reference:
        Qiao et al., "Weight Standardization", arXiv 1903.10520; Kolesnikov et al., "Big
        Transfer", arXiv 1912.11370.
    """

    def __init__(
        self,
        filters,
        kernel_size,
        epsilon=1e-10,
        epsilon_inside_root=True,
        explicit_padding=False,
        data_format="channels_last",
        **kwargs,
    ):
        if data_format != "channels_last":
            raise ValueError(
                f"data_format is {data_format!r}; StandardizedConv2D takes 'channels_last' alone: "
                "move the channels to the end, as keras.layers.Permute((2, 3, 1)) does."
            )
        check_positive(filters=filters)
        check_epsilon(epsilon=epsilon)
        check_flag(epsilon_inside_root=epsilon_inside_root, explicit_padding=explicit_padding)
        filters, kernel_size, kwargs = plain_numbers((filters, kernel_size, kwargs))
        super().__init__(filters, kernel_size, data_format=data_format, **kwargs)
        if explicit_padding and self.padding != "valid":
            raise ValueError(
                f"explicit_padding=True does not go with padding={self.padding!r}, which would pad "
                "a second time; leave one of them out."
            )
        self.epsilon = epsilon
        self.epsilon_inside_root = epsilon_inside_root
        self.explicit_padding = explicit_padding

    def convolution_op(self, inputs, kernel):
        inputs = ops.cast(inputs, kernel.dtype)  # images of integers, which only JAX would cast
        if channels_first_pays(inputs, self.filters, self.kernel_size):
            return self._channels_first(inputs, kernel)
        if self.explicit_padding and max(self.kernel_size) > 1:
            sides = [(size // 2, size // 2) for size in self.kernel_size]
            inputs = ops.pad(inputs, [(0, 0), *sides, (0, 0)])
        kernel = self.standardize(kernel)
        if self._is_product(inputs):
            rows, columns = self.strides
            return ops.matmul(inputs[:, ::rows, ::columns], kernel[0, 0])
        return super().convolution_op(inputs, kernel)

    def _is_product(self, inputs):
        """Whether a matrix product computes the same in less time: a step of such a convolution takes a
        fifth to a half on JAX' CPU, and 0.4 to 0.9 on PyTorch's. TensorFlow's own is as fast, and with
        strides, whose gradient is slow there, faster. Of a side that is open in a program that is
        exported JAX writes the strided length another way than that of a convolution.
        """
        return (
            max(self.kernel_size) == self.groups == 1
            and keras.backend.backend() != "tensorflow"
            and all(isinstance(side, int) for side in inputs.shape[1:3])
        )

    def _channels_first(self, inputs, kernel):
        if self.epsilon_inside_root:
            standardized = channels_first_kernel(_wide(kernel), self.epsilon)
        else:
            standardized = channels_first_kernel(self.standardize(kernel))
        return channels_first_convolution(
            inputs,
            ops.cast(standardized, kernel.dtype),
            self.strides,
            [self._zeros(axis, inputs.shape[1 + axis]) for axis in (0, 1)],
            self.dilation_rate,
            self.groups,
        )

    def _zeros(self, axis, side):
        """Numbers of zeros before and after a side of the images."""
        size, stride = self.kernel_size[axis], self.strides[axis]
        if self.explicit_padding:
            return size // 2, size // 2
        if self.padding == "valid":
            return 0, 0
        reach = (size - 1) * self.dilation_rate[axis] + 1
        zeros = max(0, (-(-side // stride) - 1) * stride + reach - side)
        return zeros // 2, zeros - zeros // 2

    def standardize(self, kernel):
        """Returns the kernel `(h, w, in, out)` with mean 0 and variance 1 for each output."""
        wide = _wide(kernel)
        centred = wide - ops.mean(wide, axis=(0, 1, 2), keepdims=True)
        variance = ops.mean(ops.square(centred), axis=(0, 1, 2), keepdims=True)
        if self.epsilon_inside_root:
            scaled = centred * ops.rsqrt(variance + self.epsilon)
        else:
            scaled = centred / (ops.sqrt(variance) + self.epsilon)
        return ops.cast(scaled, kernel.dtype)

    def compute_output_shape(self, input_shape):
        if not self.explicit_padding:
            return super().compute_output_shape(input_shape)
        batch, *sides, channels = input_shape
        padded = [
            None if side is None else side + 2 * (size // 2)
            for side, size in zip(sides, self.kernel_size, strict=True)
        ]
        return super().compute_output_shape((batch, *padded, channels))

    def get_config(self):
        return {
            **super().get_config(),
            "epsilon": self.epsilon,
            "epsilon_inside_root": self.epsilon_inside_root,
            "explicit_padding": self.explicit_padding,
        }


def _wide(kernel):
    """In float32 at least: of a kernel in half precision the statistics would lose its small variance."""
    return ops.cast(kernel, keras.backend.result_type(kernel.dtype, "float32"))
