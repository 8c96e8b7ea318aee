"""Vision Transformers whose blocks have rotary positions, gated MLPs, or both."""

from dataclasses import dataclass, field
from typing import ClassVar

import keras

from keras_vit.layers.arguments import check_flag
from keras_vit.layers.rotary import RotaryOptions, rotary_options
from keras_vit.layers.rotary_block import RotaryBlock, check_inner_norms
from keras_vit.models.options import BlockOptions, TokenOptions
from keras_vit.models.vit import VisionTransformer


@dataclass(frozen=True)
class RotaryBlockOptions(BlockOptions):
    """What the blocks of a `RotaryVisionTransformer` compute, and the norms around them.

    Args:
        rotary: a `RotaryOptions` or a dictionary of its fields: by which angles queries and keys
            are turned; `coordinates="none"` turns nothing.
        gated: whether the MLPs are gated; `activation` is then the gates' (`"silu"`: SwiGLU).
        inner_norms: where LayerNorms stand before a branch's output: `"attention"`, `"mlp"` or a
            tuple of them.
        activation: of the MLPs, or of their gates.
        epsilon: of the LayerNorms.
        layer_scale: what the factors of the residual branches' channels start at; None for none.
        pre_norm: whether a LayerNorm stands before the first block.
        final_norm: where the last LayerNorm stands: `"before"` the pooling, `"after"` it, `"none"`.
        patch_bias: whether the patches' projection has a bias.
        qkv_bias: whether query, key and value have one, or the names of those that have.
        dropout_rate: after each Dense layer but query, key, value.
        attention_dropout_rate: on the attention weights.
        stochastic_depth_rate: of the last block; it rises linearly from 0 at the first, and is 0
            where there is one block alone.

    Raises:
        ValueError: for a value that does not fit.

    Example:
        >>> block = keras_vit.RotaryBlockOptions(gated=True, activation="silu")
        >>> vit = keras_vit.RotaryVisionTransformer(block=block)

    Reference:
        See `RotaryVisionTransformer`.
    """

    rotary: RotaryOptions = field(default_factory=RotaryOptions)
    gated: bool = False
    inner_norms: tuple[str, ...] = ()

    def __post_init__(self):
        super().__post_init__()
        check_flag(gated=self.gated)
        object.__setattr__(self, "rotary", rotary_options(self.rotary))
        object.__setattr__(self, "inner_norms", check_inner_norms(self.inner_norms, self.gated))


@keras.saving.register_keras_serializable(package="keras_vit")
class RotaryVisionTransformer(VisionTransformer):
    """A Vision Transformer whose blocks have rotary positions: DINOv3, EVA-02, and DINOv2's giant.

    Its weights bear the names of a `VisionTransformer`'s, and what works with one works with the
    other.

    Args:
        input_shape: `(H, W, C)`, or `(C, H, W)` with channels first. H and W may be None: any
            image that the patches fill, whose angles are computed in the graph.
        position_embedding: added to the tokens besides: `"learned"`, `"learned_2d"`, `"sincos2d"`
            or `"none"`.
        block: a `RotaryBlockOptions` or a dictionary of its fields.
        **arguments: all others of `VisionTransformer`, and single fields of `tokens` and `block`.

    Input and output shape:
        As of `VisionTransformer`.

    Raises:
        ValueError: for an argument that does not fit; the message says which values do.

    Example:
        >>> dinov3_small = keras_vit.RotaryVisionTransformer(
        ...     hidden_size=384, mlp_dim=1536, num_heads=6, classes=None, activation="gelu",
        ...     epsilon=1e-5, layer_scale=1e-5, qkv_bias=("query", "value"), registers=4,
        ... )

    Reference:
        DINOv3, arXiv 2508.10104; EVA-02, arXiv 2303.11331; DINOv2, arXiv 2304.07193.
    """

    GROUPS: ClassVar = {"tokens": TokenOptions, "block": RotaryBlockOptions}

    def __init__(self, input_shape=(224, 224, 3), position_embedding="none", **arguments):
        super().__init__(input_shape, position_embedding=position_embedding, **arguments)

    @staticmethod
    def _encoder_block(options, grid, relative, **sizes):
        if relative:
            raise ValueError(
                "position_embedding='relative' is for a VisionTransformer; a "
                "RotaryVisionTransformer has rotary positions in its blocks already."
            )
        return RotaryBlock(
            grid=None if None in grid or options.rotary.coordinates == "none" else grid,
            rotary=options.rotary,
            gated=options.gated,
            inner_norms=options.inner_norms,
            dropout_rate=options.dropout_rate,
            attention_dropout_rate=options.attention_dropout_rate,
            activation=options.activation,
            epsilon=options.epsilon,
            layer_scale=options.layer_scale,
            qkv_bias=options.qkv_bias,
            **sizes,
        )
