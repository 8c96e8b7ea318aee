"""Position embeddings and their interpolation to another grid (paper, section 3.2, appendix D.4)."""

import keras
import numpy as np
from keras import ops

from keras_vit.layers.arguments import check_choice, check_count
from keras_vit.layers.patches import as_pair
from keras_vit.layers.resample import INTERPOLATIONS, interpolation_matrix, resample_grid
from keras_vit.layers.trainable import LayerKeepsWhatTrains

KINDS = ("learned", "learned_2d", "sincos2d", "none")


@keras.saving.register_keras_serializable(package="keras_vit")
class AddPositionEmbs(LayerKeepsWhatTrains, keras.layers.Layer):
    """Adds an embedding of its position to each token, for images of one size or of any.

    Kinds:
        `"learned"`: one vector for each position, class token included (the paper's 1-D).
        `"learned_2d"`: D/2 values for the column and D/2 for the row (the paper's 2-D); a
            prefix token has a vector of its own.
        `"sincos2d"`: fixed sines and cosines of column and row; nothing for prefix tokens.
        `"none"`: returns its input.

    Args:
        kind: one of the above.
        grid: `(rows, columns)` of the patches, an int for a square; None takes the square grid that
            the tokens fill.
        num_prefix_tokens: tokens before the patches (1 with a class token).
        interpolation: of the learned kinds where the patches have another grid; see
            `resample_position_embedding`.

    Call arguments:
        tokens: `(B, N, D)`.
        patches: any tensor `(B, rows, columns, ...)` with the grid that the patches have, which
            then need not be the layer's, nor be known before it runs; None for the layer's.

    Output shape:
        `(B, N, D)`.

    Raises:
        ValueError: for an unknown kind or interpolation, a grid or number of tokens that is none, or
            if the grid does not fit the sequence length.

    Example:
        >>> keras_vit.AddPositionEmbs()(np.zeros((2, 197, 192))).shape
        (2, 197, 192)

    Reference:
        arXiv 2010.11929, equation 1 and appendix D.4; sincos2d as in big_vision and MoCo v3
        (arXiv 2104.02057).
    """

    def __init__(
        self, kind="learned", grid=None, num_prefix_tokens=1, interpolation="bilinear", **kwargs
    ):
        super().__init__(**kwargs)
        check_choice("interpolation", interpolation, INTERPOLATIONS)
        check_choice("kind", kind, KINDS)
        check_count(num_prefix_tokens=num_prefix_tokens)
        self.supports_masking = True
        self.kind = kind
        self.grid = None if grid is None else as_pair(grid, "grid")
        self.num_prefix_tokens = int(num_prefix_tokens)
        self.interpolation = interpolation
        # One instance each: an initializer that is used twice gives the same values twice.
        self.position_embedding_initializer = keras.initializers.RandomNormal(stddev=0.02)
        self.row_embedding_initializer = keras.initializers.RandomNormal(stddev=0.02)
        self.column_embedding_initializer = keras.initializers.RandomNormal(stddev=0.02)
        self.prefix_embedding_initializer = keras.initializers.RandomNormal(stddev=0.02)

    def build(self, tokens_shape, patches_shape=None):
        _, length, width = tokens_shape
        if self.kind == "none":
            return
        if patches_shape is not None and self.grid is not None:
            length = self.num_prefix_tokens + self.grid[0] * self.grid[1]
        if self.kind == "learned":
            if self.grid is not None or length is None:
                self._grid(length)
            self.position_embedding = self._embedding("position_embedding", (1, length, width))
            return
        rows, columns = self._grid(length)
        divisor = 2 if self.kind == "learned_2d" else 4
        if width % divisor:
            raise ValueError(
                f"Position embeddings of kind {self.kind!r} need a width that {divisor} divides, "
                f"but the width is {width}."
            )
        if self.kind == "sincos2d":
            self._fixed = sincos2d((rows, columns), width, self.num_prefix_tokens)
            return
        self.row_embedding = self._embedding("row_embedding", (rows, width // 2))
        self.column_embedding = self._embedding("column_embedding", (columns, width // 2))
        if self.num_prefix_tokens:
            self.prefix_embedding = self._embedding(
                "prefix_embedding", (self.num_prefix_tokens, width)
            )

    def call(self, tokens, patches=None):
        if self.kind == "none":
            return tokens
        grid = None if patches is None else ops.shape(patches)[1:3]
        return tokens + ops.cast(self.embeddings(grid), tokens.dtype)

    def embeddings(self, grid=None):
        """Returns what is added: `(1, N, D)`, prefix tokens first, patches in row-major order.

        Args:
            grid: `(rows, columns)`, ints or scalar tensors; None for the layer's own.
        """
        if grid is not None and tuple(map(_known, grid)) == self.grid:
            grid = None  # nothing to interpolate
        if self.kind == "sincos2d":
            if grid is None:
                return ops.convert_to_tensor(self._fixed)
            return sincos2d(grid, self._fixed.shape[-1], self.num_prefix_tokens, array=ops)
        if self.kind == "learned":
            table = ops.convert_to_tensor(self.position_embedding)
            if grid is None:
                return table
            prefix, patches = table[0, : self.num_prefix_tokens], table[0, self.num_prefix_tokens :]
            patches = ops.reshape(patches, (*self._grid(table.shape[1]), -1))
            patches = resample_grid(ops.cast(patches, "float32"), grid, self.interpolation, ops)
        else:
            prefix = self.prefix_embedding if self.num_prefix_tokens else None
            patches = self._joined(grid)
        patches = ops.reshape(patches, (-1, patches.shape[-1]))
        if self.num_prefix_tokens:
            patches = ops.concatenate([ops.cast(prefix, patches.dtype), patches], axis=0)
        return patches[None]

    def _joined(self, grid):
        """Half of each patch's embedding from its column, half from its row."""
        row, column = ops.convert_to_tensor(self.row_embedding), self.column_embedding
        column = ops.convert_to_tensor(column)
        if grid is not None:
            row, column = (
                ops.matmul(
                    interpolation_matrix(part.shape[0], side, self.interpolation, ops),
                    ops.cast(part, "float32"),
                )
                for part, side in zip((row, column), grid, strict=True)
            )
        sides = (ops.shape(row)[0], ops.shape(column)[0], row.shape[1])
        return ops.concatenate(
            [ops.broadcast_to(column[None], sides), ops.broadcast_to(row[:, None], sides)], axis=-1
        )

    def compute_output_shape(self, tokens_shape, patches_shape=None):
        return tokens_shape

    def get_config(self):
        return {
            **super().get_config(),
            "kind": self.kind,
            "grid": self.grid,
            "num_prefix_tokens": self.num_prefix_tokens,
            "interpolation": self.interpolation,
        }

    def _embedding(self, name, shape):
        initializer = getattr(self, f"{name}_initializer")
        return self.add_weight(name=name, shape=shape, initializer=initializer)

    def _grid(self, length):
        if length is None:
            raise ValueError(
                "AddPositionEmbs needs a known sequence length, not None; for images of any size "
                "give it grid=(rows, columns) and call it with the patches as a grid."
            )
        patches = length - self.num_prefix_tokens
        rows, columns = (int(max(patches, 0) ** 0.5),) * 2 if self.grid is None else self.grid
        if rows * columns != patches:
            raise ValueError(
                f"{length} tokens with {self.num_prefix_tokens} before the patches do not fill "
                f"a grid of {rows} x {columns}; give grid=(rows, columns) with "
                f"rows * columns = {patches}."
            )
        return rows, columns


def sincos2d(grid, width, num_prefix_tokens=0, temperature=10_000.0, array=np):
    """Returns fixed position embeddings, float32 `(1, num_prefix_tokens + rows * columns, width)`.

    The quarters of the width are sine and cosine of the column, sine and cosine of the row.

    Args:
        grid: `(rows, columns)`; scalar tensors where `array` is `keras.ops`.
        width: D.
        num_prefix_tokens: tokens without a place, whose embedding is zero.
        temperature: the longest wavelength, divided by two pi.
        array: NumPy, or `keras.ops` for a grid that is not known before it runs.
    """
    quarter = width // 4
    frequency = temperature ** -(np.arange(quarter) / max(quarter - 1, 1))
    dtype = "float64" if array is np else "float32"
    rows, columns = (
        array.multiply(array.arange(side, dtype=dtype)[:, None], frequency.astype(dtype))
        for side in grid
    )
    shape = (*grid, quarter)
    angles = [array.broadcast_to(columns[None], shape), array.broadcast_to(rows[:, None], shape)]
    parts = [function(angle) for angle in angles for function in (array.sin, array.cos)]
    patches = array.reshape(array.concatenate(parts, axis=-1), (-1, width))
    if num_prefix_tokens:
        prefix = array.zeros((num_prefix_tokens, width), dtype)
        patches = array.concatenate([prefix, patches], axis=0)
    return patches[None] if array is ops else patches[None].astype("float32")


def _known(side):
    """An int, where a side of a grid is one."""
    return side if isinstance(side, int) else None
