"""A perceptron whose hidden layer is multiplied by a gate."""

import keras
from keras import ops

from keras_vit.layers.arguments import check_epsilon, check_flag
from keras_vit.layers.dense import Dense
from keras_vit.layers.dropping import dropped
from keras_vit.layers.layer_norm import LayerNormalization
from keras_vit.layers.mlp import MlpBlock


@keras.saving.register_keras_serializable(package="keras_vit")
class GatedMlp(MlpBlock):
    """`output(activation(gate(x)) * hidden(x))`, for each token; SwiGLU with its default.

    Args:
        mlp_dim: width of the gate and of the hidden layer.
        dropout_rate: dropout on the product and after the output.
        activation: of the gate.
        inner_norm: whether a LayerNorm stands before the output.
        epsilon: of this norm.

    Input and output shape:
        `(B, N, D)`.

    Raises:
        ValueError: for an argument that does not fit.

    Example:
        >>> keras_vit.GatedMlp(mlp_dim=512)(np.zeros((2, 197, 192))).shape
        (2, 197, 192)

    Reference:
        Shazeer, "GLU Variants Improve Transformer", arXiv 2002.05202; with the norm as in EVA-02,
        arXiv 2303.11331.
    """

    def __init__(
        self,
        mlp_dim,
        dropout_rate=0.0,
        activation="silu",
        inner_norm=False,
        epsilon=1e-6,
        **kwargs,
    ):
        super().__init__(mlp_dim, dropout_rate, activation, **kwargs)
        check_flag(inner_norm=inner_norm)
        check_epsilon(epsilon=epsilon)
        self.inner_norm = inner_norm
        self.epsilon = epsilon
        self.norm = None
        if inner_norm:
            self.norm = LayerNormalization(epsilon=epsilon, dtype=self.dtype_policy, name="norm")

    def build(self, input_shape):
        super().build(input_shape)
        self.gate: Dense = self._dense(self.mlp_dim, "gate")
        self.gate.build((None, input_shape[-1]))
        if self.norm is not None:
            self.norm.build((None, self.mlp_dim))

    def call(self, x, training=None):
        y = ops.reshape(x, (-1, x.shape[-1]))
        y = self._activate(self.gate(y)) * self.hidden(y)
        y = dropped(self.dropout, y, training)
        if self.norm is not None:
            y = self.norm(y)
        y = dropped(self.dropout, self.output_dense(y), training)
        return ops.reshape(y, (-1, ops.shape(x)[1], x.shape[-1]))

    def get_config(self):
        return {
            **super().get_config(),
            "inner_norm": self.inner_norm,
            "epsilon": self.epsilon,
        }
