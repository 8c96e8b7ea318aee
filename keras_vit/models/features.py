"""What a model computes on the way: the tokens of its blocks, the maps of its stages."""

from collections.abc import Iterable
from numbers import Integral

import keras

from keras_vit.layers.residual_unit import PreActivationUnit
from keras_vit.layers.token_grid import TokenGrid
from keras_vit.layers.transformer_block import PreNormBlock
from keras_vit.models.exporting import export
from keras_vit.models.inside import call_of, given, model_inside, tokens_before_patches


def features(model, layers=None, as_grid=True):
    """Makes a model that gives the tokens of a ViT's blocks, or the maps of a ResNet's stages.

    It shares the layers, and with them the weights, of the model it is made from: what trains
    there trains here.

    Args:
        model: a `VisionTransformer` or `ResNet`, fine-tuned or with LoRA as it may be; or a
            functional or `Sequential` model of your own with one of them, or its layers, inside.
            What stands before it there is kept, and what stands between the layers.
        layers: which blocks or stages, counted from 0, from the end where negative; or names of
            layers, such as `"encoder_norm"` (tokens after the final norm), `"stem_stage1_unit3"`
            (a unit of a hybrid's stem) or `"pooling"`. A list of them gives a list of outputs, one
            gives its own; None is all blocks or stages.
        as_grid: give tokens as `(B, rows, columns, D)`, without those before the patches; False
            gives `(B, N, D)`, the class token first, and maps as `(B, rows * columns, D)`.

    The tokens are a block's own output, before any norm: timm's with `norm=False` (its default) and
    `hidden_states[1:]` of transformers. The model's final norm, for timm's `norm=True`, is
    `model.get_layer("encoder_norm")`, which takes tokens and grids. Maps of a stage, too, are those
    before the final norm; they are channels last, whatever the images are.

    Returns:
        A `keras.Model` on the inputs of `model`, which can be called, trained on and saved like any
        other.

    Raises:
        ValueError: for a model with none or several of these inside, or a layer that there is not
            or that it calls several times; for a grid, where further tokens stand among them;
            also for a subclassed model, whose way to the one inside cannot be seen: the message
            says the call.

    Example:
        >>> maps = keras_vit.features(model, layers=[2, 5, 8, 11])(images)
        >>> tokens = keras_vit.features(model, layers="encoder_norm", as_grid=False)(images)

    Reference:
        As `get_intermediate_layers` of DINO and timm, and `output_hidden_states` of transformers.
    """
    inner = model_inside(model, "features", apart=True)
    single = not isinstance(layers, Iterable | None) or isinstance(layers, str)
    names = _names(inner, [layers] if single else layers)
    made = {name: _output(inner, name, as_grid) for name in dict.fromkeys(names)}
    outputs = [made[name] for name in names]
    inputs = inner.inputs
    if inner is not model:
        inputs, images = given(model, inner, "features")
        outputs = keras.Model(inner.inputs[0], outputs)(images)
    return FeatureModel(
        inputs[0] if len(inputs) == 1 else inputs,
        outputs[0] if single else outputs,
        name=f"{model.name}_features",
    )


@keras.saving.register_keras_serializable(package="keras_vit")
class FeatureModel(keras.Model):
    """A functional model like any other, which is exported as the models here are."""

    def export(
        self, filepath, format="tf_saved_model", verbose=None, input_signature=None, **kwargs
    ):
        """As `VisionTransformer.export`."""
        export(self, super().export, filepath, format, verbose, input_signature, **kwargs)


def _names(inner, chosen):
    """The names of the layers whose outputs are wanted."""
    layers = [layer for layer in inner.layers if not isinstance(layer, keras.layers.InputLayer)]
    known = [layer.name for layer in layers]
    blocks, kind = [layer.name for layer in layers if isinstance(layer, PreNormBlock)], "blocks"
    if not blocks:
        units = [layer.name for layer in layers if isinstance(layer, PreActivationUnit)]
        last = {name.partition("_")[0]: name for name in units}  # the last unit of each stage
        blocks, kind = list(last.values()), "stages"
    if chosen is None:
        return blocks
    names: list[str] = []
    for layer in chosen:
        number = isinstance(layer, Integral) and not isinstance(layer, bool)
        if number and -len(blocks) <= int(layer) < len(blocks):
            names.append(blocks[int(layer)])
        elif layer in known:
            names.append(layer)
        else:
            raise ValueError(
                f"{inner.name} has no layer {layer!r}; it has {len(blocks)} {kind}, and the layers "
                f"{', '.join(known)}."
            )
    if not names:
        raise ValueError("layers is empty; name at least one, or None for all.")
    return names


def _output(inner, name, as_grid):
    """The symbolic output of a layer, tokens and maps in the wanted form."""
    layer = inner.get_layer(name)
    output, policy = call_of(inner, layer, "features").output_tensors[0], layer.dtype_policy
    if len(output.shape) == 4 and not as_grid:
        shape = (-1, output.shape[-1])
        return keras.layers.Reshape(shape, dtype=policy, name=f"{name}_tokens")(output)
    if len(output.shape) != 3 or not as_grid:
        return output
    prefix, embedding = tokens_before_patches(inner, name), inner.get_layer("patch_embedding")
    embedded = call_of(inner, embedding, "features")
    to_policy = {"dtype": policy, "name": f"{name}_grid"}
    if embedding.as_grid:  # its sides are open, and it tells them itself
        return TokenGrid(None, prefix, **to_policy)(output, embedded.output_tensors[0])
    rows, columns = embedding.patches.grid_of(embedded.input_tensors[0].shape)
    if output.shape[1] not in (None, prefix + rows * columns):
        raise ValueError(
            f"The {output.shape[1]} tokens of {name!r} are not those of {rows} x {columns} patches and "
            f"{prefix} before them; give as_grid=False."
        )
    return TokenGrid((rows, columns), prefix, **to_policy)(output)
