"""What a study knows of its data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Protocol

from pydantic import Field, model_validator

from studies.study.strict import Positive, Strict

Count = Annotated[int, Field(ge=0, le=10**12)]


class ResolvedData(Strict):
    """What a results folder remembers of its data, so that `status` and `report` need no data.

    Args:
        name, fingerprint, image_shape, num_classes: as in `studies.data.DatasetInfo`.
        counts: images in each split that a trial has at least, whatever its seed.
        official: images in each split that the data has of its own; the others are cut by seed.
        class_names: one name a label.
    """

    name: str
    fingerprint: str
    image_shape: tuple[Positive, Positive, Positive]  # (H, W, C)
    num_classes: Annotated[int, Field(ge=1, le=10**7)]
    counts: dict[str, Count] = Field(default_factory=dict)
    official: dict[str, Count] = Field(default_factory=dict)
    class_names: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _a_name_each(self) -> ResolvedData:
        if self.class_names and len(self.class_names) != self.num_classes:
            raise ValueError(
                f"data.class_names are {len(self.class_names)}, and data.num_classes {self.num_classes}"
            )
        if self.counts and "train" not in self.counts:
            raise ValueError("data.counts has no train")
        return self

    @property
    def has_all_splits(self) -> bool:
        """Whether the data has all splits of its own, so that no seed decides about them."""
        return {"train", "validation", "test"} <= self.official.keys()

    @classmethod
    def of(cls, info: DataDescription) -> ResolvedData:
        """Keep what matters of a `studies.data.DatasetInfo`."""
        return cls(
            name=info.name,
            fingerprint=info.fingerprint,
            image_shape=info.image_shape,
            num_classes=info.num_classes,
            counts=dict(info.counts),
            official=dict(info.official),
            class_names=tuple(info.class_names),
        )


class DataDescription(Protocol):
    """What `Study.trials` needs to know of prepared data; `studies.data.DatasetInfo` has it."""

    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def image_shape(self) -> tuple[int, int, int]: ...
    @property
    def num_classes(self) -> int: ...
    @property
    def counts(self) -> Mapping[str, int]: ...
    @property
    def official(self) -> Mapping[str, int]: ...
    @property
    def has_all_splits(self) -> bool: ...
    @property
    def class_names(self) -> Sequence[str]: ...
