"""The Vision Transformer, and its hybrid with a ResNet stem (paper, section 3.1)."""

from dataclasses import replace
from typing import ClassVar

import keras

from keras_vit.layers.activations import activation_name
from keras_vit.layers.arguments import (
    check_block_counts,
    check_choice,
    check_flag,
    check_input_shape,
    check_positive,
)
from keras_vit.layers.class_token import ClassToken
from keras_vit.layers.dense import Dense
from keras_vit.layers.layer_norm import LayerNormalization
from keras_vit.layers.patch_embedding import PatchEmbedding
from keras_vit.layers.patches import as_pair, patch_grid
from keras_vit.layers.pooling import AttentionPooling, TokenPooling
from keras_vit.layers.position_embedding import AddPositionEmbs
from keras_vit.layers.register_tokens import RegisterTokens
from keras_vit.layers.transformer_block import TransformerBlock
from keras_vit.models.head import classification_head, distilled_head
from keras_vit.models.hybrid_stem import hybrid_stem, stem_side
from keras_vit.models.image_model import ImageModel, layer_policy
from keras_vit.models.options import BlockOptions, TokenOptions, collect
from keras_vit.models.positions import USUAL_SIDE, Positions

CLASSIFIERS = ("token", "gap", "map", "token_gap", "distilled")
READ_CLASS_TOKEN = ("token", "token_gap", "distilled")


