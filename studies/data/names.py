"""What people call the images of a data set, found without preparing it again."""

from __future__ import annotations

import os

from studies.data.cache import cache_folder, prepared_before
from studies.data.dataset import NAMES_FILE, names_in


def image_names(
    fingerprint: str, cache: str | os.PathLike[str] | None = None, name: str | None = None
) -> list[str]:
    """The images' names by their numbers; empty where the prepared data are gone or have none.

    Args:
        fingerprint: of the data set.
        cache: the cache's folder; by default that of `studies.data.load`.
        name: what the data set is called: others may have the same images under other names.
    """
    found = prepared_before(cache_folder(cache), fingerprint, name)
    try:
        return names_in(found[0] / NAMES_FILE) if found else []
    except (OSError, ValueError):  # they have none, or are being removed
        return []
