"""The two trainings of a chain: one before on other images, and the fine-tuning that starts from it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from studies.study.recipe import Recipe
from studies.study.strict import Positive, Side, Strict

Objective = Literal["supervised", "masked_patches", "none"]

# What fine-tuning has where nothing else is said (paper, B.1.1; the batch is that of small studies).
FINETUNING: dict[str, Any] = {
    "optimizer": "sgd",
    "learning_rates": (0.001, 0.003, 0.01, 0.03),
    "weight_decay": 0.0,
    "warmup_fraction": 0.0,
    "schedule": "cosine",
    "clip_norm": 1.0,
    "label_smoothing": 0.0,
}


class Pretraining(Strict):
    """A training before: what the fine-tuning of every trial starts from.

    Args:
        dataset: a name as the study's; by default the study's own data set, all of its training images.
        image_size: pixels of its images' sides; by default the study's. Colours are converted to as many
            channels as the study's images have.
        sizes: numbers of its training images, or "all"; one pre-training each.
        objective: what it learns: the labels, the colours of masked patches (a ViT alone can), or
            nothing, where the weights are given.
        weights: where nothing is learned, what the models start from: a published name, or the path of
            a file that `keras_vit` reads.
        recipe: what differs from the study's recipe.

    Reference:
        arXiv 2010.11929, sections 4.1 and B.1.2.
    """

    dataset: Annotated[str, Field(min_length=1)] | None = None
    image_size: Side | None = None
    sizes: Annotated[tuple[Positive, ...], Field(min_length=1)] | Literal["all"] = "all"
    objective: Objective = "supervised"
    weights: Annotated[str, Field(min_length=1)] | None = None
    recipe: dict[str, Any] = Field(default_factory=dict)

    @field_validator("sizes")
    @classmethod
    def _ascending(cls, sizes: tuple[int, ...] | str) -> tuple[int, ...] | str:
        return sizes if isinstance(sizes, str) else tuple(sorted(set(sizes)))

    @model_validator(mode="after")
    def _weights_or_training(self) -> Pretraining:
        if (self.objective == "none") != (self.weights is not None):
            raise ValueError(
                'pretraining.weights goes with pretraining.objective = "none", and only with it: give '
                "both, or neither"
            )
        return self

    def sizes_of(self, everything: int) -> tuple[int, ...]:
        """Numbers of its training images, one training each, where there are so many in all."""
        if self.objective == "none" or isinstance(self.sizes, str):
            return (everything,)
        return self.sizes


class Finetuning(Strict):
    """How a chain's last training goes: from the pre-trained weights, with a new head of zeros.

    Args:
        method: what trains: all weights, low-rank updates of the blocks' kernels, or the head and the
            norms alone.
        lora_rank: of the low-rank updates.
        recipe: what differs from the study's recipe; where neither says it, SGD with momentum 0.9 and a
            cosine, without weight decay and warmup, at the paper's four learning rates, the best of
            which on the validation images counts.

    Reference:
        arXiv 2010.11929, section B.1.1; low-rank updates: arXiv 2106.09685.
    """

    method: Literal["full", "lora", "head_and_norms"] = "full"
    lora_rank: Positive = 4
    recipe: dict[str, Any] = Field(default_factory=dict)

    def deciding(self) -> dict[str, Any]:
        """What of it decides the weights, but for the recipe, which is the training's own."""
        lora = {"lora_rank": self.lora_rank} if self.method == "lora" else {}
        return {"method": self.method, **lora}


def recipe_with(base: Recipe, *changes: dict[str, Any]) -> Recipe:
    """A recipe with some fields changed, and validated."""
    content = base.model_dump()
    for change in changes:
        content.update(change)
    return Recipe.model_validate(content)
