"""Which software a trial's numbers come from: versions of the packages, and the checkout's commit."""

from __future__ import annotations

import contextlib
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = {"tensorflow": ("tensorflow",), "jax": ("jax", "jaxlib"), "torch": ("torch",)}


def versions(backend: str) -> dict[str, str]:
    """Versions of Python and of the packages that decide a trial's numbers."""
    found = {"python": platform.python_version()}
    for package in ("keras", "numpy", *PACKAGES[backend]):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def commit() -> str:
    """The checkout's git commit, with "-dirty" when tracked files differ from it; else "unknown"."""
    root = Path(__file__).resolve().parents[2]
    try:
        head = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return head + ("-dirty" if changed else "")


def _git(root: Path, *arguments: str) -> str:
    done: Any = subprocess.run(
        ["git", "-C", str(root), *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=20,
        stdin=subprocess.DEVNULL,
    )
    return done.stdout.strip()
