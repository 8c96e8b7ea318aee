"""What a model computes on the way: the tokens of its blocks, the maps of its stages."""

from numbers import Integral

import keras

from keras_vit.layers.token_grid import TokenGrid
from keras_vit.models.resnet import ResNet
from keras_vit.models.vit import VisionTransformer


def features(model, layers=None, as_grid=True):
    """Makes a model that gives the tokens of a ViT's blocks, or the maps of a ResNet's stages.

    It shares the layers, and with them the weights, of the model it is made from: what trains
    there trains here.

    Args:
        model: a `VisionTransformer` or `ResNet`, or a model with one of them inside: a functional
            or `Sequential` model of your own, whose other layers before it are kept.
        layers: which blocks or stages, counted from 0, from the end where negative; or names of
            layers, such as `"encoder_norm"` (tokens after the final norm), `"stem_stage1_unit3"` or
            `"pooling"`. Several give a list of outputs, one gives its own; None is all blocks or
            stages.
        as_grid: give tokens as `(B, rows, columns, D)`, without those before the patches; False
            gives `(B, N, D)`, the class token first.

    Returns:
        A `keras.Model` on the inputs of `model`, which can be called, trained on, saved and
        exported like any other.

    Raises:
        ValueError: for a model with none or several of these inside, or one whose way to it cannot
            be followed, or for a layer that there is not.

    Example:
        >>> maps = keras_vit.features(model, layers=[2, 5, 8, 11])(images)
        >>> tokens = keras_vit.features(model, layers="encoder_norm", as_grid=False)(images)

    Reference:
        As `get_intermediate_layers` of DINO and timm, and `output_hidden_states` of transformers.
    """
    inner = _inside(model)
    chosen = [layers] if isinstance(layers, Integral | str) else layers
    names = _names(inner, chosen)
    outputs = [_output(inner, name, as_grid) for name in names]
    result = keras.Model(inner.inputs, outputs, name=f"{inner.name}_features")
    if inner is model:
        return result
    inputs, images = _given(model, inner)
    return keras.Model(inputs, result(images), name=f"{model.name}_features")


def _inside(model):
    """The ViT or ResNet that a model is or contains."""
    if isinstance(model, VisionTransformer | ResNet):
        return model
    layers = model._flatten_layers() if isinstance(model, keras.Model) else []
    found = [layer for layer in layers if isinstance(layer, VisionTransformer | ResNet)]
    if len(found) != 1:
        names = ", ".join(repr(layer.name) for layer in found)
        what = f"several of them ({names}); give one" if found else "none inside; give one"
        raise ValueError(
            f"features takes a VisionTransformer or ResNet of keras_vit, or a model with one inside; "
            f"this {type(model).__name__} has {what}."
        )
    return found[0]


def _names(inner, chosen):
    """The names of the layers whose outputs are wanted."""
    known = [layer.name for layer in inner.layers[1:]]  # without the input
    if isinstance(inner, VisionTransformer):
        blocks, kind = [name for name in known if name.startswith("block_")], "blocks"
    else:
        units = [name for name in known if name.startswith("stage")]
        last = {name.partition("_")[0]: name for name in units}  # the last unit of each stage
        blocks, kind = list(last.values()), "stages"
    if chosen is None:
        return blocks
    names = []
    for layer in chosen:
        if isinstance(layer, Integral) and -len(blocks) <= layer < len(blocks):
            names.append(blocks[layer])
        elif layer in known:
            names.append(layer)
        else:
            raise ValueError(
                f"{inner.name} has no layer {layer!r}; it has {len(blocks)} {kind}, and the layers "
                f"{', '.join(known)}."
            )
    return names


def _output(inner, name, as_grid):
    """The symbolic output of a layer, tokens and maps in the wanted form."""
    output = inner.get_layer(name).output
    if len(output.shape) == 4 and not as_grid:
        return keras.layers.Reshape((-1, output.shape[-1]), name=f"{name}_tokens")(output)
    if len(output.shape) != 3 or not as_grid:
        return output
    prefix = _tokens_before(inner, name)
    patches = inner.get_layer("patch_embedding").output  # a grid, where its sides are open
    if len(patches.shape) == 4:
        return TokenGrid(None, prefix, name=f"{name}_grid")(output, patches)
    return TokenGrid(inner.grid, prefix, name=f"{name}_grid")(output)


def _tokens_before(inner, name):
    """How many tokens stand before the patches in the output of a layer."""
    order = {layer.name: place for place, layer in enumerate(inner.layers)}
    numbers = {"registers": inner.arguments["registers"], "distillation_token": 1, "class_token": 1}
    there = [layer for layer in numbers if order.get(layer, len(order)) <= order[name]]
    return sum(numbers[layer] for layer in there)


def _given(model, inner):
    """The inputs of a model, and what it gives the one inside: symbolic tensors."""
    if isinstance(model, keras.Sequential) and getattr(model, "inputs", None):
        inputs = x = keras.Input(batch_shape=model.inputs[0].shape, dtype=model.inputs[0].dtype)
        for layer in model.layers:
            if _contains(layer, inner):
                return inputs, _through(layer, inner, x)
            x = layer(x)
    for nodes in getattr(model, "_nodes_by_depth", {}).values():  # of a functional model
        for node in nodes:
            if _contains(node.operation, inner) and len(node.input_tensors) == 1:
                return model.inputs, _through(node.operation, inner, node.input_tensors[0])
    own = {**vars(model), **vars(model).get("_modules", {})}  # the latter on PyTorch
    attributes = [name for name, value in own.items() if value is inner]
    hint = f"features(model.{attributes[0]}, ...)" if attributes else f"that of {inner.name}"
    raise ValueError(
        f"What the {type(model).__name__} {model.name!r} gives to {inner.name} can be seen in "
        f"functional and Sequential models alone, which are built; ask for the features of the one "
        f"inside: {hint}."
    )


def _through(layer, inner, x):
    """What `inner` is given where `layer`, which is or contains it, is given `x`."""
    if layer is inner:
        return x
    inputs, images = _given(layer, inner)
    return keras.Model(inputs, images)(x)


def _contains(layer, inner):
    return layer is inner or (
        isinstance(layer, keras.layers.Layer) and inner in layer._flatten_layers()
    )
