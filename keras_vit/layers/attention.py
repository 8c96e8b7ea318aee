"""Multi-head attention on flattened tokens (paper, appendix A)."""

import keras
from keras import ops

from keras_vit.layers.arguments import check_biased, check_flag, check_positive, check_rate
from keras_vit.layers.dense import Dense
from keras_vit.layers.dropping import dropped
from keras_vit.layers.fused_attention import fused_attention, fused_attention_pays
from keras_vit.layers.patches import as_pair
from keras_vit.layers.relative_position import RelativePositionBias
from keras_vit.layers.trainable import LayerKeepsWhatTrains

FLOAT16_MAX = 65504.0


@keras.saving.register_keras_serializable(package="keras_vit")
class MultiHeadAttention(LayerKeepsWhatTrains, keras.layers.Layer):
    """Scaled dot-product attention with several heads; the output has the query's width.

    The three projections and the output are Dense layers on (B * N, D): each gradient is then a
    single contraction, which XLA compiles to much faster CPU code than Dense on (B, N, D). They
    stay apart (no fused q/k/v), so that each can have LoRA, quantisation and its own weights.

    Args:
        num_heads: number of heads; it must divide the width D.
        dropout_rate: dropout after the output projection.
        attention_dropout_rate: dropout on the attention weights.
        relative_position_grid: `(rows, columns)` of the patches adds a learned bias for each
            head and relative position to the scores; None for no bias.
        fused: True computes attention as one kernel, with `keras.ops.dot_product_attention` (flash
            attention on GPUs where it can) or PyTorch's on CPUs; False with two batched products;
            None takes what is quicker: the kernel on GPUs, and on PyTorch's CPU in float32 and in
            inference. Dropout, scores and a position bias always take the products.
        qkv_bias: whether query, key and value have a bias, or the names of those that have:
            `("query", "value")`.

    Call arguments:
        query: `(B, N, D)`.
        value: `(B, M, D)`, what is attended to; None for the query itself. With positions, of the
            bias or of a subclass, its tokens have those of the query's, and M is N.
        attention_mask: True where a query may attend: `(B, M)`, `(B, N, M)` or `(B, heads, N, M)`.
            Keras' own mask of the value is combined with it.
        return_attention_scores: also return the weights after the softmax, `(B, heads, N, M)`.
        patches: for a subclass with positions, any tensor `(B, rows, columns, ...)` with the grid
            that the patches have; None for the layer's.
        mask, query_mask, value_mask: Keras' own masks `(B, N)`, `(B, N)` and `(B, M)`; Keras fills
            `mask` where the query is the only tensor given, and otherwise the other two.

    Raises:
        ValueError: for an argument that does not fit, if the number of heads does not divide the
            width, or if there are positions and the value has another number of tokens.

    Example:
        >>> keras_vit.MultiHeadAttention(num_heads=3)(np.zeros((2, 197, 192))).shape
        (2, 197, 192)

    Reference:
        arXiv 2010.11929, appendix A.
    """

    def __init__(
        self,
        num_heads,
        dropout_rate=0.0,
        attention_dropout_rate=0.0,
        relative_position_grid=None,
        fused=None,
        qkv_bias=True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(num_heads=num_heads)
        check_rate(dropout_rate=dropout_rate, attention_dropout_rate=attention_dropout_rate)
        if fused is not None:
            check_flag(fused=fused)
        if relative_position_grid is not None:
            relative_position_grid = as_pair(relative_position_grid, "relative_position_grid")
        self.supports_masking = True
        self.num_heads = num_heads
        self.dropout_rate = dropout_rate
        self.attention_dropout_rate = attention_dropout_rate
        self.relative_position_grid = relative_position_grid
        self.fused = fused
        self.qkv_bias = check_biased("qkv_bias", qkv_bias)
        self.dropout = keras.layers.Dropout(dropout_rate, dtype=self.dtype_policy, name="dropout")
        self.attention_dropout = keras.layers.Dropout(
            attention_dropout_rate, dtype=self.dtype_policy, name="attention_dropout"
        )
        self.position_bias = (
            None
            if relative_position_grid is None
            else RelativePositionBias(
                num_heads, relative_position_grid, dtype=self.dtype_policy, name="position_bias"
            )
        )

    def build(self, query_shape):
        width = query_shape[-1]
        if width % self.num_heads:
            raise ValueError(
                f"num_heads={self.num_heads} does not divide the width {width} of the tokens."
            )
        self.head_dim = width // self.num_heads
        self.query = self._dense(width, "query", self._is_biased("query"))
        self.key = self._dense(width, "key", self._is_biased("key"))
        self.value = self._dense(width, "value", self._is_biased("value"))
        self.output_dense = self._dense(width, "output")
        for dense in (self.query, self.key, self.value, self.output_dense):
            dense.build((None, width))
        if self.position_bias is not None:
            self.position_bias.build(query_shape)

    def call(
        self,
        query,
        value=None,
        attention_mask=None,
        training=None,
        return_attention_scores=False,
        patches=None,
        mask=None,
        query_mask=None,
        value_mask=None,
    ):
        if value is None:
            value, value_mask = query, query_mask if mask is None else mask
        self._check_lengths(query, value)
        flat = ops.reshape(query, (-1, query.shape[-1]))  # (B * N, D)
        q = self._heads(self.query(flat), query)  # (B, N, heads, d)
        flat = flat if value is query else ops.reshape(value, (-1, value.shape[-1]))
        k = self._heads(self.key(flat), value)  # (B, M, heads, d)
        v = self._heads(self.value(flat), value)
        q, k = self._positioned(q, k, patches)
        mask = _mask_of_rank_4(combine_masks(attention_mask, value_mask))
        dropping = bool(training) and self.attention_dropout_rate > 0
        scores = None
        if (
            return_attention_scores
            or dropping
            or self.position_bias is not None
            or not self._is_fused(training)
        ):
            x, scores = self._products(q, k, v, mask, training)
        else:
            x = fused_attention(q, k, v, mask)
        width = self.num_heads * self.head_dim
        x = self.output_dense(self._joined(ops.reshape(x, (-1, width))))
        x = dropped(self.dropout, x, training)
        x = ops.reshape(x, (-1, ops.shape(query)[1], width))
        return (x, scores) if return_attention_scores else x

    def compute_output_spec(
        self,
        query,
        value=None,
        attention_mask=None,
        training=None,
        return_attention_scores=False,
        **others,
    ):
        self._check_lengths(query, query if value is None else value)
        output = keras.KerasTensor(query.shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return output
        length = (query if value is None else value).shape[1]
        shape = (query.shape[0], self.num_heads, query.shape[1], length)
        return output, keras.KerasTensor(shape, dtype=self.compute_dtype)

    def compute_output_shape(self, query_shape, value_shape=None):
        return tuple(query_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "dropout_rate": self.dropout_rate,
            "attention_dropout_rate": self.attention_dropout_rate,
            "relative_position_grid": self.relative_position_grid,
            "fused": self.fused,
            "qkv_bias": self.qkv_bias,
        }

    @property
    def needs_patches(self):
        """Whether the call has to say which grid the patches have, for a subclass with positions."""
        return False

    @property
    def has_positions(self):
        """Whether scores depend on where the tokens are."""
        return self.position_bias is not None

    def _check_lengths(self, query, value):
        lengths = query.shape[1], value.shape[1]
        if self.has_positions and None not in lengths and lengths[0] != lengths[1]:
            raise ValueError(
                f"{self.name!r} has positions, which are those of the query's {lengths[0]} tokens, and "
                f"the value has {lengths[1]}; leave it out, give one of as many tokens, or take a "
                "MultiHeadAttention without relative_position_grid."
            )

    def _is_biased(self, part):
        return self.qkv_bias if isinstance(self.qkv_bias, bool) else part in self.qkv_bias

    def _positioned(self, q, k, patches):
        """Queries and keys, for a subclass to turn by their positions."""
        return q, k

    def _joined(self, x):
        """What the heads give, side by side `(B * N, D)`, for a subclass to norm."""
        return x

    def _is_fused(self, training):
        if self.compute_dtype == "float16" and keras.backend.backend() == "tensorflow":
            return False  # there Keras' is a plain product, which overflows before it is scaled
        pays = fused_attention_pays(self.compute_dtype, training)
        return pays if self.fused is None else self.fused

    def _products(self, q, k, v, mask, training):
        q = ops.transpose(q, (0, 2, 1, 3)) * self.head_dim**-0.5  # (B, heads, N, d)
        logits = ops.matmul(q, ops.transpose(k, (0, 2, 3, 1)))  # (B, heads, N, M)
        if self.position_bias is not None:
            logits = logits + self.position_bias(logits)
        half = self.compute_dtype == "float16"
        if half:  # infinity minus infinity would make the whole row NaN
            logits = ops.clip(logits, -FLOAT16_MAX, FLOAT16_MAX)
        if mask is not None:
            # Finite, so that a row without any allowed position does not become NaN.
            lowest = -FLOAT16_MAX if half else -1e30
            logits = ops.where(mask, logits, ops.cast(lowest, logits.dtype))
        scores = ops.softmax(logits, axis=-1)
        kept = dropped(self.attention_dropout, scores, training)
        x = ops.matmul(kept, ops.transpose(v, (0, 2, 1, 3)))  # (B, heads, N, d)
        return ops.transpose(x, (0, 2, 1, 3)), scores

    def _heads(self, flat, x):
        return ops.reshape(flat, (-1, ops.shape(x)[1], self.num_heads, self.head_dim))

    def _dense(self, units, name, use_bias=True):
        return Dense(
            units,
            use_bias=use_bias,
            kernel_initializer="glorot_uniform",
            dtype=self.dtype_policy,
            name=name,
        )


def combine_masks(attention_mask, mask):
    """Joins an attention mask of any rank with a mask `(B, M)` of the tokens that are there."""
    if mask is None or attention_mask is None:
        return mask if attention_mask is None else attention_mask
    attention_mask, mask = ops.cast(attention_mask, "bool"), ops.cast(mask, "bool")
    for _ in range(len(attention_mask.shape) - 2):
        mask = mask[:, None]
    return ops.logical_and(attention_mask, mask)


def _mask_of_rank_4(mask):
    if mask is None:
        return None
    mask = ops.cast(mask, "bool")
    if len(mask.shape) == 2:
        return mask[:, None, None, :]
    return mask[:, None] if len(mask.shape) == 3 else mask
