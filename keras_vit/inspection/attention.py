"""Attention weights, and what of the image reaches the output through them (paper, section 4.5)."""

import weakref

import keras
import numpy as np
from keras import ops

from keras_vit.layers.pooling import AttentionPooling
from keras_vit.layers.transformer_block import PreNormBlock
from keras_vit.models.inside import call, given, model_inside, tokens_before_patches
from keras_vit.models.vit import VisionTransformer


def attention_scores(model, images, batch_size=32):
    """Returns the attention weights of all blocks, for any kind of classifier.

    Args:
        model: a `VisionTransformer`, or a functional or `Sequential` model with one, or its
            layers, inside; it is neither changed nor compiled.
        images: `(B, H, W, C)` (or `(B, C, H, W)`), as the model takes them.
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

    The row of the rollout that the classifier reads: the class token's; the mean of all rows for
    a mean of all tokens; for attention pooling the rows weighted by the probe's attention. The
    patches' part of it is interpolated bilinearly to the image size.

    Args:
        model: as in `attention_scores`; hybrids included, square or not.
        images: as in `attention_scores`.
        batch_size: how many images the model sees at once.

    Returns:
        float32 array `(B, H, W)`, at least 0, with a maximum of 1 in each image; of the size of
        the images as the ViT is given them.

    Raises:
        ValueError: for another kind of model or images of another shape.

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
    patches = attended[:, watched.prefix :].reshape(-1, *grid, 1)
    heat = ops.image.resize(
        patches, (height, width), interpolation="bilinear", data_format="channels_last"
    )
    heat = np.maximum(ops.convert_to_numpy(heat)[..., 0], 0)
    return heat / heat.max(axis=(1, 2), keepdims=True)


def _run(model, images, batch_size, function):
    """What a `_Watched` gives for images, as arrays, and itself."""
    vit = model_inside(model, function, (VisionTransformer,), apart=True)
    watched = _watched(model, vit, function)
    expected, shape = watched.image_shape, np.shape(images)
    fits = len(shape) == 4 and len(images)
    if not fits or any(n not in (None, m) for n, m in zip(expected, shape[1:], strict=True)):
        raise ValueError(
            f"The images have the shape {shape}; the model takes (B, "
            f"{', '.join(map(str, expected))})."
        )
    images = ops.convert_to_numpy(images)
    return watched.predict(images, batch_size=batch_size, verbose=0), watched


# A model's is compiled once, and goes when the model goes: it holds the layers, not the model.
_KNOWN: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def _watched(model, vit, function):
    """The `_Watched` of a model: a new one where the model has changed since."""
    state = [(id(weight), weight.path, weight.dtype) for weight in model.weights]
    state += [layer.dtype_policy.name for layer in model._flatten_layers()]
    known, watched = _KNOWN.get(model, (None, None))
    if known != state:
        watched = _Watched(model, vit, function)
        _KNOWN[model] = state, watched
    return watched


class _Watched(keras.Model):
    """What the blocks of a ViT attend to, and what a probe in its pooling does.

    A model of its own, since `predict` compiles on JAX and TensorFlow, and records no gradients
    on PyTorch; the layers are called, and otherwise left alone.
    """

    def __init__(self, model, vit, function):
        super().__init__(name="watched")  # TensorFlow refuses the default "__watched"
        inputs, images = given(model, vit, function)
        if len(inputs) != 1:
            raise ValueError(
                f"The images of {vit.name} come from {len(inputs)} inputs of {model.name!r}; ask for "
                f"what is inside: {call(function, model, vit)}."
            )
        self.image_shape = tuple(inputs[0].shape[1:])
        self.before = None if model is vit else keras.Model(inputs[0], images)
        self.blocks = [layer for layer in vit.layers if isinstance(layer, PreNormBlock)]
        layers = {layer.name: layer for layer in vit.layers}
        patches = layers["patch_embedding"]
        self.embed = keras.Model(vit.inputs[0], [self.blocks[0].input, patches.output])
        self.grid = None if patches.as_grid else patches.patches.grid_of(patches.input.shape)
        self.prefix = tokens_before_patches(vit)
        first = patches.data_format == "channels_first" or "channels_last" in layers
        self.axes = slice(2, 4) if first else slice(1, 3)
        self.pooling, self.norm = layers.get("pooling"), None
        self.kind = (
            "distilled"
            if "distillation_pooling" in layers
            else getattr(self.pooling, "kind", "map")
        )
        if isinstance(self.pooling, AttentionPooling):
            ends = self.blocks[-1].output, self.pooling.input
            self.norm = None if ends[0] is ends[1] else keras.Model(*ends)
        self.built = True

    def call(self, images):
        if self.before is not None:
            images = self.before(images)
        x, patches = self.embed(images)
        scores = []
        for block in self.blocks:
            x, weights = block(x, return_attention_scores=True)
            scores.append(ops.cast(weights, "float32"))
        grid = ops.shape(patches)[1:3] if self.grid is None else self.grid
        sides = ops.stack([*grid, *ops.shape(images)[self.axes]])
        batch = ops.shape(images)[0]
        outputs = {
            "scores": ops.stack(scores, axis=1),  # (B, L, heads, N, N)
            "sides": ops.tile(ops.cast(sides, "int32")[None], (batch, 1)),  # (B, 4)
        }
        if isinstance(self.pooling, AttentionPooling):
            _, weights = self.pooling.attend(x if self.norm is None else self.norm(x))
            outputs["probe"] = ops.cast(weights, "float32")  # (B, heads, 1, patches)
        return outputs

    def read(self, outputs):
        """How much of each token the classifier reads: array `(B, N)`, one in all an image."""
        (batch, *_, number), prefix = outputs["scores"].shape, self.prefix
        if "probe" in outputs:
            return np.pad(outputs["probe"][:, :, 0].mean(axis=1), ((0, 0), (prefix, 0)))
        first, patches = np.eye(number)[0], (np.arange(number) >= prefix) / (number - prefix)
        read = {
            "token": first,
            "gap": patches,
            "token_gap": (first + patches) / 2,
            "distilled": (first + np.eye(number)[1]) / 2,
        }[self.kind]
        return np.tile(read[None], (batch, 1)).astype("float32")


def check_scores(scores):
    """Returns scores as a float32 array, or raises ValueError for another shape."""
    shape = np.shape(scores)
    if len(shape) != 5 or shape[-1] != shape[-2] or 0 in shape:
        raise ValueError(
            f"scores have the shape {shape}; give (L, B, heads, N, N), as attention_scores returns."
        )
    return np.asarray(scores, "float32")
