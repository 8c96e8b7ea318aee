"""A learned factor for each channel of a residual branch."""

import keras
from keras import ops

from keras_vit.layers.arguments import check_number
from keras_vit.layers.trainable import LayerKeepsWhatTrains


@keras.saving.register_keras_serializable(package="keras_vit")
class LayerScale(LayerKeepsWhatTrains, keras.layers.Layer):
    """Multiplies each channel by a learned number that starts small.

    Args:
        initial_value: what every factor starts at.

    Input and output shape:
        `(B, N, D)`.

    Raises:
        ValueError: if `initial_value` is no number.

    Example:
        >>> keras_vit.LayerScale(1e-5)(np.zeros((2, 197, 192))).shape
        (2, 197, 192)

    Reference:
        Touvron et al., "Going deeper with Image Transformers", arXiv 2103.17239.
    """

    def __init__(self, initial_value=1e-5, **kwargs):
        super().__init__(**kwargs)
        check_number(initial_value=initial_value)
        self.initial_value = float(initial_value)
        self.supports_masking = True
        self.scale_initializer = keras.initializers.Constant(self.initial_value)

    def build(self, input_shape):
        self.scale = self.add_weight(
            name="scale", shape=(input_shape[-1],), initializer=self.scale_initializer
        )

    def call(self, x):
        return x * ops.cast(self.scale, x.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "initial_value": self.initial_value}
