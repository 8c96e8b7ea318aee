"""A learned bias of attention scores for each relative position."""

import keras
import numpy as np
from keras import ops

from keras_vit.layers.arguments import check_positive
from keras_vit.layers.patches import as_pair
from keras_vit.layers.trainable import LayerKeepsWhatTrains


@keras.saving.register_keras_serializable(package="keras_vit")
class RelativePositionBias(LayerKeepsWhatTrains, keras.layers.Layer):
    """A learned number for each head and each offset between two patches.

    Offsets are two-dimensional, (2 * rows - 1) * (2 * columns - 1) of them. Tokens before the
    patches (a class token) have no place in the grid: three more entries serve the pairs
    prefix to patch, patch to prefix and prefix to prefix.

    Args:
        num_heads: number of heads.
        grid: `(rows, columns)` of the patches.

    Input shape:
        attention logits `(B, heads, N, N)`.

    Output shape:
        `(1, heads, N, N)`, to be added to them.

    Raises:
        ValueError: for a grid that is none, or if there are fewer tokens than patches in it.

    Reference:
        arXiv 2010.11929, appendix D.4 compares relative positions with others, as a content
        dependent term over one-dimensional offsets; the bias here is the simpler form that later
        models use.
    """

    def __init__(self, num_heads, grid, **kwargs):
        super().__init__(**kwargs)
        check_positive(num_heads=num_heads)
        self.num_heads = num_heads
        self.grid = as_pair(grid, "grid")
        self.bias_table_initializer = keras.initializers.RandomNormal(stddev=0.02)

    def build(self, query_shape):
        length, (rows, columns) = query_shape[1], self.grid
        if length is None or length < rows * columns:
            raise ValueError(
                f"A relative position bias for a grid of {rows} x {columns} patches needs at least "
                f"{rows * columns} tokens, but the sequence length is {length}."
            )
        self._index = relative_position_index(self.grid, length - rows * columns)
        self.bias_table = self.add_weight(
            name="bias_table",
            shape=(self.num_heads, (2 * rows - 1) * (2 * columns - 1) + 3),
            initializer=self.bias_table_initializer,
        )

    def call(self, logits):
        # Along the first axis, an embedding's lookup: along another, PyTorch exports it wrongly.
        table = ops.transpose(ops.cast(self.bias_table, self.compute_dtype))
        bias = ops.take(table, self._index, axis=0)  # (N, N, heads)
        return ops.transpose(bias, (2, 0, 1))[None]

    def compute_output_shape(self, input_shape):
        return (1, *input_shape[1:])

    def get_config(self):
        return {**super().get_config(), "num_heads": self.num_heads, "grid": self.grid}


def relative_position_index(grid, num_prefix_tokens):
    """Returns the table entry of each pair of tokens, an int array (N, N)."""
    rows, columns = grid
    row, column = (axis.reshape(-1) for axis in np.indices(grid))
    offset = (row[:, None] - row[None] + rows - 1) * (2 * columns - 1)
    offset += column[:, None] - column[None] + columns - 1
    number, last = rows * columns + num_prefix_tokens, (2 * rows - 1) * (2 * columns - 1)
    index = np.empty((number, number), "int32")
    index[num_prefix_tokens:, num_prefix_tokens:] = offset
    index[:num_prefix_tokens, num_prefix_tokens:] = last
    index[num_prefix_tokens:, :num_prefix_tokens] = last + 1
    index[:num_prefix_tokens, :num_prefix_tokens] = last + 2
    return index
