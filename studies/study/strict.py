"""What all parts of a study share: nothing is let through, and ids are made of what has an effect."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo
from pydantic_core import InitErrorDetails

LETTERS = 100  # of a name at most


def _shown(name: str, info: ValidationInfo) -> str:
    """A name that shows as it is; raises ValueError for others."""
    if len(name) > LETTERS or not name.isprintable() or name != " ".join(name.split()) or not name:
        raise ValueError(
            f"the name {name[:LETTERS]!r} cannot be shown: use 1 to {LETTERS} characters that print, in one "
            f"line, without spaces at its ends"
        )
    if of_results(info):  # ids hold it as it was
        return name
    return unicodedata.normalize("NFC", name)  # as one letter is typed here and there


def of_results(info: ValidationInfo) -> bool:
    """Whether a study is read from its results: what was allowed when they were made is not judged again."""
    return bool(info.context and info.context["results"])


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

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with some fields changed; what followed from the old ones is worked out anew."""
        copied = super().model_copy(update=update, deep=deep)
        for name in copied.__dict__.keys() - type(self).model_fields.keys():
            del copied.__dict__[name]  # of cached properties, which pydantic would copy too
        return copied

    def deciding(self) -> dict[str, Any]:
        """The fields that have an effect, as JSON's types: what an id is made of."""
        return dict(self._deciding)

    @cached_property  # the trials of a study share their recipes, which are in the ids of all of them
    def _deciding(self) -> dict[str, Any]:
        neutral = {
            name: mark.value
            for name, field in type(self).model_fields.items()
            for mark in field.metadata
            if isinstance(mark, Neutral)
        }
        everything = self.model_dump(mode="json")
        return {n: v for n, v in everything.items() if n not in neutral or v != neutral[n]}


@contextmanager
def placed(*place: str) -> Iterator[None]:
    """Lets the mistakes that are found inside name where in the file they stand.

    Args:
        place: keys of the tables, from the file's top.

    Raises:
        ValidationError: what was raised inside, by its whole place.
    """
    try:
        yield
    except ValidationError as error:
        lines = [
            InitErrorDetails(
                type=line["type"],
                loc=(*place, *line["loc"]),
                input=line["input"],
                ctx=line.get("ctx", {}),
            )
            for line in error.errors()
        ]
        raise ValidationError.from_exception_data(error.title, lines) from None


def fields_of(part: Strict) -> dict[str, Any]:
    """The values of a part's fields, by name, as they are."""
    return {name: getattr(part, name) for name in type(part).model_fields}
