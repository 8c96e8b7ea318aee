"""One pre-norm Transformer encoder block (paper, equations 2 and 3)."""

import keras

from keras_vit.layers.arguments import (
    check_biased,
    check_epsilon,
    check_flag,
    check_number,
    check_rate,
)
from keras_vit.layers.attention import MultiHeadAttention, combine_masks
from keras_vit.layers.dropping import dropped
from keras_vit.layers.layer_norm import LayerNormalization
from keras_vit.layers.layer_scale import LayerScale
from keras_vit.layers.mlp import MlpBlock
from keras_vit.layers.patches import as_pair
from keras_vit.layers.recompute import recomputed
from keras_vit.layers.stochastic_depth import StochasticDepth
from keras_vit.layers.trainable import LayerKeepsWhatTrains


class PreNormBlock(LayerKeepsWhatTrains, keras.layers.Layer):
    """Two residual branches, each behind a LayerNorm: attention and an MLP, which subclasses make.

    It takes the arguments that all blocks have. A subclass keeps those of its own as attributes and
    then calls `_assemble`.
    """

    def __init__(
        self,
        num_heads,
        mlp_dim,
        dropout_rate=0.0,
        attention_dropout_rate=0.0,
        stochastic_depth_rate=0.0,
        activation="gelu_tanh",
        epsilon=1e-6,
        fused_attention=None,
        rematerialize=False,
        layer_scale=None,
        qkv_bias=True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.supports_masking = True
        check_rate(stochastic_depth_rate=stochastic_depth_rate)
        check_epsilon(epsilon=epsilon)
        check_flag(rematerialize=rematerialize)
        if fused_attention is not None:
            check_flag(fused_attention=fused_attention)
        if layer_scale is not None:
            check_number(layer_scale=layer_scale)
        self.num_heads = num_heads
        self.mlp_dim = mlp_dim
        self.dropout_rate = dropout_rate
        self.attention_dropout_rate = attention_dropout_rate
        self.stochastic_depth_rate = stochastic_depth_rate
        self.activation = activation
        self.epsilon = epsilon
        self.fused_attention = fused_attention
        self.rematerialize = rematerialize
        self.layer_scale = layer_scale
        self.qkv_bias = check_biased("qkv_bias", qkv_bias)

    @property
    def needs_patches(self):
        """Whether the call has to say which grid the patches have."""
        return self.attention.needs_patches

    def build(self, input_shape):
        parts = (self.attention_norm, self.attention, self.mlp_norm, self.mlp)
        for layer in (*parts, self.attention_scale, self.mlp_scale):
            if layer is not None:
                layer.build(input_shape)

    def call(
        self,
        x,
        attention_mask=None,
        training=None,
        return_attention_scores=False,
        patches=None,
        mask=None,
        x_mask=None,
    ):
        mask = x_mask if mask is None else mask

        def encode(x):
            y = self.attention(
                self.attention_norm(x),
                attention_mask=combine_masks(attention_mask, mask),
                training=training,
                return_attention_scores=return_attention_scores,
                patches=patches,
            )
            scores = None
            if return_attention_scores:
                y, scores = y
            x = x + self._branch(y, self.attention_scale, training)
            y = self.mlp(self.mlp_norm(x), training=training)
            x = x + self._branch(y, self.mlp_scale, training)
            return (x, scores) if return_attention_scores else x

        return recomputed(self, encode, x) if self.rematerialize and training else encode(x)

    def compute_output_spec(
        self, x, attention_mask=None, training=None, return_attention_scores=False, **others
    ):
        return self.attention.compute_output_spec(
            x, return_attention_scores=return_attention_scores
        )

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def compute_mask(self, inputs, previous_mask=None):
        return previous_mask

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "mlp_dim": self.mlp_dim,
            "dropout_rate": self.dropout_rate,
            "attention_dropout_rate": self.attention_dropout_rate,
            "stochastic_depth_rate": self.stochastic_depth_rate,
            "activation": self.activation,
            "epsilon": self.epsilon,
            "fused_attention": self.fused_attention,
            "rematerialize": self.rematerialize,
            "layer_scale": self.layer_scale,
            "qkv_bias": self.qkv_bias,
        }

    def _assemble(self):
        """Makes the parts, once all arguments are kept."""
        policy = self.dtype_policy
        self.attention_norm = LayerNormalization(
            epsilon=self.epsilon, dtype=policy, name="attention_norm"
        )
        self.attention = self._make_attention()
        self.mlp_norm = LayerNormalization(epsilon=self.epsilon, dtype=policy, name="mlp_norm")
        self.mlp = self._make_mlp()
        self.attention_scale = self.mlp_scale = None
        if self.layer_scale is not None:
            scale = self.layer_scale
            self.attention_scale = LayerScale(scale, dtype=policy, name="attention_scale")
            self.mlp_scale = LayerScale(scale, dtype=policy, name="mlp_scale")
        self.stochastic_depth = StochasticDepth(
            self.stochastic_depth_rate, dtype=policy, name="stochastic_depth"
        )

    def _branch(self, y, scale, training):
        return dropped(self.stochastic_depth, y if scale is None else scale(y), training)


