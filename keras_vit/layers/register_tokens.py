"""Learned tokens that stand for nothing, in which a model can keep what it computes."""

import keras
from keras import ops

from keras_vit.layers.arguments import check_positive
from keras_vit.layers.trainable import LayerKeepsWhatTrains


@keras.saving.register_keras_serializable(package="keras_vit")
class RegisterTokens(LayerKeepsWhatTrains, keras.layers.Layer):
    """Puts learned tokens before each sequence; no classifier reads them.

    Args:
        number: how many.

    Input shape:
        `(B, N, D)`.

    Output shape:
        `(B, number + N, D)`. A mask is extended by True, since registers are always there.

    Raises:
        ValueError: unless `number` is a positive int.

    Example:
        >>> keras_vit.RegisterTokens(4)(np.zeros((2, 196, 768))).shape
        (2, 200, 768)

    Reference:
        Darcet et al., "Vision Transformers Need Registers", arXiv 2309.16588.
    """

    def __init__(self, number=4, **kwargs):
        super().__init__(**kwargs)
        check_positive(number=number)
        self.number = int(number)
        self.supports_masking = True
        self.registers_initializer = keras.initializers.RandomNormal(stddev=1e-6)

    def build(self, input_shape):
        self.registers = self.add_weight(
            name="registers",
            shape=(1, self.number, input_shape[-1]),
            initializer=self.registers_initializer,
        )

    def call(self, tokens):
        registers = ops.cast(self.registers, tokens.dtype)
        shape = (ops.shape(tokens)[0], self.number, tokens.shape[-1])
        return ops.concatenate([ops.broadcast_to(registers, shape), tokens], axis=1)

    def compute_mask(self, inputs, previous_mask=None):
        if previous_mask is None:
            return None
        there = ops.ones_like(previous_mask[:, :1])
        return ops.concatenate([there] * self.number + [previous_mask], axis=1)

    def compute_output_shape(self, input_shape):
        batch, number, width = input_shape
        return (batch, None if number is None else number + self.number, width)

    def get_config(self):
        return {**super().get_config(), "number": self.number}
