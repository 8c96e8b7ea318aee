"""Data sets of TensorFlow Datasets, prepared in a process of its own.

The caller's process never loads TensorFlow: a driver must stay light, and a trial on JAX or PyTorch
must not have TensorFlow take its threads and its GPU.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import IO, Any

from studies.data.images import ImageSize
from studies.data.options import Reading
from studies.data.progress import progress
from studies.errors import UsageError
from studies.machine.files import file_digest
from studies.machine.processes import ROOT


def write_tfds(
    folder: Path, name: str, cache: Path, size: ImageSize | None, options: Reading
) -> dict[str, Any]:
    """Writes a data set's images into a folder (see `building.build`); downloads it if need be.

    What is prepared in $TFDS_DATA_DIR or ~/tensorflow_datasets is read there.

    Args:
        folder: empty.
        name: as TensorFlow Datasets knows it, with a config if need be ("imagenet_resized/32x32").
        cache: the cache's folder; downloads are kept in its folder "tfds".
        size: (H, W) in pixels; None keeps the native size, which all images must share.
        options: `fit` and `imports` count here.

    Returns:
        the description.

    Raises:
        UsageError: the name is unknown, it holds no labelled images, or the download failed.
    """
    return _write(folder, name, cache, size, options.fit, options.imports)


def write_prepared(
    folder: Path, name: str, cache: Path, size: ImageSize | None, fit: str
) -> dict[str, Any] | None:
    """As `write_tfds`, but only what is prepared in $TFDS_DATA_DIR or ~/tensorflow_datasets; else None."""
    return _write(folder, name, cache, size, fit, prepared=True)


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


def module_files(modules: Sequence[str]) -> dict[str, str]:
    """Hashes of the code of modules, which are found as Python finds them here, but not loaded.

    Raises:
        UsageError: there is no such module.
    """
    found = {}
    for module in modules:
        place, spec = [os.getcwd(), *sys.path], None
        for part in module.split("."):
            spec = PathFinder.find_spec(part, place)
            if spec is None:
                break
            place = list(spec.submodule_search_locations or ())
        if spec is None:
            raise UsageError(
                f"The module {module!r} of --import is not found: give the name of a module in "
                f"this folder or on PYTHONPATH, such as --import my_builder."
            )
        found[module] = _code(spec)
    return found


def _code(spec: ModuleSpec) -> str:
    if spec.submodule_search_locations:
        files = [f for p in spec.submodule_search_locations for f in sorted(Path(p).rglob("*.py"))]
        return " ".join(file_digest(file) for file in files)
    return file_digest(spec.origin) if spec.origin and Path(spec.origin).is_file() else ""


def _write(
    folder: Path,
    name: str,
    cache: Path,
    size: ImageSize | None,
    fit: str,
    imports: Sequence[str] = (),
    prepared: bool = False,
) -> Any:
    order: dict[str, Any] = {"do": "write", "name": name, "size": size, "folder": str(folder)}
    order |= {"fit": fit, "imports": list(imports), "prepared": prepared}
    return _ask(name, order, cache)["info"]


def _ask(name: str, order: dict[str, Any], cache: Path) -> dict[str, Any]:
    """Runs the worker; it answers with JSON objects, one a line, of which the last is the answer."""
    if importlib.util.find_spec("tensorflow_datasets") is None:
        raise UsageError(
            f"The data set {name} needs TensorFlow Datasets, which is not installed: run "
            f"pip install 'keras-vit[studies]', or choose shapes or folder:PATH."
        )
    order["cache"] = str(cache / "tfds")
    command = [sys.executable, "-m", "studies.data.tfds_worker", json.dumps(order)]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryFile() as log:
        # The worker watches its standard input: the pipe closes when this process dies.
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""},
        ) as worker:
            try:
                assert worker.stdout is not None
                answer = _follow(worker.stdout)
            except BaseException:  # an interruption, say: leaving the block would wait for it
                worker.kill()
                raise
        log.seek(0)
        lines = log.read().decode(errors="replace").strip().splitlines()
    if answer is None:
        reason = lines[-1].strip() if lines else f"its process ended with code {worker.returncode}"
        raise UsageError(f"The data set {name} could not be prepared: {reason}.")
    if "error" in answer:
        raise UsageError(answer["error"])
    return answer


def _follow(lines: IO[bytes]) -> dict[str, Any] | None:
    """Shows the progress that a worker tells of, and gives its answer; None where there is none."""
    with ExitStack() as shown:
        advance = None
        for line in lines:
            try:
                told = json.loads(line)
            except ValueError:  # cut off: the worker was killed
                return None
            if "total" in told:
                shown.close()
                advance = shown.enter_context(progress(told["what"], told["total"]))
            elif "done" in told and advance:
                advance(told["done"])
            else:
                return told
    return None