@keras.saving.register_keras_serializable(package="keras_vit")
class VisionTransformer(ImageModel):
    """A Vision Transformer for images in [-1, 1].

    An ordinary functional `keras.Model` whose layers are named `patch_embedding`, `class_token`,
    `position_embedding`, `block_0` ..., `encoder_norm`, `pooling`, `pre_logits`, `head`.

    Args:
        input_shape: `(H, W, C)`, or `(C, H, W)` with channels first. H and W may be None: any
            image that the patches fill, whose position embeddings are interpolated in the graph.
        patch_size: int or `(height, width)`, in pixels; of the feature map in a hybrid.
        num_layers: number of Transformer blocks.
        hidden_size: width D of the tokens.
        mlp_dim: width of the blocks' hidden layers.
        num_heads: number of attention heads.
        classes: number of outputs; None gives the representation (no head).
        classifier: `"token"` (class token), `"gap"` (the patches' mean), `"map"` (attention
            pooling of the patches), `"token_gap"` (class token and mean, side by side) or
            `"distilled"` (the mean of a head on the class token and one on the distillation
            token). `"gap"` and `"map"` come without a class token unless `tokens` says otherwise.
        position_embedding: `"learned"`, `"learned_2d"`, `"sincos2d"`, `"none"`, or `"relative"`
            (a learned bias inside the blocks); or a `keras_vit.Positions`, which also has the grid
            of the learned tables and their interpolation to others.
        representation_size: width of a tanh layer before the head; None for no such layer.
        tokens: a `TokenOptions` (class token, registers, their positions, distillation token) or
            a dictionary of its fields.
        block: a `BlockOptions` (activation, epsilon, LayerScale, norms, biases, rates) or a
            dictionary of its fields.
        classifier_activation: of the output; None for logits.
        stem_block_counts: blocks of the stages of a ResNet stem (a hybrid); `()` is the stem's
            root alone, None no stem.
        rematerialize: recompute the blocks' activations in the backward pass: less memory for
            about a third more computation (on JAX not on CPUs, where XLA saves nothing by it).
        data_format: of the images; None takes Keras' configured one.
        **options: single fields of `tokens` and `block` by their names, such as
            `activation="gelu"`, `epsilon=1e-6`, `dropout_rate=0.1` or `registers=4`.

    Input shape:
        `(B, *input_shape)`, values in [-1, 1] (see `keras_vit.preprocess_input`).

    Output shape:
        `(B, classes)`, or `(B, D)` (`(B, representation_size)`, `(B, 2 * D)` for `"token_gap"`)
        with `classes=None`.

    Raises:
        ValueError: for an argument that does not fit; the message says which values do.

    Example:
        >>> vit = keras_vit.VisionTransformer(input_shape=(32, 32, 3), patch_size=4, classes=10)
        >>> vit.compile("adam", "sparse_categorical_crossentropy")

    Reference:
        Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, arXiv 2010.11929.
    """

    GROUPS: ClassVar = {"tokens": TokenOptions, "block": BlockOptions}

    def __init__(
        self,
        input_shape=(224, 224, 3),
        patch_size=16,
        num_layers=12,
        hidden_size=768,
        mlp_dim=3072,
        num_heads=12,
        classes=1000,
        classifier="token",
        position_embedding="learned",
        representation_size=None,
        tokens=None,
        block=None,
        classifier_activation=None,
        stem_block_counts=None,
        rematerialize=False,
        data_format=None,
        dtype=None,
        name=None,
        **options,
    ):
        groups = collect(self.GROUPS, {"tokens": tokens, "block": block}, options)
        tokens, block = groups["tokens"], groups["block"]
        policy = layer_policy(dtype)
        data_format = data_format or keras.config.image_data_format()
        input_shape = check_input_shape(input_shape, data_format)
        check_choice("classifier", classifier, CLASSIFIERS)
        positions = Positions.of(position_embedding)
        check_positive(
            num_layers=num_layers, hidden_size=hidden_size, mlp_dim=mlp_dim, num_heads=num_heads
        )
        num_layers, hidden_size = int(num_layers), int(hidden_size)
        mlp_dim, num_heads = int(mlp_dim), int(num_heads)
        check_flag(rematerialize=rematerialize)
        if representation_size is not None:
            check_positive(representation_size=representation_size)
            representation_size = int(representation_size)
        if stem_block_counts is not None:
            stem_block_counts = check_block_counts("stem_block_counts", stem_block_counts)
        if hidden_size % num_heads:
            raise ValueError(
                f"num_heads={num_heads} does not divide hidden_size={hidden_size}; "
                "choose a number of heads that does."
            )
        patch_size = as_pair(patch_size, "patch_size")
        class_token = _has_class_token(classifier, tokens)
        groups["tokens"] = replace(tokens, class_token=class_token)
        prefix = class_token + tokens.distilled + tokens.registers

        if classifier_activation is not None:
            classifier_activation = activation_name(classifier_activation, "classifier_activation")
        images = keras.Input(input_shape, name="images", dtype=policy.compute_dtype)
        x, stem_format = images, data_format
        if stem_block_counts is not None:
            x = hybrid_stem(x, stem_block_counts, data_format, policy)  # (B, H/r, W/r, C')
            stem_format = "channels_last"
        grid = _token_grid(x.shape, patch_size, input_shape, stem_format, data_format)
        any_size = None in grid
        table_grid = positions.grid or _usual_grid(grid, patch_size, stem_block_counts)
        if any_size and positions.kind == "relative":
            raise ValueError(
                f"position_embedding='relative' needs images of one size, not input_shape="
                f"{input_shape}; give the size (for_finetuning makes a model of another), or another "
                "kind."
            )
        if not any_size and table_grid != grid:
            raise ValueError(
                f"The positions' grid is {table_grid} and that of images of input_shape={input_shape} "
                f"{grid}; leave it out (for_finetuning interpolates positions to another), or give "
                "None for H and W, for images of any size."
            )
        x = PatchEmbedding(
            hidden_size,
            patch_size,
            stem_format,
            block.patch_bias,
            as_grid=any_size,
            dtype=policy,
            name="patch_embedding",
        )(x)  # (B, N, D)
        embedded = [x] if any_size else []  # (B, rows, columns, D), for what asks for the grid
        if any_size:
            x = keras.layers.Reshape((-1, hidden_size), dtype=policy, name="flat_patches")(x)
        slots = prefix if tokens.class_slot else 0
        add_positions = AddPositionEmbs(
            "none" if positions.kind == "relative" else positions.kind,
            table_grid,
            slots,
            positions.interpolation,
            dtype=policy,
            name="position_embedding",
        )
        if not tokens.class_slot:
            x = add_positions(x, *embedded)
        if tokens.registers:
            x = RegisterTokens(tokens.registers, dtype=policy, name="registers")(x)
        if tokens.distilled:
            x = ClassToken(dtype=policy, name="distillation_token")(x)
        if class_token:
            x = ClassToken(dtype=policy, name="class_token")(x)  # (B, prefix + N, D)
        if tokens.class_slot:
            x = add_positions(x, *embedded)
        x = keras.layers.Dropout(block.dropout_rate, dtype=policy, name="embedding_dropout")(x)

        def norm(name):
            return LayerNormalization(epsilon=block.epsilon, dtype=policy, name=name)

        if block.pre_norm:
            x = norm("pre_norm")(x)
        for index in range(num_layers):
            encoder_block = self._encoder_block(
                block,
                grid,
                positions.kind == "relative",
                num_heads=num_heads,
                mlp_dim=mlp_dim,
                stochastic_depth_rate=block.stochastic_depth_rate * index / max(num_layers - 1, 1),
                rematerialize=rematerialize,
                dtype=policy,
                name=f"block_{index}",
            )
            needed = {"patches": embedded[0]} if encoder_block.needs_patches else {}
            x = encoder_block(x, **needed)
        if block.final_norm == "before":
            x = norm("encoder_norm")(x)
        if classifier == "map":
            pooling = AttentionPooling(
                num_heads,
                mlp_dim,
                block.activation,
                block.epsilon,
                prefix,
                dtype=policy,
                name="pooling",
            )
        else:
            kind = "token" if classifier == "distilled" else classifier
            pooling = TokenPooling(kind, 0, prefix, dtype=policy, name="pooling")
        features = [pooling(x)]  # (B, D)
        if classifier == "distilled":
            second = TokenPooling("token", 1, dtype=policy, name="distillation_pooling")
            features.append(second(x))
        if block.final_norm == "after":
            after = norm("pooling_norm")
            features = [after(x) for x in features]
        if representation_size is not None:
            representation = Dense(
                representation_size,
                activation="tanh",
                kernel_initializer="lecun_normal",
                dtype=policy,
                name="pre_logits",
            )
            features = [representation(x) for x in features]
        if classifier == "distilled":
            outputs = distilled_head(features, classes, classifier_activation, policy)
        else:
            outputs = classification_head(features[0], classes, classifier_activation, policy)
        super().__init__(images, outputs, name=name)
        arguments = {
            "input_shape": input_shape,
            "patch_size": patch_size,
            "num_layers": num_layers,
            "hidden_size": hidden_size,
            "mlp_dim": mlp_dim,
            "num_heads": num_heads,
            "classes": None if classes is None else int(classes),
            "classifier": classifier,
            "position_embedding": positions.plain(),
            "representation_size": representation_size,
            **groups,
            "classifier_activation": classifier_activation,
            "stem_block_counts": stem_block_counts,
            "rematerialize": rematerialize,
            "data_format": data_format,
        }
        self.positions = positions
        self.grid = (
            table_grid  # of the position embeddings, and of the images if they have one size
        )
        self.num_prefix_tokens = prefix
        self.num_slots = slots
        self._keep(arguments, dtype)

    @staticmethod
    def _encoder_block(options, grid, relative, **sizes):
        """Makes a block as the group `block` says; a subclass makes others."""
        return TransformerBlock(
            dropout_rate=options.dropout_rate,
            attention_dropout_rate=options.attention_dropout_rate,
            activation=options.activation,
            epsilon=options.epsilon,
            relative_position_grid=grid if relative else None,
            layer_scale=options.layer_scale,
            qkv_bias=options.qkv_bias,
            **sizes,
        )

    def grid_of(self, image_size):
        """Returns `(rows, columns)` of the patches of images of `(height, width)` pixels."""
        stem, patch = self._arguments["stem_block_counts"], self._arguments["patch_size"]
        if stem is not None:
            image_size = [stem_side(side, stem) for side in image_size]
        return patch_grid(image_size, patch)


