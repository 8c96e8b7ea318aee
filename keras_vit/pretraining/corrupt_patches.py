"""The corruption of patch embeddings in masked patch prediction (paper, section B.1.2)."""

import keras
from keras import ops

from keras_vit.layers.arguments import is_number
from keras_vit.layers.trainable import LayerKeepsWhatTrains


@keras.saving.register_keras_serializable(package="keras_vit")
class CorruptPatches(LayerKeepsWhatTrains, keras.layers.Layer):
    """Corrupts a fixed share of each image's tokens and says which.

    Of the chosen tokens, `mask_share` become a learned [mask] vector, `random_share` the token of
    another patch of the same image, and the rest stay as they are. At least one token is chosen.

    Args:
        rate: share of the tokens to corrupt.
        mask_share: of these, the expected share that is masked.
        random_share: of these, the expected share that is replaced by another token.
        seed: int, or None.

    Input shape:
        `(B, N, D)`, N known.

    Output shape:
        `(B, N, D)`, and `(B, N)` bool: True where the token was chosen.

    Raises:
        ValueError: if the rate is no number in (0, 1], or the shares are not numbers from 0 on of at
            most 1 together.

    Reference:
        arXiv 2010.11929, section B.1.2, after BERT (arXiv 1810.04805).
    """

    def __init__(self, rate=0.5, mask_share=0.8, random_share=0.1, seed=None, **kwargs):
        super().__init__(**kwargs)
        if not is_number(rate) or not 0 < rate <= 1:
            raise ValueError(f"The rate of corruption is {rate!r}; it must be in (0, 1].")
        shares = (mask_share, random_share)
        if not all(is_number(share) and share >= 0 for share in shares) or not sum(shares) <= 1:
            raise ValueError(
                f"mask_share={mask_share!r} and random_share={random_share!r} must be numbers, not "
                "negative, nor more than 1 together."
            )
        self.rate = rate
        self.mask_share = mask_share
        self.random_share = random_share
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.mask_token_initializer = keras.initializers.RandomNormal(stddev=0.02)

    def build(self, input_shape):
        self.mask_token = self.add_weight(
            name="mask_token",
            shape=(1, 1, input_shape[-1]),
            initializer=self.mask_token_initializer,
        )

    def call(self, tokens):
        number = tokens.shape[1]
        shape = (ops.shape(tokens)[0], number)
        # The tokens whose noise is smallest: exactly the same number in each image.
        order = ops.argsort(self._uniform(shape), axis=1)
        chosen = ops.argsort(order, axis=1) < max(1, round(number * self.rate))  # (B, N)
        kind = self._uniform(shape)
        masked = ops.logical_and(chosen, kind < self.mask_share)
        swapped = ops.logical_and(
            chosen,
            ops.logical_and(kind >= self.mask_share, kind < self.mask_share + self.random_share),
        )
        # A step of 1 to N - 1 places around the image never ends where it began.
        step = 1 + ops.cast(ops.floor(self._uniform(shape) * max(number - 1, 1)), "int32")
        others = ops.mod(ops.arange(number, dtype="int32")[None] + step, number)
        other_tokens = ops.take_along_axis(tokens, others[..., None], axis=1)
        mask_token = ops.cast(self.mask_token, tokens.dtype)
        corrupted = ops.where(masked[..., None], mask_token, tokens)
        return ops.where(swapped[..., None], other_tokens, corrupted), chosen

    def compute_output_spec(self, tokens):
        return (
            keras.KerasTensor(tokens.shape, dtype=self.compute_dtype),
            keras.KerasTensor(tokens.shape[:2], dtype="bool"),
        )

    def get_config(self):
        return {
            **super().get_config(),
            "rate": self.rate,
            "mask_share": self.mask_share,
            "random_share": self.random_share,
            "seed": self.seed,
        }

    def _uniform(self, shape):
        # In float32: half precision would make ties and shift the shares.
        return keras.random.uniform(shape, dtype="float32", seed=self.seed_generator)
