"""What all parts of a study share: nothing is let through, and ids are made of what has an effect."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

LETTERS = 100  # of a name at most


def _shown(name: str) -> str:
    """A name that shows as it is; raises ValueError for others."""
    if len(name) > LETTERS or not name.isprintable() or name != " ".join(name.split()) or not name:
        raise ValueError(
            f"the name {name[:LETTERS]!r} cannot be shown: use 1 to {LETTERS} characters that print, in one "
            f"line, without spaces at its ends"
        )
    return unicodedata.normalize("NFC", name)  # as one letter is typed here and there


Positive = Annotated[int, Field(ge=1, le=10**12)]
Side = Annotated[int, Field(ge=1, le=10_000)]  # of an image, in pixels
Rate = Annotated[float, Field(gt=0)]
Name = Annotated[str, AfterValidator(_shown)]


@dataclass(frozen=True)
class Neutral:
    """The value at which a field has no effect; ids leave the field out there.

    A field that is added later must have one, and it must be the field's default: then no id of
    what was trained before changes. It stays what it is when the field's default changes.
    """

    value: Any


class Strict(BaseModel):
    """A part of a study: unknown fields are refused, and what is there does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def deciding(self) -> dict[str, Any]:
        """The fields that have an effect, as JSON's types: what an id is made of."""
        neutral = {
            name: mark.value
            for name, field in type(self).model_fields.items()
            for mark in field.metadata
            if isinstance(mark, Neutral)
        }
        everything = self.model_dump(mode="json")
        return {n: v for n, v in everything.items() if n not in neutral or v != neutral[n]}