def _usual_grid(grid, patch_size, stem_block_counts):
    """Returns the grid of the images; where it is open, that of images of 224 pixels."""
    usual = USUAL_SIDE
    if stem_block_counts is not None:
        usual = stem_side(usual, stem_block_counts)
    return tuple(
        max(1, usual // patch) if side is None else side
        for side, patch in zip(grid, patch_size, strict=True)
    )


def _has_class_token(classifier, tokens):
    """Returns whether there is a class token, if `tokens` agrees with what the classifier reads."""
    needed = classifier in READ_CLASS_TOKEN
    if needed and tokens.class_token is False:
        raise ValueError(
            f"classifier={classifier!r} reads the class token, which class_token=False leaves out; "
            "choose another classifier ('gap' or 'map')."
        )
    if classifier == "distilled" and not tokens.distilled:
        raise ValueError(
            "classifier='distilled' reads the distillation token; give distilled=True, or another "
            "classifier."
        )
    return needed if tokens.class_token is None else tokens.class_token


def _token_grid(map_shape, patch_size, input_shape, map_format, data_format):
    """Returns the grid of patches on the images or, in a hybrid, on the stem's feature map."""
    size = map_shape[1:3] if map_format == "channels_last" else map_shape[2:4]
    try:
        return patch_grid(size, patch_size)
    except ValueError as error:
        if tuple(map_shape[1:]) != tuple(input_shape):
            raise ValueError(
                f"The stem makes a feature map of {size[0]} x {size[1]} from images of "
                f"input_shape={tuple(input_shape)}, which patches of {patch_size[0]} x "
                f"{patch_size[1]} do not fill; choose another image size or patch_size."
            ) from error
        first, last = input_shape[0], input_shape[-1]
        channels, other = (first, last) if data_format == "channels_last" else (last, first)
        if channels not in (1, 3) or other in (1, 3):
            raise
        raise ValueError(
            f"input_shape={tuple(input_shape)} is read with data_format={data_format!r}, where it "
            f"has {other} channels; move the {channels} channels to the other end, or give the "
            "other data_format ('channels_last' or 'channels_first')."
        ) from error
