"""Flags of XLA, by which JAX and TensorFlow compile; to be set before one of them is loaded."""

from __future__ import annotations

import mmap
import os
from importlib.util import find_spec
from pathlib import Path

_LIBRARY = "libjax_common.so"


def add_xla_flag(flag: str) -> None:
    """Add a flag to XLA_FLAGS unless it is set there already."""
    flags = os.environ.get("XLA_FLAGS", "")
    if flag.split("=")[0] not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {flag}".strip()


def knows(flag: str) -> bool:
    """Whether the installed XLA of JAX has a flag of this name; JAX itself is not loaded for it.

    One that does not know a flag which is set ends the process.
    """
    spec = find_spec("jaxlib")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        library = Path(folder, _LIBRARY)
        if library.is_file():
            with (
                library.open("rb") as file,
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as code,
            ):
                return code.find(flag.encode()) >= 0
    return False
