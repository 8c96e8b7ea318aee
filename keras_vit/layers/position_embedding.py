"""Position embeddings and their interpolation to another grid (paper, section 3.2, appendix D.4)."""

import keras
import numpy as np
from keras import ops

from keras_vit.layers.trainable import LayerKeepsWhatTrains

KINDS = ("learned", "learned_2d", "sincos2d", "none")


@keras.saving.register_keras_serializable(package="keras_vit")
class AddPositionEmbs(LayerKeepsWhatTrains, keras.layers.Layer):
    """Adds an embedding of its position to each token.

    Kinds:
        `"learned"`: one vector for each position, class token included (the paper's 1-D).
        `"learned_2d"`: D/2 values for the column and D/2 for the row (the paper's 2-D); a
            prefix token has a vector of its own.
        `"sincos2d"`: fixed sines and cosines of column and row; nothing for prefix tokens.
        `"none"`: returns its input.

    Args:
        kind: one of the above.
        grid: `(rows, columns)` of the patches; None takes a square grid.
        num_prefix_tokens: tokens before the patches (1 with a class token).

    Input and output shape:
        `(B, N, D)`; N must be known.

    Raises:
        ValueError: for an unknown kind, or if the grid does not fit the sequence length.

    Example:
        >>> keras_vit.AddPositionEmbs()(np.zeros((2, 197, 192))).shape
        (2, 197, 192)

    Reference:
        arXiv 2010.11929, equation 1 and appendix D.4; sincos2d as in big_vision and MoCo v3
        (arXiv 2104.02057).
    """

    def __init__(self, kind="learned", grid=None, num_prefix_tokens=1, **kwargs):
        super().__init__(**kwargs)
        if kind not in KINDS:
            raise ValueError(f"kind is {kind!r}; use one of {', '.join(map(repr, KINDS))}.")
        self.supports_masking = True
        self.kind = kind
        self.grid = None if grid is None else tuple(grid)
        self.num_prefix_tokens = num_prefix_tokens
        # One instance each: an initializer that is used twice gives the same values twice.
        self.position_embedding_initializer = keras.initializers.RandomNormal(stddev=0.02)
        self.row_embedding_initializer = keras.initializers.RandomNormal(stddev=0.02)
        self.column_embedding_initializer = keras.initializers.RandomNormal(stddev=0.02)
        self.prefix_embedding_initializer = keras.initializers.RandomNormal(stddev=0.02)

    def build(self, input_shape):
        _, length, width = input_shape
        if self.kind == "none":
            return
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

    def call(self, tokens):
        if self.kind == "none":
            return tokens
        return tokens + ops.cast(self.embeddings(), tokens.dtype)

    def embeddings(self):
        """Returns what is added: `(1, N, D)`, prefix tokens first, patches in row-major order."""
        if self.kind == "learned":
            return ops.convert_to_tensor(self.position_embedding)
        if self.kind == "sincos2d":
            return ops.convert_to_tensor(self._fixed)
        rows, half = self.row_embedding.shape
        columns = self.column_embedding.shape[0]
        grid = (rows, columns, half)
        patches = ops.concatenate(
            [
                ops.broadcast_to(self.column_embedding[None], grid),
                ops.broadcast_to(self.row_embedding[:, None], grid),
            ],
            axis=-1,
        )
        patches = ops.reshape(patches, (rows * columns, 2 * half))
        if self.num_prefix_tokens:
            patches = ops.concatenate([self.prefix_embedding, patches], axis=0)
        return patches[None]

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "kind": self.kind,
            "grid": self.grid,
            "num_prefix_tokens": self.num_prefix_tokens,
        }

    def _embedding(self, name, shape):
        initializer = getattr(self, f"{name}_initializer")
        return self.add_weight(name=name, shape=shape, initializer=initializer)

    def _grid(self, length):
        if length is None:
            raise ValueError("AddPositionEmbs needs a known sequence length, not None.")
        patches = length - self.num_prefix_tokens
        rows, columns = (int(max(patches, 0) ** 0.5),) * 2 if self.grid is None else self.grid
        if rows * columns != patches:
            raise ValueError(
                f"{length} tokens with {self.num_prefix_tokens} before the patches do not fill "
                f"a grid of {rows} x {columns}; give grid=(rows, columns) with "
                f"rows * columns = {patches}."
            )
        return rows, columns


def sincos2d(grid, width, num_prefix_tokens=0, temperature=10_000.0):
    """Returns fixed position embeddings, float32 `(1, num_prefix_tokens + rows * columns, width)`.

    The quarters of the width are sine and cosine of the column, sine and cosine of the row.
    """
    row, column = (axis.reshape(-1, 1) for axis in np.indices(grid))
    quarter = width // 4
    frequency = temperature ** -(np.arange(quarter) / max(quarter - 1, 1))
    angles = [np.sin(column * frequency), np.cos(column * frequency)]
    angles += [np.sin(row * frequency), np.cos(row * frequency)]
    patches = np.concatenate(angles, axis=1)
    prefix = np.zeros((num_prefix_tokens, width))
    return np.concatenate([prefix, patches])[None].astype("float32")
