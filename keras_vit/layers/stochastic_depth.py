"""Dropping whole residual branches, sample by sample."""

import keras
from keras import ops

from keras_vit.layers.arguments import check_rate, plain_numbers


@keras.saving.register_keras_serializable(package="keras_vit")
class StochasticDepth(keras.layers.Layer):
    """Sets a residual branch to zero with probability `rate`, for each sample on its own.

    What is kept is divided by `1 - rate`, so that the expectation stays the same.

    Args:
        rate: probability of dropping, in [0, 1).
        seed: of what is dropped; int, or None to draw it (`keras.utils.set_random_seed` decides).

    Input and output shape:
        `(B, ...)`.

    Raises:
        ValueError: if `rate` is outside [0, 1).

    Example:
        >>> branch = keras_vit.StochasticDepth(0.1)(np.ones((2, 197, 192)), training=True)

    Reference:
        Huang et al., "Deep Networks with Stochastic Depth", arXiv 1603.09382.
    """

    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(**kwargs)
        check_rate(rate=rate)
        self.rate = plain_numbers(rate)
        self.seed = plain_numbers(seed)
        self.supports_masking = True
        self.built = True  # there is nothing to build, and quantize() wants all layers built
        if rate > 0:
            self.seed_generator = keras.random.SeedGenerator(self.seed)

    def call(self, x, training=False):
        if not training or self.rate == 0:
            return x
        keep = 1.0 - self.rate
        shape = (ops.shape(x)[0],) + (1,) * (len(x.shape) - 1)
        # Drawn in float32: low precision would quantise the probability.
        kept = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator) < keep
        return x * ops.cast(kept, x.dtype) / keep

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
