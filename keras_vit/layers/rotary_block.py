"""A pre-norm encoder block with rotary positions and, where asked for, a gated MLP."""

from dataclasses import asdict

import keras

from keras_vit.layers.arguments import check_choice, check_flag, one_or_several
from keras_vit.layers.gated_mlp import GatedMlp
from keras_vit.layers.mlp import MlpBlock
from keras_vit.layers.patches import as_pair
from keras_vit.layers.rotary import RotaryAttention, rotary_options
from keras_vit.layers.transformer_block import PreNormBlock

BRANCHES = ("attention", "mlp")


@keras.saving.register_keras_serializable(package="keras_vit")
class RotaryBlock(PreNormBlock):
    """A `TransformerBlock` whose attention turns queries and keys by their patches' positions.

    Args:
        num_heads: number of attention heads; four times it must divide the width D.
        mlp_dim: width of the MLP's hidden layer.
        grid: `(rows, columns)` of the patches; None where only the call knows it, or nothing is
            turned.
        rotary: a `RotaryOptions` or a dictionary of its fields.
        gated: whether the MLP is a `GatedMlp`.
        inner_norms: where LayerNorms stand before the output: `"attention"`, `"mlp"` (if it is
            gated) or a tuple of them.
        activation: of the MLP, or of its gate.
        **arguments: all others of `TransformerBlock` but `relative_position_grid`.

    Call arguments:
        patches: any tensor `(B, rows, columns, ...)` with the grid that the patches have, which
            then need not be known before it runs; None for the layer's.
        All others as of `TransformerBlock`.

    Raises:
        ValueError: for an argument that does not fit, if the heads do not divide the width, there are
            fewer tokens than patches, or neither the layer nor its call has a grid.

    Example:
        >>> block = keras_vit.RotaryBlock(num_heads=3, mlp_dim=512, grid=(14, 14), gated=True)
        >>> block(np.zeros((2, 201, 192))).shape
        (2, 201, 192)

    Reference:
        DINOv3, arXiv 2508.10104; EVA-02, arXiv 2303.11331.
    """

    def __init__(
        self,
        num_heads,
        mlp_dim,
        grid,
        rotary=None,
        gated=False,
        inner_norms=(),
        activation="silu",
        **arguments,
    ):
        super().__init__(num_heads, mlp_dim, activation=activation, **arguments)
        check_flag(gated=gated)
        self.rotary = rotary_options(rotary)
        self.grid = None if grid is None else as_pair(grid, "grid")
        self.gated = gated
        self.inner_norms = check_inner_norms(inner_norms, gated)
        self._assemble()

    def _make_attention(self):
        return RotaryAttention(
            self.num_heads,
            self.grid,
            self.rotary,
            "attention" in self.inner_norms,
            self.epsilon,
            dropout_rate=self.dropout_rate,
            attention_dropout_rate=self.attention_dropout_rate,
            fused=self.fused_attention,
            qkv_bias=self.qkv_bias,
            dtype=self.dtype_policy,
            name="attention",
        )

    def _make_mlp(self):
        arguments = (self.mlp_dim, self.dropout_rate, self.activation)
        if not self.gated:
            return MlpBlock(*arguments, dtype=self.dtype_policy, name="mlp")
        return GatedMlp(
            *arguments,
            "mlp" in self.inner_norms,
            self.epsilon,
            dtype=self.dtype_policy,
            name="mlp",
        )

    def get_config(self):
        return {
            **super().get_config(),
            "grid": self.grid,
            "rotary": asdict(self.rotary),
            "gated": self.gated,
            "inner_norms": self.inner_norms,
        }


def check_inner_norms(names, gated):
    """Returns where norms stand inside a block's branches, as a tuple.

    Raises:
        ValueError: for another place, or a norm in an MLP that is not gated.
    """
    names = one_or_several(names)
    for name in names:
        check_choice("inner_norms", name, BRANCHES)
    if "mlp" in names and not gated:
        raise ValueError("inner_norms has 'mlp', which is for gated MLPs; give gated=True.")
    return tuple(name for name in BRANCHES if name in names)
