"""From the encoder's tokens to one vector an image."""

import keras
from keras import ops

from keras_vit.layers.arguments import check_choice, check_count, check_epsilon
from keras_vit.layers.attention import MultiHeadAttention
from keras_vit.layers.layer_norm import LayerNormalization
from keras_vit.layers.mlp import MlpBlock
from keras_vit.layers.trainable import LayerKeepsWhatTrains

KINDS = ("token", "gap", "token_gap")


@keras.saving.register_keras_serializable(package="keras_vit")
class TokenPooling(keras.layers.Layer):
    """Takes one token (`"token"`), the mean of the patches (`"gap"`), or both (`"token_gap"`).

    Args:
        kind: `"token"`, `"gap"`, or `"token_gap"`: the token and then the mean.
        index: which token.
        num_prefix_tokens: how many tokens before the patches are left out of the mean.

    Input shape:
        `(B, N, D)`; a mask `(B, N)` leaves tokens out of the mean.

    Output shape:
        `(B, D)`, or `(B, 2 * D)` for both.

    Raises:
        ValueError: for an unknown kind.

    Example:
        >>> keras_vit.TokenPooling("gap")(np.zeros((2, 196, 192))).shape
        (2, 192)

    Reference:
        arXiv 2010.11929, equation 4 and appendix D.3; both as in arXiv 2304.07193 (DINOv2).
    """

    def __init__(self, kind="token", index=0, num_prefix_tokens=0, **kwargs):
        super().__init__(**kwargs)
        check_choice("kind", kind, KINDS)
        check_count(index=index, num_prefix_tokens=num_prefix_tokens)
        self.kind = kind
        self.index = int(index)
        self.num_prefix_tokens = int(num_prefix_tokens)
        self.supports_masking = True

    def call(self, tokens, mask=None):
        token = tokens[:, self.index]
        if self.kind == "token":
            return token
        mean = self._mean(tokens, mask)
        return mean if self.kind == "gap" else ops.concatenate([token, mean], axis=-1)

    def compute_mask(self, inputs, previous_mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[2] * (2 if self.kind == "token_gap" else 1))

    def get_config(self):
        return {
            **super().get_config(),
            "kind": self.kind,
            "index": self.index,
            "num_prefix_tokens": self.num_prefix_tokens,
        }

    def _mean(self, tokens, mask):
        patches = tokens[:, self.num_prefix_tokens :]
        if mask is None:
            return ops.mean(patches, axis=1)
        # Summed in float32, as `ops.mean` does: a sum in half precision overflows or loses tokens.
        weight = ops.cast(mask[:, self.num_prefix_tokens :], "float32")[..., None]
        total = ops.sum(ops.cast(patches, "float32") * weight, axis=1)
        return ops.cast(total / ops.maximum(ops.sum(weight, axis=1), 1), patches.dtype)


@keras.saving.register_keras_serializable(package="keras_vit")
class AttentionPooling(LayerKeepsWhatTrains, keras.layers.Layer):
    """Pools tokens by the attention of one learned probe, then an MLP with a residual.

    Args:
        num_heads: number of attention heads.
        mlp_dim: width of the MLP's hidden layer.
        activation: of the MLP.
        epsilon: of the LayerNorm before the MLP.
        num_prefix_tokens: how many tokens before the patches are not attended to.

    Input shape:
        `(B, N, D)`; a mask `(B, N)` leaves tokens out.

    Output shape:
        `(B, D)`.

    Raises:
        ValueError: for an argument that does not fit.

    Example:
        >>> keras_vit.AttentionPooling(num_heads=3, mlp_dim=768)(np.zeros((2, 196, 192))).shape
        (2, 192)

    Reference:
        Zhai et al., "Scaling Vision Transformers", arXiv 2106.04560, section 3.1 (MAP head);
        google-research/big_vision, models/vit.py.
    """

    def __init__(
        self,
        num_heads,
        mlp_dim,
        activation="gelu_tanh",
        epsilon=1e-6,
        num_prefix_tokens=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_count(num_prefix_tokens=num_prefix_tokens)
        check_epsilon(epsilon=epsilon)
        self.num_heads = num_heads
        self.mlp_dim = mlp_dim
        self.activation = activation
        self.epsilon = epsilon
        self.num_prefix_tokens = num_prefix_tokens
        self.supports_masking = True
        self.probe_initializer = keras.initializers.GlorotUniform()
        policy = self.dtype_policy
        self.attention = MultiHeadAttention(num_heads, dtype=policy, name="attention")
        self.norm = LayerNormalization(epsilon=epsilon, dtype=policy, name="norm")
        self.mlp = MlpBlock(mlp_dim, activation=activation, dtype=policy, name="mlp")

    def build(self, input_shape):
        width = input_shape[-1]
        self.probe = self.add_weight(
            name="probe", shape=(1, 1, width), initializer=self.probe_initializer
        )
        for layer in (self.attention, self.norm, self.mlp):
            layer.build((None, 1, width))

    def call(self, tokens, training=None, mask=None):
        x, _ = self.attend(tokens, training, mask, False)  # (B, 1, D)
        return (x + self.mlp(self.norm(x), training=training))[:, 0]

    def attend(self, tokens, training=None, mask=None, return_attention_scores=True):
        """Returns what the probe takes from the patches (B, 1, D), and its scores or None."""
        patches = tokens[:, self.num_prefix_tokens :]
        if mask is not None:
            mask = mask[:, self.num_prefix_tokens :]
        shape = (ops.shape(tokens)[0], 1, tokens.shape[-1])
        result = self.attention(
            ops.broadcast_to(ops.cast(self.probe, tokens.dtype), shape),
            patches,
            attention_mask=mask,
            training=training,
            return_attention_scores=return_attention_scores,
        )
        return result if return_attention_scores else (result, None)

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
            "num_prefix_tokens": self.num_prefix_tokens,
        }
