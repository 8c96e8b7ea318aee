"""Lower learning rates for earlier layers, which fine-tuning should change less."""

import re

import keras

from keras_vit.layers.arguments import is_number
from keras_vit.layers.residual_unit import PostActivationUnit, PreActivationUnit
from keras_vit.layers.trainable import own_weights, weight_name
from keras_vit.layers.transformer_block import PreNormBlock
from keras_vit.models.inside import FAMILIES, calls_in, contains, layers_of
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
        model: the model to be trained with it: one of ours, or any with one inside, or with a
            functional model of its layers. Compile it with the result. What a functional or
            `Sequential` model does to the images before counts as the patches do; all other layers
            around it train at the full rate.
        decay: in (0, 1]; 1 leaves the rates alike and is for `no_decay` only. BEiT, MAE and their
            followers use 0.65 to 0.75 for ViT-B and L.
        no_decay: the weights without weight decay, as in `keras_vit.GroupedOptimizer`.

    Returns:
        A `keras_vit.GroupedOptimizer`.

    Raises:
        ValueError: for a model without blocks, with several ViTs or ResNets inside, or with blocks
            that a subclassed model calls by itself; for a decay outside (0, 1], or an optimizer
            that `GroupedOptimizer` does not take.

    Example:
        >>> adamw = keras.optimizers.AdamW(1e-3, weight_decay=0.05)
        >>> model.compile(keras_vit.layerwise_learning_rates(adamw, model, decay=0.75), "mse")

    Reference:
        Clark et al., "ELECTRA", arXiv 2003.10555; Bao et al., "BEiT", arXiv 2106.08254.
    """
    if not is_number(decay) or not 0 < decay <= 1:
        raise ValueError(f"decay is {decay!r}; give a number above 0 and at most 1.")
    holder, kind = _holder(model)
    depths = _depths(holder, kind)
    number = max(depths.values())
    # Its own layers first: of two patterns that are found in a path, the first one counts.
    placed = [(holder, layer, depth) for layer, depth in depths.items()]
    placed += [(around, layer, 0) for around, layer in _before(model, holder)]
    rates: dict[str, float] = {}
    expected: dict[int, float] = {}
    for around, layer, depth in placed:
        factor = float(decay) ** (number + 1 - depth)
        for pattern in _patterns(around, layer):
            rates.setdefault(pattern, factor)
        for weight in layer.weights:
            expected.setdefault(id(weight), factor)
    grouped = GroupedOptimizer(optimizer, rates, no_decay, warn_unused=False, name="layerwise")
    for weight in own_weights(model):
        if grouped._factor_of(weight.path) != expected.get(id(weight), 1.0):
            raise ValueError(
                f"{weight.path!r} could be a weight of several layers of {model.name!r}, at different "
                "depths; give the one that is not of the ViT or ResNet another name."
            )
    return grouped


def _holder(model):
    """The one model inside, or itself, of whose layers some are blocks, and the blocks' kind."""
    layers = layers_of(model)
    kind = PreNormBlock if any(isinstance(each, PreNormBlock) for each in layers) else UNITS
    if not any(isinstance(each, kind) for each in layers):
        raise ValueError(
            f"{model.name!r} has no Transformer blocks or residual units of keras_vit, by which "
            "depth is counted; use keras_vit.GroupedOptimizer with rates by path."
        )

    def blocks(holder):
        return {id(each) for each in getattr(holder, "layers", ()) if isinstance(each, kind)}

    def rank(holder):
        return len(blocks(holder)), isinstance(holder, FAMILIES)

    chosen = max(layers, key=rank)
    others = [each for each in layers if each is not chosen and isinstance(each, FAMILIES)]
    others += [each for each in layers if not blocks(each) <= blocks(chosen)]
    if others:
        raise ValueError(
            f"{model.name!r} has several inside ({chosen.name!r}, {others[0].name!r}), whose layers "
            "may have the same names; use keras_vit.GroupedOptimizer with rates by path."
        )
    if not calls_in(chosen):
        raise ValueError(
            f"The way through the blocks of {chosen.name!r} cannot be seen: it is neither functional "
            "nor Sequential; use keras_vit.GroupedOptimizer with rates by path."
        )
    return chosen, kind


def _depths(holder, kind):
    """Each layer up to the last block, with how many blocks lead to it, itself counted."""
    nodes = calls_in(holder)
    up_to: dict[int, int] = {}
    depths: dict[keras.layers.Layer, int] = {}
    for node in _leading_to(nodes, [node for node in nodes if isinstance(node.operation, kind)]):
        layer = node.operation
        before = max((up_to.get(id(parent), 0) for parent in node.parent_nodes), default=0)
        up_to[id(node)] = depth = before + isinstance(layer, kind)
        if isinstance(layer, keras.layers.Layer):
            depths[layer] = min(depth, depths.get(layer, depth))
    return depths


def _before(model, inner):
    """The layers around a model inside another that its images are computed with.

    Yields `(model, layer)`, the model that has the layer. What a subclassed model computes cannot be
    seen.
    """
    if model is inner:
        return
    layers = getattr(model, "layers", None) or model._flatten_layers(False, recursive=False)
    through = [layer for layer in layers if contains(layer, inner)]
    if isinstance(model, keras.Sequential):
        before = model.layers[: model.layers.index(through[0])]
    else:
        nodes = calls_in(model)
        ends = [node for node in nodes if node.operation in through]
        leading = [node.operation for node in _leading_to(nodes, ends)]
        before = [each for each in leading if each not in through]
    yield from ((model, each) for each in before if isinstance(each, keras.layers.Layer))
    for layer in through:
        yield from _before(layer, inner)


def _leading_to(nodes, ends):
    """Those of a model's calls that lead to some of them, these included, inputs first."""
    leading = {id(node) for node in ends}
    for node in reversed(nodes):
        if id(node) in leading:
            leading.update(id(parent) for parent in node.parent_nodes)
    return [node for node in nodes if id(node) in leading]


def _patterns(around, layer):
    """Patterns for the paths of all weights of a layer, which begin with its own path if it can."""
    if all(weight.path.startswith(f"{layer.path}/") for weight in layer.weights):
        return [f"(^|/){re.escape(weight_name(around, layer))}/"] if layer.weights else []
    return [f"(^|/){re.escape(weight_name(around, weight))}$" for weight in layer.weights]
