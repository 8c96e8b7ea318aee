"""Attention weights, and what of the image reaches the output through them (paper, section 4.5)."""

import numpy as np
from keras import ops

from keras_vit.inspection.watched import watched_model


def attention_scores(model, images, batch_size=32):
    """Returns the attention weights of all blocks, for any kind of classifier.

    Args:
        model: a `VisionTransformer`, or a functional or `Sequential` model with one, or its
            layers, inside; it is neither changed nor compiled. Where others stand between its
            layers, the weights are those with them.
        images: `(B, H, W, C)` (or `(B, C, H, W)`), as the model takes them.
        batch_size: how many images the model sees at once.

    Returns:
        float32 array `(L, B, heads, N, N)`: L blocks; rows are queries and sum to 1; the tokens
        before the patches (the class token) come first.

    Raises:
        ValueError: for another kind of model, blocks that do not follow each other, or images of
            another shape.

    Example:
        >>> scores = keras_vit.inspection.attention_scores(model, images)
        >>> scores.shape
        (12, 8, 3, 197, 197)
    """
    outputs, _ = _run(model, images, batch_size, "attention_scores")
    return outputs["scores"].transpose(1, 0, 2, 3, 4)


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

    The rows of the rollout that the classifier reads, as much as it reads of them: the class token's;
    the mean of the patches' rows (`"gap"`), or of that and the class token's (`"token_gap"`); the mean
    of class and distillation token's (`"distilled"`); the patches' rows weighted by the probe's
    attention (`"map"`). The patches' part of it is interpolated bilinearly to the image size.

    Args:
        model: as in `attention_scores`; hybrids included, square or not.
        images: as in `attention_scores`.
        batch_size: how many images the model sees at once.

    Returns:
        float32 array `(B, H, W)`, at least 0, with a maximum of 1 in each image; of the size of
        the images as the ViT is given them.

    Raises:
        ValueError: for another kind of model, blocks that do not follow each other, tokens that are
            not the patches', or images of another shape.

    Example:
        >>> heat = keras_vit.inspection.attention_map(model, images)  # (8, 224, 224)
        >>> masked = heat[..., None] * (images + 1) / 2

    Reference:
        arXiv 2010.11929, figures 6 and 14, and section D.7.
    """
    outputs, watched = _run(model, images, batch_size, "attention_map")
    if watched.pooling is None:
        raise ValueError(
            f"{model.name!r} does not have the layer 'pooling' of a ViT, which says what its output "
            "reads; take the rows that do of attention_rollout(attention_scores(model, images))."
        )
    scores = outputs["scores"].transpose(1, 0, 2, 3, 4)
    attended = np.einsum("bn,bnm->bm", watched.read(outputs), attention_rollout(scores))  # (B, N)
    *grid, height, width = map(int, outputs["sides"][0])
    if attended.shape[1] != watched.prefix + grid[0] * grid[1]:
        raise ValueError(
            f"The blocks of {model.name!r} have {attended.shape[1]} tokens, which are not those of "
            f"{grid[0]} x {grid[1]} patches and {watched.prefix} before them; take those that are of "
            "attention_rollout(attention_scores(model, images))."
        )
    patches = attended[:, watched.prefix :].reshape(-1, *grid, 1)
    heat = ops.image.resize(
        patches, (height, width), interpolation="bilinear", data_format="channels_last"
    )
    heat = np.maximum(ops.convert_to_numpy(heat)[..., 0], 0)
    return heat / heat.max(axis=(1, 2), keepdims=True)


def _run(model, images, batch_size, function):
    """What a `Watched` gives for images, as arrays, and itself."""
    watched = watched_model(model, function)
    expected, shape = watched.image_shape, np.shape(images)
    fits = len(shape) == len(expected) + 1 and len(images)
    if not fits or any(n not in (None, m) for n, m in zip(expected, shape[1:], strict=True)):
        raise ValueError(
            f"The images have the shape {shape}; the model takes (B, "
            f"{', '.join(map(str, expected))})."
        )
    images = ops.convert_to_numpy(images)
    return watched.predict(images, batch_size=batch_size, verbose=0), watched


def check_scores(scores):
    """Returns scores as a float32 array, or raises ValueError for another shape."""
    shape = np.shape(scores)
    if len(shape) != 5 or shape[-1] != shape[-2] or 0 in shape:
        raise ValueError(
            f"scores have the shape {shape}; give (L, B, heads, N, N), as attention_scores returns."
        )
    return np.asarray(scores, "float32")
