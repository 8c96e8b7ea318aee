"""Lower learning rates for earlier layers, which fine-tuning should change less."""

import re

import keras

from keras_vit.layers.arguments import is_number
from keras_vit.layers.residual_unit import PostActivationUnit, PreActivationUnit
from keras_vit.layers.trainable import weight_name
from keras_vit.layers.transformer_block import PreNormBlock
from keras_vit.optimizers.grouped import GroupedOptimizer

UNITS = (PreActivationUnit, PostActivationUnit)


def layerwise_learning_rates(optimizer, model, decay=0.75, no_decay=True):
    """Returns an optimizer that multiplies the learning rate by `decay` for each layer below the top.

    The head, and what follows the last block, train at the full rate; the last block at `decay`
    times it, the block before at `decay ** 2`, and all that comes before the first block (patches,
    class token, positions, a hybrid's stem) at `decay ** (L + 1)` with L blocks. The blocks of a
    ResNet are its residual units. Layers that are frozen have their rate for the day they train.

    Args:
        optimizer: a new Keras optimizer, or its name; see `keras_vit.GroupedOptimizer`.
        model: the model to be trained with it: one of ours, or any that contains one or its
            blocks. Compile it with the result.
        decay: in (0, 1]; 1 leaves the rates alike and is for `no_decay` only. BEiT, MAE and their
            followers use 0.65 to 0.75 for ViT-B and L.
        no_decay: the weights without weight decay, as in `keras_vit.GroupedOptimizer`.

    Returns:
        A `keras_vit.GroupedOptimizer`.

    Raises:
        ValueError: for a model without blocks, a decay outside (0, 1], or an optimizer that
            `GroupedOptimizer` does not take.

    Example:
        >>> adamw = keras.optimizers.AdamW(1e-3, weight_decay=0.05)
        >>> model.compile(keras_vit.layerwise_learning_rates(adamw, model, decay=0.75), "mse")

    Reference:
        Clark et al., "ELECTRA", arXiv 2003.10555; Bao et al., "BEiT", arXiv 2106.08254.
    """
    if not is_number(decay) or not 0 < decay <= 1:
        raise ValueError(f"decay is {decay!r}; give a number above 0 and at most 1.")
    layers = list(_in_order(model))
    blocks = [layer for layer in layers if isinstance(layer, PreNormBlock)]
    blocks = blocks or [layer for layer in layers if isinstance(layer, UNITS)]
    if not blocks:
        raise ValueError(
            f"{model.name!r} has no Transformer blocks or residual units of keras_vit, by which "
            "depth is counted; use keras_vit.GroupedOptimizer with rates by path."
        )
    last, depth, rates = layers.index(blocks[-1]), 0, {}
    for layer in layers[: last + 1]:
        depth += layer in blocks
        if layer.weights:  # frozen ones, too, which may be to train later
            name = weight_name(model, layer)
            rates[f"(^|/){re.escape(name)}/"] = float(decay) ** (len(blocks) + 1 - depth)
    return GroupedOptimizer(optimizer, rates, no_decay, warn_unused=False, name="layerwise")


def _in_order(layer):
    """Yields the layers below a model from its input to its output, blocks as a whole."""
    if isinstance(layer, (PreNormBlock, *UNITS)) or not layer._layers:
        yield layer
        return
    inside = layer.layers if isinstance(layer, keras.Model) else layer._layers
    for each in inside:
        yield from _in_order(each)
