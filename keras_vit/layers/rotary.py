"""Rotary positions: queries and keys are turned by angles that grow with their patch's position."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

import keras
import numpy as np
from keras import ops

from keras_vit.layers.arguments import (
    check_choice,
    check_epsilon,
    check_flag,
    check_positive_number,
)
from keras_vit.layers.attention import MultiHeadAttention
from keras_vit.layers.layer_norm import LayerNormalization
from keras_vit.layers.patches import as_pair

COORDINATES = ("centred", "grid", "none")
LAYOUTS = ("halves", "neighbours")


@dataclass(frozen=True)
class RotaryOptions:
    """By which angles the patches' queries and keys are turned.

    A quarter of a head's width is angles of the row, a quarter of the column, each of another
    frequency, `temperature ** -(k / quarter)`; each angle turns two of the head's values.

    Args:
        coordinates: `"centred"`, the patches' centres from -1 to 1, times 2 pi (DINOv3); `"grid"`,
            the numbers of row and column (EVA-02); `"none"` turns nothing.
        temperature: the ratio between the highest frequency and the one below the lowest.
        layout: which two values are turned together: `"halves"`, one of the first half of the head
            and one of the second; `"neighbours"`, two that follow each other.
        reference_grid: `(rows, columns)` that the numbers of `"grid"` are scaled to, so that a
            larger image has finer steps; None scales nothing.

    Raises:
        ValueError: for a value that does not fit.

    Example:
        >>> keras_vit.RotaryOptions(coordinates="grid", temperature=1e4, layout="neighbours")
        RotaryOptions(coordinates='grid', temperature=10000.0, layout='neighbours', reference_grid=None)

    Reference:
        Su et al., "RoFormer", arXiv 2104.09864; EVA-02, arXiv 2303.11331; DINOv3, arXiv 2508.10104.
    """

    coordinates: str = "centred"
    temperature: float = 100.0
    layout: str = "halves"
    reference_grid: tuple[int, int] | None = None

    def __post_init__(self):
        check_choice("coordinates", self.coordinates, COORDINATES)
        check_choice("layout", self.layout, LAYOUTS)
        check_positive_number(temperature=self.temperature)
        object.__setattr__(self, "temperature", float(self.temperature))
        if self.reference_grid is not None:
            grid = as_pair(self.reference_grid, "reference_grid")
            object.__setattr__(self, "reference_grid", grid)


UNTURNED = RotaryOptions(coordinates="none")


@keras.saving.register_keras_serializable(package="keras_vit")
class RotaryAttention(MultiHeadAttention):
    """Multi-head self-attention whose patches have rotary positions; tokens before them do not.

    Args:
        num_heads: number of heads; four times it must divide the width D.
        grid: `(rows, columns)` of the patches; None where only the call knows it, or nothing is
            turned.
        rotary: a `RotaryOptions` or a dictionary of its fields.
        inner_norm: whether a LayerNorm stands before the output projection.
        epsilon: of this norm.
        **kwargs: `dropout_rate`, `attention_dropout_rate`, `fused`, `qkv_bias` and the like, as of
            `MultiHeadAttention`.

    Call arguments:
        As of `MultiHeadAttention`; a `value` of its own has as many tokens as the query.

    Raises:
        ValueError: for an argument that does not fit, if the heads do not divide the width, there are
            fewer tokens than patches, or neither the layer nor its call has a grid.

    Example:
        >>> attention = keras_vit.RotaryAttention(num_heads=3, grid=(14, 14))
        >>> attention(np.zeros((2, 201, 192))).shape
        (2, 201, 192)

    Reference:
        See `RotaryOptions`.
    """

    def __init__(
        self,
        num_heads,
        grid,
        rotary=None,
        inner_norm=False,
        epsilon=1e-6,
        **kwargs,
    ):
        super().__init__(num_heads, **kwargs)
        check_flag(inner_norm=inner_norm)
        check_epsilon(epsilon=epsilon)
        self.rotary = rotary_options(rotary)
        self.grid = None if grid is None else as_pair(grid, "grid")
        self.inner_norm = inner_norm
        self.epsilon = epsilon
        self.norm = None
        if inner_norm:
            self.norm = LayerNormalization(epsilon=epsilon, dtype=self.dtype_policy, name="norm")

    def build(self, query_shape):
        super().build(query_shape)
        if self.norm is not None:
            self.norm.build((None, query_shape[-1]))
        if self.rotary.coordinates == "none":
            return
        check_head_dim(self.head_dim)
        if self.grid is None:
            return
        patches = self.grid[0] * self.grid[1]
        if query_shape[1] is None or query_shape[1] < patches:
            raise ValueError(
                f"Rotary positions of a grid of {self.grid[0]} x {self.grid[1]} patches need at "
                f"least {patches} tokens, but the sequence length is {query_shape[1]}."
            )
        prefix = query_shape[1] - patches
        self._turns = rotary_table(self.grid, self.head_dim, self.rotary, prefix)

    @property
    def needs_patches(self):
        return self.grid is None and self.rotary.coordinates != "none"

    @property
    def has_positions(self):
        return super().has_positions or self.rotary.coordinates != "none"

    def _positioned(self, q, k, patches):
        if self.rotary.coordinates == "none":
            return q, k
        if patches is not None:
            rows, columns = ops.shape(patches)[1:3]
            prefix = ops.shape(q)[1] - rows * columns
            turns = rotary_table((rows, columns), self.head_dim, self.rotary, prefix, ops)
        elif self.grid is not None:
            turns = self._turns
        else:
            raise ValueError(
                "Rotary positions need the grid of the patches: give grid=(rows, columns), or call "
                "with patches=, any tensor (B, rows, columns, ...)."
            )
        cosine, sine = (ops.convert_to_tensor(table, q.dtype) for table in turns)
        return tuple(x * cosine + self._partners(x) * sine for x in (q, k))

    def _joined(self, x):
        return x if self.norm is None else self.norm(x)

    def _partners(self, x):
        """What each value is turned with: the other one of its two, negative for the first."""
        if self.rotary.layout == "halves":
            first, second = ops.split(x, 2, axis=-1)
            return ops.concatenate([-second, first], axis=-1)
        shape = ops.shape(x)
        pairs = ops.reshape(x, (*shape[:-1], self.head_dim // 2, 2))
        return ops.reshape(ops.stack([-pairs[..., 1], pairs[..., 0]], axis=-1), shape)

    def get_config(self):
        return {
            **super().get_config(),
            "grid": self.grid,
            "rotary": asdict(self.rotary),
            "inner_norm": self.inner_norm,
            "epsilon": self.epsilon,
        }


def rotary_table(grid, head_dim, rotary, num_prefix_tokens=0, array=np):
    """Returns cosines and sines of the angles, two float32 arrays `(N, 1, head_dim)`.

    Args:
        grid: `(rows, columns)` of the patches; scalar tensors where `array` is `keras.ops`.
        head_dim: width of a head, which 4 must divide.
        rotary: a `RotaryOptions`.
        num_prefix_tokens: tokens before the patches, whose angles are zero.
        array: NumPy, or `keras.ops` for a grid that is not known before it runs.
    """
    dtype = "float64" if array is np else "float32"
    quarter = head_dim // 4
    frequency = (rotary.temperature ** -(np.arange(quarter) / quarter)).astype(dtype)
    rows, columns = (
        array.multiply(_coordinates(side, reference, rotary.coordinates, array), frequency)
        for side, reference in zip(grid, rotary.reference_grid or (None, None), strict=True)
    )
    shape = (*grid, quarter)
    angles = [array.broadcast_to(rows[:, None], shape), array.broadcast_to(columns[None], shape)]
    angles = array.reshape(array.concatenate(angles, axis=-1), (-1, head_dim // 2))
    halves = rotary.layout == "halves"
    angles = array.tile(angles, (1, 2)) if halves else array.repeat(angles, 2, axis=1)
    prefix = array.zeros((num_prefix_tokens, head_dim), dtype)
    angles = array.concatenate([prefix, angles], axis=0)[:, None]
    return array.array(array.cos(angles), "float32"), array.array(array.sin(angles), "float32")


def check_head_dim(head_dim):
    """Raises ValueError if 4 does not divide the width of a head."""
    if head_dim % 4:
        raise ValueError(
            f"Rotary positions need heads whose width 4 divides, but it is {head_dim}; choose "
            "another num_heads or hidden_size."
        )


def rotary_options(value):
    """Returns `value` as `RotaryOptions`: one, a dictionary of its fields, or None.

    Raises:
        ValueError: for anything else.
    """
    if isinstance(value, RotaryOptions):
        return value
    known = [field.name for field in fields(RotaryOptions)]
    if value is not None and not (isinstance(value, Mapping) and set(value) <= set(known)):
        raise ValueError(
            f"rotary is {value!r}; give a keras_vit.RotaryOptions, or a dictionary of its fields "
            f"({', '.join(known)})."
        )
    return RotaryOptions(**(value or {}))


def _coordinates(side, reference, kind, array):
    """Where the patches of one axis are, `(side, 1)`; the side may be a scalar tensor."""
    numbers = array.arange(side, dtype="float64" if array is np else "float32")[:, None]
    count = numbers[-1, 0] + 1  # `side`, in their dtype wherever it comes from
    if kind == "centred":
        return 2 * np.pi * (2 * (numbers + 0.5) / count - 1)
    return numbers if reference is None else numbers / count * reference
