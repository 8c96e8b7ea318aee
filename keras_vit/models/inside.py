"""The model of ours inside a user's: where it stands, and what it is given."""

import keras

from keras_vit.layers.class_token import ClassToken
from keras_vit.layers.register_tokens import RegisterTokens
from keras_vit.layers.residual_unit import PreActivationUnit
from keras_vit.layers.transformer_block import PreNormBlock
from keras_vit.models.resnet import ResNet
from keras_vit.models.vit import VisionTransformer

FAMILIES = (VisionTransformer, ResNet)
SINGLE_LAYERS = (PreNormBlock, PreActivationUnit)


def model_inside(model, function, families=FAMILIES, apart=False):
    """Returns the one model of ours that a model is or contains.

    Args:
        model: anything; of a model or layer all that is inside is looked through.
        function: that asks, for the message.
        families: the classes that it takes.
        apart: also take a functional or `Sequential` model of the single layers of one, such as
            `keras.Model(vit.input, head(vit.output))`, which has no ViT inside.

    Raises:
        ValueError: if there is none, or more than one.
    """
    if isinstance(model, families):
        return model
    ours = _models_of_ours(model)
    found = [each for each in ours if isinstance(each, families)]
    if len(found) == 1:
        return found[0]
    layers = [layer for layer in layers_of(model) if isinstance(layer, SINGLE_LAYERS)]
    if apart and not ours and any(node.operation in layers for node in calls_in(model)):
        return model
    if found:
        names = ", ".join(repr(each.name) for each in found)
        why = f"has several inside ({names}); give one: {call(function, model, found[0])}"
    elif ours:
        why = f"has a {type(ours[0]).__name__} inside" if ours[0] is not model else "is none"
    elif layers:
        why = (
            "has single layers of one; give that one, which shares them (clone_model makes no ViT or "
            "ResNet: copy one with type(model).from_config(model.get_config()))"
        )
    else:
        why = "has none inside"
    kinds = " or ".join(family.__name__ for family in families)
    raise ValueError(f"{function} takes a {kinds} of keras_vit; this {type(model).__name__} {why}.")


def tokens_before_patches(model, last=None):
    """Returns how many tokens stand before the patches, at the end or in the output of a layer."""
    number = 0
    for layer in model.layers:
        if isinstance(layer, RegisterTokens):
            number += layer.number
        elif isinstance(layer, ClassToken):
            number += 1
        if layer.name == last:
            break
    return number


def own_model(model, function, families=FAMILIES):
    """Returns a model if it is one of ours.

    Raises:
        ValueError: for another; the message says the call for the one inside.
    """
    inner = model_inside(model, function, families)
    if inner is not model:
        raise ValueError(
            f"{function} takes a {type(inner).__name__} itself, and this {type(model).__name__} has "
            f"it inside; give that one: {call(function, model, inner)}."
        )
    return model


def call(function, model, inner):
    """Returns the call of a function on what is inside, such as `features(model.vit, ...)`."""
    return f"{function}({_place(model, inner) or inner.name}, ...)"


def given(model, inner, function):
    """Returns symbolic images of a model and what it gives for them to the one inside.

    Args:
        model: functional or `Sequential`.
        inner: a model inside; or `model` itself.
        function: that asks, for the message.

    Returns:
        `(inputs, images)`: a list of symbolic tensors, those that the images depend on, and one.

    Raises:
        ValueError: where no symbolic tensors tell it, or `inner` is called several times.
    """
    if model is inner:
        return model.inputs, model.inputs[0]
    inputs, images = _given(model, inner) or (None, None)
    if images is None:
        raise ValueError(
            f"What the {type(model).__name__} {model.name!r} gives to {inner.name} cannot be seen: "
            "it has to be functional or Sequential, built, and call it once; ask for what is "
            f"inside: {call(function, model, inner)}."
        )
    return inputs, images


def calls_in(model):
    """Returns the calls of layers that a model is made of, as Keras' nodes, inputs first.

    Args:
        model: functional, or `Sequential` and built; of another there are none.
    """
    if isinstance(model, keras.Sequential):
        model = model._functional  # of the same layers
    by_depth = getattr(model, "_nodes_by_depth", {})
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]


def call_of(model, layer, function):
    """Returns the one call of a layer in a functional or `Sequential` model, as Keras' node.

    A layer that others share has been called elsewhere, too: its `input` and `output` are those of its
    first call, which may be another model's.

    Args:
        model: that the layer is part of.
        layer: of it.
        function: that asks, for the message.

    Raises:
        ValueError: if the model calls it several times.
    """
    found = [node for node in calls_in(model) if node.operation is layer]
    if len(found) != 1:
        raise ValueError(
            f"{function} cannot tell which output of {layer.name!r} is meant: {model.name!r} calls it "
            f"{len(found)} times."
        )
    return found[0]


def _given(model, inner):
    """As `given`; None where it cannot be told."""
    calls = [node for node in calls_in(model) if contains(node.operation, inner)]
    if len(calls) != 1 or len(calls[0].input_tensors) != 1:
        return None
    images, layer = calls[0].input_tensors[0], calls[0].operation
    inputs = [tensor for tensor in model.inputs if depends(images, tensor)]
    if layer is inner:
        return inputs, images
    further = _given(layer, inner)
    if further is None:
        return None
    return inputs, keras.Model(*further)(images)


def depends(tensor, source):
    """Whether a symbolic tensor is computed from another (or is it)."""
    todo, seen = [tensor], set()
    while todo:
        tensor = todo.pop()
        if tensor is source:
            return True
        operation, node_index, _ = tensor._keras_history
        node = operation._inbound_nodes[node_index]
        if id(node) not in seen:
            seen.add(id(node))
            todo += node.input_tensors
    return False


def _place(layer, inner, name="model"):
    """How Python reaches what is inside, from a variable of that name; None if not by names."""
    if layer is inner:
        return name
    own = {**vars(layer), **vars(layer).get("_modules", {})}  # the latter on PyTorch
    for attribute, value in own.items():
        if not attribute.startswith("_") and contains(value, inner):
            return _place(value, inner, f"{name}.{attribute}")
    for part in getattr(layer, "layers", []):
        if contains(part, inner):
            return _place(part, inner, f"{name}.get_layer({part.name!r})")
    return None


def contains(layer, inner):
    """Returns whether a layer is another or has it inside."""
    return any(each is inner for each in layers_of(layer))


def _models_of_ours(model):
    found = {id(each): each for each in layers_of(model) if isinstance(each, FAMILIES)}
    return list(found.values())


def layers_of(model):
    """Returns all layers inside a model or layer, and itself; of anything else none."""
    return model._flatten_layers() if isinstance(model, keras.layers.Layer) else []
