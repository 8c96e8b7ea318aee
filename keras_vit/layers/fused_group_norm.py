"""Group normalisation by PyTorch's kernels on CPUs: one of the few files with a backend.

The forward kernel for images with the channels last in memory takes a variance for the mean of squares
less the square of the mean, which is wrong far from zero; so only the backward one is taken of these, and
moments are exact. With the channels first, as `channels_first` leaves them, the kernels are quick and exact.
"""

import functools


def fused_group_norm(images, gamma, beta, groups, epsilon):
    """Returns normed images.

    Args:
        images: `(B, H, W, C)`, at least float32, of which `is_on_pytorchs_cpu` holds.
        gamma, beta: scale and shift `(C,)`.
        groups: number of groups.
        epsilon: added to the variance.
    """
    import torch

    first = images.permute(0, 3, 1, 2)
    if first.is_contiguous():
        return torch.group_norm(first, groups, gamma, beta, epsilon).permute(0, 2, 3, 1)
    return _kernels().apply(images, gamma, beta, groups, epsilon)[0]


@functools.cache
def _kernels():
    import torch

    class GroupNorm(torch.autograd.Function):
        """`_normed`, with the kernel's gradient; where that is differentiated itself, with its own."""

        generate_vmap_rule = True

        @staticmethod
        def forward(images, gamma, beta, groups, epsilon):
            return _normed(images, gamma, beta, groups, epsilon)

        @staticmethod
        def setup_context(ctx, inputs, output):
            images, gamma, beta, *ctx.options = inputs
            _, mean, inverse = output
            ctx.mark_non_differentiable(mean, inverse)
            ctx.save_for_backward(images, gamma, beta, mean, inverse)

        @staticmethod
        def backward(ctx, upstream, *of_moments):
            images, gamma, beta, mean, inverse = ctx.saved_tensors
            groups, epsilon = ctx.options
            wanted = ctx.needs_input_grad[:3]
            if torch.is_grad_enabled():
                inputs = [t for t, want in zip((images, gamma, beta), wanted, strict=True) if want]
                y = _normed(images, gamma, beta, groups, epsilon)[0]
                found = iter(torch.autograd.grad(y, inputs, upstream, create_graph=True))
                return *(next(found) if want else None for want in wanted), None, None
            batch, height, width, channels = images.shape
            # Views with the channels first; the kernel takes memory to be as it asks, and does not look.
            first, up = (
                tensor.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
                for tensor in (images, upstream)
            )
            # Of all three, wanted or not: without that of the images the kernel writes where nothing is.
            to_images, to_gamma, to_beta = torch.ops.aten.native_group_norm_backward(
                *(up, first, mean, inverse, gamma.contiguous()),
                *(batch, channels, height * width, groups, [True] * 3),
            )
            to_images = to_images.permute(0, 2, 3, 1)
            return to_images, to_gamma, to_beta, None, None

    return GroupNorm


def _normed(images, gamma, beta, groups, epsilon):
    """Returns normed images, and the mean and one by the deviation `(B, groups)`."""
    import torch

    batch, height, width, channels = images.shape
    x = images.reshape(batch, height * width, channels)  # of no images -1 could be any number
    mean = x.mean(1, keepdim=True)  # (B, 1, C)
    centred = x - mean
    variance = torch.linalg.vector_norm(centred, dim=1) ** 2 / x.shape[1]
    by_group = (batch, groups, channels // groups)
    variance, mean = variance.reshape(by_group), mean.reshape(by_group)
    group_mean = mean.mean(2, keepdim=True)
    apart = mean - group_mean
    inverse = torch.rsqrt((variance + apart.square()).mean(2, keepdim=True) + epsilon)
    factor = inverse * gamma.reshape(by_group[1:])
    summand = beta.reshape(by_group[1:]) + apart * factor
    summand, factor = (part.reshape(batch, 1, channels) for part in (summand, factor))
    if torch.is_grad_enabled():
        y = torch.addcmul(summand, centred, factor)
    else:  # in the memory that is there
        y = centred.mul_(factor).add_(summand)
    return y.reshape(images.shape), group_mean[..., 0], inverse[..., 0]
