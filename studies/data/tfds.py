"""Data sets of TensorFlow Datasets, prepared in a process of its own.

The caller's process never loads TensorFlow: a driver must stay light, and a trial on JAX or PyTorch
must not have TensorFlow take its threads and its GPU.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from studies.data.images import ImageSize
from studies.errors import UsageError


def write_tfds(folder: Path, name: str, cache: Path, size: ImageSize | None) -> dict[str, Any]:
    """Downloads a data set and writes its images into a folder (see `prepare.write`).

    Args:
        folder: empty.
        name: as TensorFlow Datasets knows it, with a config if need be ("imagenet_resized/32x32").
        cache: the cache's folder; downloads are kept in its folder "tfds".
        size: (H, W) in pixels; None keeps the native size, which all images must share.

    Returns:
        the description.

    Raises:
        UsageError: the name is unknown, it holds no labelled images, or the download failed.
    """
    order = {"do": "write", "name": name, "size": size, "folder": str(folder)}
    return _ask(name, order, cache)["info"]


def download(
    name: str, files: Sequence[str], cache: Path, url: str | None = None
) -> dict[str, Path]:
    """Downloads original files of a data set, checked against the known checksums.

    Args:
        name: as TensorFlow Datasets knows it.
        files: names below the data set's address.
        cache: the cache's folder.
        url: another address than the known one, with a slash at its end; its files are not checked.

    Returns:
        file name -> path.

    Raises:
        UsageError: the download failed.
    """
    order = {"do": "download", "name": name, "files": list(files), "url": url}
    return {file: Path(path) for file, path in _ask(name, order, cache)["paths"].items()}


def _ask(name: str, order: dict[str, Any], cache: Path) -> dict[str, Any]:
    """Runs the worker; it answers with one JSON object on its standard output."""
    if importlib.util.find_spec("tensorflow_datasets") is None:
        raise UsageError(
            f"The data set {name} needs TensorFlow Datasets, which is not installed: run "
            f"pip install 'keras-vit[studies]', or choose shapes or folder:PATH."
        )
    order["cache"] = str(cache / "tfds")
    command = [sys.executable, "-m", "studies.data.tfds_worker", json.dumps(order)]
    root = Path(__file__).resolve().parents[2]
    with tempfile.TemporaryFile() as log:
        # The worker watches its standard input: the pipe closes when this process dies.
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=root
        ) as worker:
            try:
                assert worker.stdout is not None
                answer = worker.stdout.read()
            except BaseException:  # an interruption, say: leaving the block would wait for it
                worker.kill()
                raise
        log.seek(0)
        lines = log.read().decode(errors="replace").strip().splitlines()
    try:
        result = json.loads(answer)
    except ValueError:
        reason = lines[-1].strip() if lines else f"its process ended with code {worker.returncode}"
        raise UsageError(f"The data set {name} could not be prepared: {reason}.") from None
    if "error" in result:
        raise UsageError(result["error"])
    return result
