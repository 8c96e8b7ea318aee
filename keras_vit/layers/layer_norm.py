"""Layer normalisation whose weights start without a program of their own."""

import keras

from keras_vit.layers.trainable import LayerKeepsWhatTrains


@keras.saving.register_keras_serializable(package="keras_vit")
class LayerNormalization(LayerKeepsWhatTrains, keras.layers.LayerNormalization):
    """Keras' LayerNormalization, whose scale and shift come from NumPy (`initial_values`)."""
