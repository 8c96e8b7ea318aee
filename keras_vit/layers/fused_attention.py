"""Attention as one kernel, where the backend has one that pays: one of the few files with a backend.

On GPUs and TPUs it is Keras' own call. PyTorch's CPU kernel is called here, since Keras copies the
three tensors for it: with it, attention of a ViT-S/16 in float32 takes two thirds of the time of
two products in training, and 0.6 of it in inference. Its backward pass in bfloat16 takes more than
twice their time.
"""

import keras
from keras import ops

from keras_vit.layers.accelerator import device_kind


def fused_attention_pays(dtype, training):
    """Returns whether one kernel is quicker than two products and a softmax.

    Args:
        dtype: that is computed in.
        training: whether a backward pass follows.
    """
    if device_kind() != "cpu":
        return device_kind() == "gpu"
    if keras.backend.backend() != "torch":
        return False
    return dtype == "float32" or (dtype == "bfloat16" and not training)


def fused_attention(query, key, value, mask=None):
    """Returns the softmax of scaled products times the values, `(B, N, heads, d)`.

    Args:
        query: `(B, N, heads, d)`.
        key: `(B, M, heads, d)`.
        value: `(B, M, heads, d)`.
        mask: bool, True where a query may attend; of rank 4, as `(B, heads, N, M)`.
    """
    if keras.backend.backend() == "torch" and device_kind() == "cpu":
        return _on_pytorchs_cpu(query, key, value, mask)
    # Keras' flash attention on TPUs is causal without a mask, takes the first image's mask for all,
    # and does not scale the scores.
    flash = False if device_kind() == "tpu" else None
    return ops.dot_product_attention(query, key, value, mask=mask, flash_attention=flash)


def _on_pytorchs_cpu(query, key, value, mask):
    import torch

    if mask is not None:
        # Finite, so that a row without any allowed position does not become NaN.
        lowest = max(-1e30, torch.finfo(query.dtype).min)
        mask = torch.where(mask, 0.0, lowest).to(query.dtype)
    tensors = (x.transpose(1, 2) for x in (query, key, value))
    attended = torch.nn.functional.scaled_dot_product_attention(*tensors, attn_mask=mask)
    return attended.transpose(1, 2)
