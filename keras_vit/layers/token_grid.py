"""Tokens back to where their patches lie in the image."""

import keras
from keras import ops

from keras_vit.layers.arguments import plain_numbers


@keras.saving.register_keras_serializable(package="keras_vit")
class TokenGrid(keras.layers.Layer):
    """Leaves out the tokens before the patches and puts the others on their grid.

    Args:
        grid: `(rows, columns)` of the patches; None where only the call knows it.
        num_prefix_tokens: tokens before the patches (1 with a class token).

    Call arguments:
        tokens: `(B, N, D)`, patches row by row.
        patches: any tensor `(B, rows, columns, ...)` with the grid, where the layer has none.

    Output shape:
        `(B, rows, columns, D)`.

    Example:
        >>> keras_vit.TokenGrid((14, 14))(np.zeros((2, 197, 192))).shape
        (2, 14, 14, 192)
    """

    def __init__(self, grid=None, num_prefix_tokens=1, **kwargs):
        super().__init__(**kwargs)
        self.grid = None if grid is None else plain_numbers(tuple(grid))
        self.num_prefix_tokens = plain_numbers(num_prefix_tokens)

    def build(self, tokens_shape, patches_shape=None):
        if self.grid is None and patches_shape is None:
            raise ValueError("TokenGrid has no grid; give grid=(rows, columns).")

    def call(self, tokens, patches=None):
        rows, columns = ops.shape(patches)[1:3] if self.grid is None else self.grid
        return ops.reshape(
            tokens[:, self.num_prefix_tokens :], (-1, rows, columns, tokens.shape[-1])
        )

    def compute_output_shape(self, tokens_shape, patches_shape=None):
        sides = tuple(patches_shape[1:3]) if self.grid is None else self.grid
        return (tokens_shape[0], *sides, tokens_shape[-1])

    def get_config(self):
        return {
            **super().get_config(),
            "grid": self.grid,
            "num_prefix_tokens": self.num_prefix_tokens,
        }