@keras.saving.register_keras_serializable(package="keras_vit")
class TransformerBlock(PreNormBlock):
    """Self-attention and an MLP, each after a LayerNorm and with a residual connection.

        z' = MSA(LN(z)) + z
        z  = MLP(LN(z')) + z'

    With LayerScale, learned factors of the channels multiply both branches.

    Args:
        num_heads: number of attention heads; it must divide the width D.
        mlp_dim: width of the MLP's hidden layer.
        dropout_rate: dropout after each Dense layer but query, key and value.
        attention_dropout_rate: dropout on the attention weights.
        stochastic_depth_rate: probability of dropping each residual branch.
        activation: of the MLP; `"gelu_tanh"` is the authors', `"gelu"` the exact one.
        epsilon: of the LayerNorms.
        relative_position_grid: `(rows, columns)` of the patches for a learned relative position
            bias; None for none.
        fused_attention: see `MultiHeadAttention`; None chooses by the device.
        rematerialize: recompute the block's activations in the backward pass: less memory, one
            more forward computation.
        layer_scale: what LayerScale's factors start at; None for no LayerScale.
        qkv_bias: whether query, key and value have a bias, or the names of those that have.

    Call arguments:
        x: tokens `(B, N, D)`.
        attention_mask: True where a query may attend: `(B, N)`, `(B, N, N)` or `(B, heads, N, N)`.
            Keras' own mask `(B, N)` is combined with it.
        training: whether dropout and stochastic depth are active.
        return_attention_scores: return `(x, scores)`, the scores `(B, heads, N, N)` after the
            softmax and before dropout.
        patches: as of `RotaryBlock`, which has positions of its own.
        mask, x_mask: Keras' own mask `(B, N)`; Keras fills `mask` where x is the only tensor
            given, and otherwise `x_mask`.

    Raises:
        ValueError: for an argument that does not fit, or if the number of heads does not divide the
            width.

    Example:
        >>> block = keras_vit.TransformerBlock(num_heads=3, mlp_dim=768)
        >>> block(np.zeros((2, 197, 192))).shape
        (2, 197, 192)

    Reference:
        arXiv 2010.11929, equations 2 and 3.
    """

    def __init__(
        self,
        num_heads,
        mlp_dim,
        dropout_rate=0.0,
        attention_dropout_rate=0.0,
        stochastic_depth_rate=0.0,
        activation="gelu_tanh",
        epsilon=1e-6,
        relative_position_grid=None,
        **arguments,
    ):
        rates = dropout_rate, attention_dropout_rate, stochastic_depth_rate
        super().__init__(num_heads, mlp_dim, *rates, activation, epsilon, **arguments)
        grid = relative_position_grid
        self.relative_position_grid = (
            None if grid is None else as_pair(grid, "relative_position_grid")
        )
        self._assemble()

    def get_config(self):
        return {
            **super().get_config(),
            "relative_position_grid": self.relative_position_grid,
        }

    def _make_attention(self):
        return MultiHeadAttention(
            self.num_heads,
            self.dropout_rate,
            self.attention_dropout_rate,
            self.relative_position_grid,
            self.fused_attention,
            self.qkv_bias,
            dtype=self.dtype_policy,
            name="attention",
        )

    def _make_mlp(self):
        return MlpBlock(
            self.mlp_dim,
            self.dropout_rate,
            self.activation,
            dtype=self.dtype_policy,
            name="mlp",
        )
