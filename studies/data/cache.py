"""The cache of prepared data: a folder a data set, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock

from studies.errors import UsageError

INFO = "info.json"
_LAYOUT = 2  # part of every key: a new layout of the files does not meet old ones


def cache_folder(cache: str | os.PathLike[str] | None = None) -> Path:
    """The cache's folder: the argument, else $KERAS_VIT_CACHE, else ~/.cache/keras_vit."""
    chosen = cache or os.environ.get("KERAS_VIT_CACHE") or "~/.cache/keras_vit"
    return Path(chosen).expanduser().absolute()


def prepared(
    cache: Path, name: str, key: Any, build: Callable[[Path], dict[str, Any]]
) -> tuple[Path, dict[str, Any]]:
    """Finds a prepared folder, or builds it: under a lock, beside its place, then renamed into it.

    A process that is killed while building leaves nothing that could be taken for the data, two
    processes at once build it once, and a folder with missing or cut files is built again.

    Args:
        cache: the cache's folder.
        name: what to call the data; the folder's name begins with it.
        key: JSON-able; everything that decides the content.
        build: writes the files into the folder that it is given and returns the description.

    Returns:
        (folder, description).

    Raises:
        UsageError: the cache cannot be written.
    """
    digest = hashlib.sha256(json.dumps([_LAYOUT, name, key], sort_keys=True).encode()).hexdigest()
    title = f"{re.sub(r'[^A-Za-z0-9_.]+', '-', name).strip('-.')[-60:]}-{digest[:16]}"
    folder = cache / title
    if (info := _complete(folder)) is not None:
        return folder, info
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / f".{title}.lock"):
            if (info := _complete(folder)) is not None:
                return folder, info  # another process has built it meanwhile
            for leftover in cache.glob(f".{title}.new-*"):
                shutil.rmtree(leftover)  # of a killed process: ours is the lock
            new = Path(tempfile.mkdtemp(prefix=f".{title}.new-", dir=cache))
            try:
                print(f"Preparing {name} in {folder} (once) ...", file=sys.stderr, flush=True)
                info = build(new)
                _seal(new, info)
                if folder.exists():
                    shutil.rmtree(folder)
                new.rename(folder)
            finally:
                shutil.rmtree(new, ignore_errors=True)
    except OSError as error:
        raise UsageError(
            f"The data set {name} cannot be prepared in the cache folder {cache} "
            f"({error.strerror or error}): make room there, or set KERAS_VIT_CACHE to a folder "
            f"that can be written."
        ) from error
    return folder, info


def _seal(folder: Path, info: dict[str, Any]) -> None:
    """Writes the description last, with every file's length, and brings all of it to the disk."""
    files = {}
    for path in sorted(folder.iterdir()):
        with open(path, "rb") as file:
            os.fsync(file.fileno())
        files[path.name] = path.stat().st_size
    with open(folder / INFO, "w", encoding="utf-8") as file:
        json.dump({**info, "files": files}, file)
        file.flush()
        os.fsync(file.fileno())
    folder.chmod(0o755)  # mkdtemp gives 0700: others may share the cache


def _complete(folder: Path) -> dict[str, Any] | None:
    """The description of a folder whose files all have their lengths, else None."""
    try:
        info = json.loads((folder / INFO).read_text(encoding="utf-8"))
        whole = all((folder / f).stat().st_size == size for f, size in info["files"].items())
        return info if whole else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
