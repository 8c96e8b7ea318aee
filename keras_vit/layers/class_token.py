"""The learned token whose final state represents the image (paper, equation 1)."""

import keras
from keras import ops

from keras_vit.layers.trainable import LayerKeepsWhatTrains


@keras.saving.register_keras_serializable(package="keras_vit")
class ClassToken(LayerKeepsWhatTrains, keras.layers.Layer):
    """Puts one learned token before each sequence.

    Input shape:
        `(B, N, D)`.

    Output shape:
        `(B, 1 + N, D)`. A mask is extended by True, since the class token is always there.

    Example:
        >>> keras_vit.ClassToken()(np.zeros((2, 196, 768))).shape
        (2, 197, 768)

    Reference:
        arXiv 2010.11929, equation 1. It starts at zero, as in the authors' code.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.class_token_initializer = keras.initializers.Zeros()

    def build(self, input_shape):
        self.class_token = self.add_weight(
            name="class_token",
            shape=(1, 1, input_shape[-1]),
            initializer=self.class_token_initializer,
        )

    def call(self, tokens):
        token = ops.cast(self.class_token, tokens.dtype)
        token = ops.broadcast_to(token, (ops.shape(tokens)[0], 1, tokens.shape[-1]))
        return ops.concatenate([token, tokens], axis=1)

    def compute_mask(self, inputs, previous_mask=None):
        if previous_mask is None:
            return None
        return ops.concatenate([ops.ones_like(previous_mask[:, :1]), previous_mask], axis=1)

    def compute_output_shape(self, input_shape):
        batch, number, width = input_shape
        return (batch, None if number is None else number + 1, width)

    def get_config(self):
        return super().get_config()  # Keras' automatic one refuses a dtype policy as an argument
