"""Which of Keras' backends are there, and which one to take; nothing is imported to find out."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterable
from pathlib import Path

from studies.errors import UsageError

BACKENDS: tuple[str, ...] = ("tensorflow", "jax", "torch")


def check_backends(backends: Iterable[str]) -> None:
    """Raise UsageError where a backend is not installed."""
    for backend in backends:
        if importlib.util.find_spec(backend) is None:
            raise UsageError(
                f"the backend {backend} is not installed: pip install 'keras-vit[{backend}]', "
                f"or choose another one with --backend"
            )


def default_backend() -> str:
    """The backend where nobody chose one: KERAS_BACKEND, Keras' own, or the first that is installed.

    Raises:
        UsageError: the one of KERAS_BACKEND is not installed, or none is.
    """
    wanted = os.environ.get("KERAS_BACKEND")
    if wanted:
        check_backends([wanted])
        return wanted
    for backend in (_keras_own(), *BACKENDS):
        if importlib.util.find_spec(backend) is not None:
            return backend
    raise UsageError(
        f"no backend of Keras is installed: pip install 'keras-vit[{BACKENDS[0]}]', or one of "
        f"{', '.join(BACKENDS[1:])}"
    )


def _keras_own() -> str:
    """What Keras' configuration file says."""
    home = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()
    try:
        chosen = json.loads((home / "keras.json").read_text())["backend"]
    except (OSError, ValueError, KeyError, TypeError):
        return BACKENDS[0]
    return chosen if chosen in BACKENDS else BACKENDS[0]
