"""Fine-tuning of few weights: low-rank updates, or the head and the norms alone."""

import keras

from keras_vit.layers.arguments import check_flag, check_positive, check_positive_number
from keras_vit.layers.trainable import frozen_beside_updates
from keras_vit.layers.transformer_block import PreNormBlock
from keras_vit.models.head import HEADS
from keras_vit.models.inside import model_inside
from keras_vit.models.resnet import ResNet
from keras_vit.models.vit import VisionTransformer

WITH_UPDATES = {None, "int8", "int4"}  # quantisations
NORMS = (keras.layers.LayerNormalization, keras.layers.GroupNormalization)


def enable_lora(model, rank, alpha=None, train_norms=False):
    """Freezes a ViT but for its head (a distilled one's two) and low-rank updates of its blocks.

    Query, key, value, output and the Dense layers of the MLP get Keras' own LoRA (`Dense.enable_lora`)
    in place: `kernel + a @ b * alpha / rank`, with `b` starting at zero. Saving the model, or another
    of its layers, merges the updates into the kernels, so that the file loads as a plain model, all of
    which trains (unless the updates were frozen, too); `load_weights` and `BackupAndRestore` give a
    model with updates of the same rank its own back.

    Args:
        model: a `VisionTransformer`, hybrids included, or a model with one inside, whose other
            layers train as before; compile it afterwards.
        rank: of the updates.
        alpha: their scale is `alpha / rank`, a positive number; None for a scale of 1.
        train_norms: also train the scales and offsets of the norms.

    Raises:
        ValueError: for another kind of model (a ResNet: see `train_only_head_and_norms`), if the model
            has LoRA already or is quantised to float8, if `rank` is no positive int, or `alpha` no
            positive number.

    Example:
        >>> keras_vit.enable_lora(model, rank=4)
        >>> model.compile("adam", "mse")

    Reference:
        Hu et al., "LoRA", arXiv 2106.09685.
    """
    check_positive(rank=rank)
    if alpha is not None:
        check_positive_number(alpha=alpha)
    check_flag(train_norms=train_norms)
    if isinstance(model, ResNet):
        raise ValueError(
            "enable_lora takes a VisionTransformer; for a ResNet use train_only_head_and_norms."
        )
    vit = _to_train(model, "enable_lora", (VisionTransformer,))
    blocks = [layer for layer in vit.layers if isinstance(layer, PreNormBlock)]
    dense = [
        layer
        for block in blocks
        for layer in block._flatten_layers()
        if isinstance(layer, keras.layers.Dense)
    ]
    if any(layer.lora_enabled for layer in dense):
        raise ValueError("The model has LoRA already; start from a model without it.")
    modes = {layer.quantization_mode for layer in dense}
    if not modes <= WITH_UPDATES:
        raise ValueError(
            f"The model is quantised to {min(modes - WITH_UPDATES)}, which Keras computes without "
            "low-rank updates; start from a float, an int8 or an int4 model."
        )
    _freeze(vit, keep_norms=train_norms)
    for layer in vit._flatten_layers(include_self=False):
        frozen_beside_updates(layer)
    for layer in dense:
        layer.trainable = True  # a frozen layer would freeze the updates, too
        layer.enable_lora(rank, lora_alpha=alpha)  # freezes the kernel
        if layer.bias is not None:
            layer.bias.trainable = False


def train_only_head_and_norms(model):
    """Freezes all weights of a ViT or ResNet but those of its head and of its norms.

    Both heads of a distilled model train. A `.keras` file keeps what is frozen, and
    `model.trainable = True` unfreezes all.

    Args:
        model: a `VisionTransformer` or `ResNet`, or a model with one inside, whose other layers
            train as before; compile it afterwards.

    Raises:
        ValueError: for another kind of model.

    Example:
        >>> keras_vit.train_only_head_and_norms(model)
        >>> model.compile("adam", "mse")

    Reference:
        Frankle et al., "Training BatchNorm and Only BatchNorm", arXiv 2003.00152, showed how far
        norms alone go.
    """
    inner = _to_train(model, "train_only_head_and_norms", (VisionTransformer, ResNet))
    _freeze(inner, keep_norms=True)


def _to_train(model, function, families):
    """The model of ours that a model is or contains, if what is around it lets it train."""
    inner = model_inside(model, function, families)
    around = (layer for layer in model._flatten_layers() if layer is not inner)
    frozen = [each for each in around if inner in each._flatten_layers() and not each.trainable]
    if frozen:
        raise ValueError(
            f"{frozen[0].name!r}, which has {inner.name} inside, is frozen, so that nothing in it "
            "would train; set its trainable = True first."
        )
    return inner


def _freeze(model, keep_norms):
    model.trainable = True  # whatever was frozen before
    for layer in model.layers:
        layer.trainable = layer.name in HEADS
    if keep_norms:
        for layer in model._flatten_layers():
            if isinstance(layer, NORMS):
                layer.trainable = True
