"""Names of data sets that have a path in them."""

from __future__ import annotations

import re
from pathlib import Path


def absolute(name: str) -> str:
    """A data set's name with its path, if it has one, as it is from everywhere.

    Example:
        >>> absolute("folder:~/photos")
        'folder:/home/me/photos'
    """
    # An empty path stays one, to be refused: resolved it would be the folder one happens to be in.
    path = re.fullmatch("(folder|csv):(.+)", name, re.DOTALL)
    return f"{path[1]}:{Path(path[2]).expanduser().resolve()}" if path else name
