"""Convolutions whose images have their channels first in memory: one of the few files with a backend.

All layers see `(B, H, W, C)`. How the numbers lie in memory is another matter, and PyTorch's kernels on CPUs
are quickest for convolutions of many channels, and for the norms between them, where each channel's pixels
lie side by side; what is done pixel by pixel leaves them so. Keras' own convolution would copy its images
twice. A training step of a ResNet-50 takes a fifth less time for it.
"""

import functools

from keras_vit.layers.accelerator import is_on_pytorchs_cpu

_BLOCK = 16  # kernels work on so many channels at a time, and with 12 take twice the time


def channels_first_pays(images, filters, kernel_size):
    """Returns whether a convolution is quicker so.

    Args:
        images: `(B, H, W, C)`; for those of a program that is exported it is left to Keras.
        filters: number of output channels.
        kernel_size: height and width. Of single pixels a matrix product is as quick, unless the
            channels come first already.
    """
    if filters % _BLOCK or not is_on_pytorchs_cpu(images):
        return False
    return max(kernel_size) > 1 or images.permute(0, 3, 1, 2).is_contiguous()


def channels_first_kernel(kernel, epsilon=None):
    """Returns a kernel as PyTorch has them, standardised for each output channel if there is an epsilon.

    Args:
        kernel: `(h, w, C, filters)`.
        epsilon: added to the variance.

    Returns:
        `(filters, C, h, w)`.
    """
    import torch

    height, width, channels, filters = kernel.shape
    columns = kernel.reshape(height * width, channels, filters).transpose(0, 1)
    rows = _transposed().apply(columns.reshape(-1, filters))
    if epsilon is not None:
        # The norm of a batch with an image's worth of numbers for each channel.
        rows = torch.native_batch_norm(rows[None], None, None, None, None, True, 0.0, epsilon)[0][0]
    return rows.reshape(filters, channels, height, width)


def channels_first_convolution(images, kernel, strides, padding, dilation, groups):
    """Returns images `(B, H', W', filters)`, with their channels first in memory.

    Args:
        images: `(B, H, W, C)`.
        kernel: `(filters, C, h, w)`.
        strides, dilation: pairs.
        padding: zeros above and below, and to the left and right.
        groups: of channels.
    """
    from torch.nn import functional

    images = images.permute(0, 3, 1, 2).contiguous()
    rows, columns = padding
    sides = (rows[0], columns[0])
    if sides != (rows[1], columns[1]):
        images, sides = functional.pad(images, (*columns, *rows)), (0, 0)
    convolved = functional.conv2d(images, kernel, None, strides, sides, dilation, groups)
    return convolved.permute(0, 2, 3, 1)


@functools.cache
def _transposed():
    import torch

    class Transposed(torch.autograd.Function):
        """A matrix on its side in memory, both ways: the gradient would be copied number by number."""

        generate_vmap_rule = True

        @staticmethod
        def forward(matrix):
            return matrix.t().contiguous()

        @staticmethod
        def setup_context(ctx, inputs, output):
            """Nothing has to be kept."""

        @staticmethod
        def backward(ctx, upstream):
            return Transposed.apply(upstream)

        @staticmethod
        def jvp(ctx, tangent):
            return Transposed.apply(tangent)

    return Transposed
