"""Flags of XLA, by which JAX and TensorFlow compile; to be set before one of them is loaded."""

from __future__ import annotations

import mmap
import os
from importlib.util import find_spec
from pathlib import Path

# Which parts of a program XLA hands to YNNPACK on processors; by default all that it knows.
_YNNPACK = "--xla_cpu_experimental_ynn_fusion_type"
_LIBRARY = "libjax_common.so"


def add_xla_flag(flag: str) -> None:
    """Add a flag to XLA_FLAGS unless it is set there already."""
    flags = os.environ.get("XLA_FLAGS", "")
    if flag.split("=")[0] not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {flag}".strip()


def choose_kernels(backend: str) -> None:
    """Leave convolutions and products on processors to XLA's own kernels on JAX, where they can be chosen.

    With them the studies' ResNet, whose kernels' gradients are convolutions of few channels, takes a
    fifth less time a step, and the ViT a tenth. Other versions of XLA may not know the flag, and would
    abort: the installed library is asked.
    """
    if backend == "jax" and _knows(_YNNPACK.removeprefix("--")):
        add_xla_flag(f"{_YNNPACK}=")


def _knows(flag: str) -> bool:
    """Whether the installed XLA has a flag of this name; JAX itself is not loaded for it."""
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
