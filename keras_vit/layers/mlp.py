"""The two-layer perceptron of a Transformer block (paper, equation 3)."""

import keras
from keras import ops

from keras_vit.layers.activations import get_activation
from keras_vit.layers.arguments import check_positive, check_rate
from keras_vit.layers.dense import Dense
from keras_vit.layers.dropping import dropped
from keras_vit.layers.trainable import LayerKeepsWhatTrains


@keras.saving.register_keras_serializable(package="keras_vit")
class MlpBlock(LayerKeepsWhatTrains, keras.layers.Layer):
    """Dense, activation, dropout, Dense back to the input's width, dropout; for each token.

    Args:
        mlp_dim: width of the hidden layer.
        dropout_rate: dropout after each Dense layer.
        activation: `"gelu_tanh"`, `"gelu"` or any activation of Keras.

    Input and output shape:
        `(B, N, D)`.

    Example:
        >>> keras_vit.MlpBlock(mlp_dim=768)(np.zeros((2, 197, 192))).shape
        (2, 197, 192)

    Reference:
        arXiv 2010.11929, equation 3 and appendix B.1 (where the dropout stands).
    """

    def __init__(self, mlp_dim, dropout_rate=0.0, activation="gelu_tanh", **kwargs):
        super().__init__(**kwargs)
        check_positive(mlp_dim=mlp_dim)
        check_rate(dropout_rate=dropout_rate)
        self.supports_masking = True
        self.mlp_dim = int(mlp_dim)
        self.dropout_rate = dropout_rate
        self.activation = activation
        self._activate = get_activation(activation)
        self.dropout = keras.layers.Dropout(dropout_rate, dtype=self.dtype_policy, name="dropout")

    def build(self, input_shape):
        width = input_shape[-1]
        self.hidden = self._dense(self.mlp_dim, "hidden")
        self.output_dense = self._dense(width, "output")
        self.hidden.build((None, width))
        self.output_dense.build((None, self.mlp_dim))

    def call(self, x, training=None):
        # Flat tokens make each gradient a single contraction, which XLA runs faster on CPU.
        y = ops.reshape(x, (-1, x.shape[-1]))
        y = dropped(self.dropout, self._activate(self.hidden(y)), training)
        y = dropped(self.dropout, self.output_dense(y), training)
        return ops.reshape(y, (-1, ops.shape(x)[1], x.shape[-1]))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "mlp_dim": self.mlp_dim,
            "dropout_rate": self.dropout_rate,
            "activation": self.activation,
        }

    def _dense(self, units, name):
        return Dense(
            units,
            kernel_initializer="glorot_uniform",
            bias_initializer=keras.initializers.RandomNormal(stddev=1e-6),
            dtype=self.dtype_policy,
            name=name,
        )
