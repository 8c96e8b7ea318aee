"""What a study names: how images are read, and its models."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from studies.study.recipe import Recipe
from studies.study.strict import Positive, Rate, Strict


class Reading(Strict):
    """How the images of the data set are read; see `studies.data.Options`.

    Args:
        fit: how an image of other proportions is made to fit: what is beyond a square is cut away, the
            rest of it is filled with white, or it is squashed.
        skip_broken: leave out images that cannot be read.
        groups: a regular expression for files' paths, whose first bracket names what belongs together.
        imports: modules whose builders TensorFlow Datasets shall know; their code runs, so that --import
            must name them too.
    """

    fit: Literal["crop", "pad", "squash"] = "crop"
    skip_broken: bool = False
    groups: str = ""
    imports: tuple[str, ...] = ()


class Architecture(Strict):
    """What `keras_vit.create_model` builds.

    Args:
        base: base for images whose sides have so many pixels or more.
        overrides: further arguments of `create_model` for them.
    """

    base: Annotated[str, Field(min_length=1)]
    overrides: dict[str, Any] = Field(default_factory=dict)


class ModelEntry(Strict):
    """A model of a study: its name in the figures, the published base, and what differs from it.

    Args:
        name: in figures and tables; in a file it is the key of the entry's table.
        base: a name that `keras_vit.create_model` knows; must be given.
        overrides: further arguments of `create_model`.
        learning_rate, weight_decay: replaces the recipe's for this model alone (the paper tunes it for
            each model).
        at: base and overrides for larger images, by the sides in pixels from which they hold:
            `[models.NAME.at.64]`.
        files: digests of the files that overrides name, by argument; only in the study.toml that
            `run` writes. A file counts by its content, not by its path.
    """

    name: Annotated[str, Field(min_length=1)]
    base: Annotated[str, Field(min_length=1)]
    overrides: dict[str, Any] = Field(default_factory=dict)
    learning_rate: Rate | None = None
    weight_decay: Annotated[float, Field(ge=0)] | None = None
    files: dict[str, str] = Field(default_factory=dict)
    at: dict[Positive, Architecture] = Field(default_factory=dict)

    def for_images(self, height: int, width: int) -> ModelEntry:
        """The entry with the base and the overrides that it has for images of a size."""
        fitting = [side for side in self.at if side <= min(height, width)]
        chosen = self.at[max(fitting)].model_dump() if fitting else {}
        return self.model_copy(update={**chosen, "at": {}})

    def own(self, recipe: Recipe) -> Recipe:
        """A recipe with the model's own learning rate and weight decay."""
        own = {"learning_rate": self.learning_rate, "weight_decay": self.weight_decay}
        return recipe.model_copy(update={key: v for key, v in own.items() if v is not None})
