"""How the images of a data set are read: what of them is kept, what is left out, what belongs together."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from studies.data.images import FITS
from studies.errors import UsageError


class Reading(Protocol):
    """What `load`, `describe` and `check` take as options; `Options` and a study's `reading` have it."""

    @property
    def fit(self) -> str: ...
    @property
    def skip_broken(self) -> bool: ...
    @property
    def groups(self) -> str: ...
    @property
    def imports(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Options:
    """The options of a data set.

    Args:
        fit: how an image of another shape is made to fit: "crop" keeps the middle and cuts off what
            stands out at two sides, "pad" keeps all and fills the rest with white, "squash" lets
            width and height change apart.
        skip_broken: leave out the images that cannot be read, instead of refusing the data.
        groups: a regular expression that is searched for in a file's path (from the folder, with
            slashes); the images for which its first bracket holds the same text belong together, and
            stay on one side of every split. "" leaves it to groups.csv.
        imports: modules whose builders TensorFlow Datasets shall know.

    Example:
        >>> data = load("folder:frames", 32, Options(fit="pad", groups=r"video(\\d+)"))
    """

    fit: str = "crop"
    skip_broken: bool = False
    groups: str = ""
    imports: tuple[str, ...] = ()


def group_pattern(options: Reading) -> re.Pattern[str] | None:
    """The compiled expression of the groups, None where there is none.

    Raises:
        UsageError: it is no regular expression, or has no bracket.
    """
    if not options.groups:
        return None
    try:
        pattern = re.compile(options.groups)
    except re.error as error:
        raise UsageError(
            f"The groups {options.groups!r} are no regular expression ({error}): give one whose "
            f"first bracket is an image's group, such as --groups '(scene[0-9]+)'."
        ) from None
    if pattern.groups < 1:
        raise UsageError(
            f"The groups {options.groups!r} have no bracket: put round brackets around the part of "
            f"the path that names an image's group, such as --groups '(scene[0-9]+)'."
        )
    return pattern


def check_options(options: Reading) -> None:
    """Raise UsageError where an option has no meaning."""
    if options.fit not in FITS:
        raise UsageError(f"The fit {options.fit!r} is unknown: choose {', '.join(FITS)}.")
    group_pattern(options)
