"""What a ViT's position embeddings are, for images of one size or of any."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from keras_vit.layers.arguments import check_choice
from keras_vit.layers.patches import as_pair
from keras_vit.layers.position_embedding import KINDS
from keras_vit.layers.resample import INTERPOLATIONS
from keras_vit.models.options import as_group

POSITION_EMBEDDINGS = (*KINDS, "relative")
TABLES = ("learned", "learned_2d", "relative")  # have something to interpolate
USUAL_SIDE = 224  # pixels: what the grid is for where the image size is open


@dataclass(frozen=True)
class Positions:
    """The position embeddings of a `VisionTransformer`, where their kind alone does not say it all.

    A model for images of any size keeps learned tables of one grid and interpolates them to each
    image's own; one for images of one size remembers how for `for_finetuning` and `load_weights`.
    `create_model`, `from_checkpoint` and `for_finetuning` choose both by the weights.

    Args:
        kind: `"learned"`, `"learned_2d"`, `"sincos2d"`, `"none"`, or `"relative"` (fixed sizes
            only).
        grid: `(rows, columns)` of the tables, where the size of the images is open; None for that
            of 224 pixels.
        interpolation: to another grid: `"bilinear"` (the authors'), `"bicubic"` (Hugging Face's) or
            `"bicubic_antialias"` (timm's).

    Raises:
        ValueError: for an unknown kind or interpolation, or a grid that is none.

    Example:
        >>> positions = keras_vit.Positions(grid=(16, 16), interpolation="bicubic")
        >>> vit = keras_vit.VisionTransformer((None, None, 3), 14, position_embedding=positions)
    """

    kind: str = "learned"
    grid: tuple[int, int] | None = None
    interpolation: str = "bilinear"

    def __post_init__(self):
        check_choice("position_embedding", self.kind, POSITION_EMBEDDINGS)
        check_choice("interpolation", self.interpolation, INTERPOLATIONS)
        if self.grid is not None:
            object.__setattr__(self, "grid", as_pair(self.grid, "grid"))

    @classmethod
    def of(cls, value: Any) -> "Positions":
        """Returns what a constructor was given, a kind, a group or its configuration, as a group."""
        group = isinstance(value, cls | Mapping)
        return as_group("position_embedding", cls, value) if group else cls(value)

    def for_images(
        self, input_shape: Sequence[int | None], grid: tuple[int, int] | None = None
    ) -> "Positions":
        """Returns them for a model of such images: with a grid, where these leave it open.

        Args:
            input_shape: of the model.
            grid: of the tables, where none is said.
        """
        if None in input_shape:
            return replace(self, grid=self.grid or grid)
        return self if self.kind in TABLES else Positions(self.kind, self.grid)

    def plain(self) -> str | dict:
        """Returns a form for configurations: the kind, where it says it all."""
        return self.kind if self == Positions(self.kind) else asdict(self)
