"""By which version of `images.decode` prepared images were read, and which files another reads otherwise."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from PIL import Image

from studies.machine.files import stamp
from studies.machine.threaded import threaded

# Raise it when `decode` makes other pixels of some files, and let `_differs` say of which: data that have
# such files are prepared anew, and all others stay. 2: 16-bit files of the other order of bytes, resized, and
# those with a transparent colour.
READ = 2
_NOTE = "read"  # of the description
_ENDINGS = (".png", ".apng", ".tif", ".tiff", ".im")
_PNG, _DEPTH = b"\x89PNG", 24  # how a PNG begins, and the place of the byte that tells its bits


def noted(description: dict[str, Any]) -> dict[str, Any]:
    """A description of images that were read by this version."""
    return {**description, _NOTE: READ}


def looked_through(description: dict[str, Any], files: Iterable[str]) -> dict[str, Any] | None:
    """A description that was kept, noted; None where some of its images would be others by now.

    Args:
        description: of the prepared data.
        files: whose images they are; looked at where an earlier version has read them, at their heads alone.
    """
    if description.get(_NOTE) == READ:
        return description
    some = [file for file in files if file.lower().endswith(_ENDINGS)]
    return None if any(threaded(_differs, some)) else noted(description)


def _differs(file: str) -> bool:
    try:
        stamp(file)  # a pipe would be waited for
        with open(file, "rb") as opened:
            head = opened.read(_DEPTH + 1)
        png = head.startswith(_PNG)
        if png and head[_DEPTH:] != b"\x10":
            return False
        with Image.open(file, formats=("PNG", "TIFF", "IM")) as image:
            return "transparency" in image.info if png else image.mode == "I;16B"
    except Exception:  # of many types: it was left out, or will be told where it is read
        return False
