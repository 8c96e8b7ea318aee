"""What people call the images of a data set, found without preparing it again."""

from __future__ import annotations

import os

from studies.data.cache import INFO, cache_folder
from studies.data.dataset import NAMES_FILE, names_in
from studies.machine.files import file_bytes, parsed_json


def image_names(fingerprint: str, cache: str | os.PathLike[str] | None = None) -> list[str]:
    """The images' names by their numbers; empty where the prepared data are gone or have none.

    Args:
        fingerprint: of the data set.
        cache: the cache's folder; by default that of `studies.data.load`.
    """
    for path in sorted(cache_folder(cache).glob(f"*/{NAMES_FILE}")):
        try:
            info = parsed_json(file_bytes(path.parent / INFO))
            if info["fingerprint"] == fingerprint:
                return names_in(path)
        except (OSError, ValueError, KeyError, TypeError):
            continue  # not a prepared folder, or one that is being made or removed
    return []
