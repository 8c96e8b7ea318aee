"""From the encoder's tokens to one vector an image."""

import keras
from keras import ops

from keras_vit.layers.attention import MultiHeadAttention
from keras_vit.layers.mlp import MlpBlock
from keras_vit.layers.trainable import LayerKeepsWhatTrains

KINDS = ("token", "gap")


@keras.saving.register_keras_serializable(package="keras_vit")
class TokenPooling(keras.layers.Layer):
    """Takes the first token (`"token"`) or the mean of all tokens (`"gap"`).

    Args:
        kind: `"token"` or `"gap"`.

    Input shape:
        `(B, N, D)`; a mask `(B, N)` leaves tokens out of the mean.

    Output shape:
        `(B, D)`.

    Raises:
        ValueError: for an unknown kind.

    Example:
        >>> keras_vit.TokenPooling("gap")(np.zeros((2, 196, 192))).shape
        (2, 192)

    Reference:
        arXiv 2010.11929, equation 4 and appendix D.3.
    """

    def __init__(self, kind="token", **kwargs):
        super().__init__(**kwargs)
        if kind not in KINDS:
            raise ValueError(f"kind is {kind!r}; use one of {', '.join(map(repr, KINDS))}.")
        self.kind = kind
        self.supports_masking = True

    def call(self, tokens, mask=None):
        if self.kind == "token":
            return tokens[:, 0]
        if mask is None:
            return ops.mean(tokens, axis=1)
        # Summed in float32, as `ops.mean` does: a sum in half precision overflows or loses tokens.
        weight = ops.cast(mask, "float32")[..., None]
        total = ops.sum(ops.cast(tokens, "float32") * weight, axis=1)
        mean = total / ops.maximum(ops.sum(weight, axis=1), 1)
        return ops.cast(mean, tokens.dtype)

    def compute_mask(self, inputs, previous_mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[2])

    def get_config(self):
        return {**super().get_config(), "kind": self.kind}


@keras.saving.register_keras_serializable(package="keras_vit")
class AttentionPooling(LayerKeepsWhatTrains, keras.layers.Layer):
    """Pools tokens by the attention of one learned probe, then an MLP with a residual.

    Args:
        num_heads: number of attention heads.
        mlp_dim: width of the MLP's hidden layer.
        activation: of the MLP.
        epsilon: of the LayerNorm before the MLP.

    Input shape:
        `(B, N, D)`; a mask `(B, N)` leaves tokens out.

    Output shape:
        `(B, D)`.

    Example:
        >>> keras_vit.AttentionPooling(num_heads=3, mlp_dim=768)(np.zeros((2, 196, 192))).shape
        (2, 192)

    Reference:
        Zhai et al., "Scaling Vision Transformers", arXiv 2106.04560, section 3.1 (MAP head);
        google-research/big_vision, models/vit.py.
    """

    def __init__(self, num_heads, mlp_dim, activation="gelu_tanh", epsilon=1e-6, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.mlp_dim = mlp_dim
        self.activation = activation
        self.epsilon = epsilon
        self.supports_masking = True
        self.probe_initializer = keras.initializers.GlorotUniform()
        policy = self.dtype_policy
        self.attention = MultiHeadAttention(num_heads, dtype=policy, name="attention")
        self.norm = keras.layers.LayerNormalization(epsilon=epsilon, dtype=policy, name="norm")
        self.mlp = MlpBlock(mlp_dim, activation=activation, dtype=policy, name="mlp")

    def build(self, input_shape):
        width = input_shape[-1]
        self.probe = self.add_weight(
            name="probe", shape=(1, 1, width), initializer=self.probe_initializer
        )
        for layer in (self.attention, self.norm, self.mlp):
            layer.build((None, 1, width))

    def call(self, tokens, training=None, mask=None):
        shape = (ops.shape(tokens)[0], 1, tokens.shape[-1])
        probe = ops.broadcast_to(ops.cast(self.probe, tokens.dtype), shape)
        x = self.attention(probe, tokens, attention_mask=mask, training=training)  # (B, 1, D)
        return (x + self.mlp(self.norm(x), training=training))[:, 0]

    def compute_mask(self, inputs, previous_mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[2])

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "mlp_dim": self.mlp_dim,
            "activation": self.activation,
            "epsilon": self.epsilon,
        }
