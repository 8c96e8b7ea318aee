"""Attention weights, and what of the image reaches the output through them (paper, section 4.5)."""

import keras
import numpy as np
from keras import ops

from keras_vit.layers.transformer_block import PreNormBlock
from keras_vit.models.vit import VisionTransformer


def attention_scores(model, images, batch_size=32):
    """Returns the attention weights of all blocks, for any kind of classifier.

    Args:
        model: a `VisionTransformer`; it is neither changed nor compiled.
        images: `(B, H, W, C)` (or `(B, C, H, W)`), values in [-1, 1], of the model's input shape.
        batch_size: how many images the model sees at once.

    Returns:
        float32 array `(L, B, heads, N, N)`: L blocks; rows are queries and sum to 1; the tokens
        before the patches (the class token) come first.

    Raises:
        ValueError: for another kind of model or images of another shape.

    Example:
        >>> scores = keras_vit.inspection.attention_scores(model, images)
        >>> scores.shape
        (12, 8, 3, 197, 197)
    """
    return _run(model, images, batch_size)[0]


def attention_rollout(scores):
    """Returns how much of each input token reaches each output token through all blocks.

    Each block is the mean over its heads, averaged with the identity for the residual connection;
    the blocks are multiplied from the first to the last.

    Args:
        scores: `(L, B, heads, N, N)` from `attention_scores`.

    Returns:
        float32 array `(B, N, N)`; rows are outputs and sum to 1.

    Raises:
        ValueError: for scores of another rank.

    Reference:
        Abnar and Zuidema, "Quantifying Attention Flow in Transformers", arXiv 2005.00928;
        arXiv 2010.11929, section D.7.
    """
    scores = check_scores(scores)
    blocks = scores.mean(axis=2, dtype="float64")  # (L, B, N, N)
    blocks = (blocks + np.eye(blocks.shape[-1])) / 2
    rollout = blocks[0]
    for block in blocks[1:]:
        rollout = block @ rollout
    return rollout.astype("float32")


def attention_map(model, images, batch_size=32):
    """Returns where in the image the output's information comes from.

    The row of the rollout that the classifier reads: the class token's; the mean of all rows for
    a mean of all tokens; for attention pooling the rows weighted by the probe's attention. The
    patches' part of it is interpolated bilinearly to the image size.

    Args:
        model: a `VisionTransformer`, hybrids included, square or not.
        images: as in `attention_scores`.
        batch_size: how many images the model sees at once.

    Returns:
        float32 array `(B, H, W)`, at least 0, with a maximum of 1 in each image.

    Raises:
        ValueError: for another kind of model or images of another shape.

    Example:
        >>> heat = keras_vit.inspection.attention_map(model, images)  # (8, 224, 224)
        >>> masked = heat[..., None] * (images + 1) / 2

    Reference:
        arXiv 2010.11929, figures 6 and 14, and section D.7.
    """
    scores, read = _run(model, images, batch_size)
    attended = np.einsum("bn,bnm->bm", read, attention_rollout(scores))  # (B, N)
    patches = attended[:, model.num_prefix_tokens :].reshape(-1, *model.grid, 1)
    sides = np.shape(images)[1:3] if _channels_last(model) else np.shape(images)[2:4]
    heat = ops.image.resize(
        patches, tuple(sides), interpolation="bilinear", data_format="channels_last"
    )
    heat = np.maximum(ops.convert_to_numpy(heat)[..., 0], 0)
    return heat / heat.max(axis=(1, 2), keepdims=True)


def _run(model, images, batch_size):
    """The attention weights (L, B, heads, N, N) and how much of each token the head reads (B, N)."""
    if not isinstance(model, VisionTransformer):
        inner = "; give the ViT inside it, its .vit" if hasattr(model, "vit") else ""
        raise ValueError(
            f"Attention can be seen in a VisionTransformer of keras_vit, not in a "
            f"{type(model).__name__}{inner}."
        )
    expected = tuple(model.input_shape[1:])
    if len(np.shape(images)) != 4 or tuple(np.shape(images)[1:]) != expected or not len(images):
        raise ValueError(
            f"The images have the shape {np.shape(images)}; the model takes (B, "
            f"{', '.join(map(str, expected))})."
        )
    outputs = _Watched(model).predict(
        ops.convert_to_numpy(images), batch_size=batch_size, verbose=0
    )
    return outputs["scores"].transpose(1, 0, 2, 3, 4), outputs["read"]


class _Watched(keras.Model):
    """A ViT that says what its blocks attend to and what its classifier reads.

    A model of its own, since `predict` compiles on JAX and TensorFlow, and records no gradients
    on PyTorch; the layers are called, and otherwise left alone.
    """

    def __init__(self, vit):
        super().__init__(name="watched")  # TensorFlow refuses the default "__watched"
        self.vit = vit
        self.built = True

    def call(self, images):
        x, scores = images, []
        for layer in self.vit.layers[1:]:  # the layers form a chain, the first is the input
            if isinstance(layer, PreNormBlock):
                x, weights = layer(x, return_attention_scores=True)
                scores.append(ops.cast(weights, "float32"))
            elif layer.name == "pooling":
                break
            else:
                x = layer(x)
        read = _read_by(self.vit, x)
        return {"scores": ops.stack(scores, axis=1), "read": read}  # (B, L, heads, N, N), (B, N)


def _read_by(vit, tokens):
    """How much of each token the classifier reads: `(B, N)`, one in all for each image."""
    batch, number = ops.shape(tokens)[0], tokens.shape[1]
    prefix, classifier = vit.num_prefix_tokens, vit.arguments["classifier"]
    if classifier == "map":
        _, weights = vit.get_layer("pooling").attend(tokens)
        weights = ops.mean(ops.cast(weights, "float32")[:, :, 0], axis=1)  # from (B, heads, 1, N)
        return ops.pad(weights, ((0, 0), (prefix, 0)))
    first, patches = np.eye(number)[0], (np.arange(number) >= prefix) / (number - prefix)
    read = {
        "token": first,
        "gap": patches,
        "token_gap": (first + patches) / 2,
        "distilled": (first + np.eye(number)[1]) / 2,
    }[classifier]
    return ops.tile(ops.convert_to_tensor(read[None], "float32"), (batch, 1))


def check_scores(scores):
    """Returns scores as a float32 array, or raises ValueError for another shape."""
    shape = np.shape(scores)
    if len(shape) != 5 or shape[-1] != shape[-2] or 0 in shape:
        raise ValueError(
            f"scores have the shape {shape}; give (L, B, heads, N, N), as attention_scores returns."
        )
    return np.asarray(scores, "float32")


def _channels_last(model):
    return model.arguments["data_format"] == "channels_last"
