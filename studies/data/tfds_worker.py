"""The process that prepares a data set of TensorFlow Datasets: ``python -m studies.data.tfds_worker``."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import json
import os
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from studies.data.building import build
from studies.data.cache import lock_of
from studies.data.dataset import DRAWN
from studies.data.tfds_source import TfdsSource
from studies.errors import UsageError
from studies.machine.files import file_bytes, parsed_json

USUAL = "~/tensorflow_datasets"  # where TensorFlow Datasets keeps its data unless told otherwise

Say = Callable[[dict[str, Any]], None]


def main() -> None:
    """Carries out the order in the first argument; prints JSON objects, the answer last."""
    answer_to = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed must not get into the answer
    threading.Thread(target=_end_with_parent, daemon=True).start()
    order = json.loads(sys.argv[1])

    def say(what: dict[str, Any]) -> None:
        print(json.dumps(what), file=answer_to, flush=True)

    try:
        say(_write(order, say) if order["do"] == "write" else _download(order))
    except UsageError as error:
        say({"error": str(error)})
    except Exception as error:  # in the code of a builder, say
        say({"error": f"The data set {order['name']} could not be prepared ({_told(error)})."})
    os._exit(0)  # TensorFlow's threads need not be waited for


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


def _builder(order: dict[str, Any]) -> Any:
    import tensorflow_datasets as tfds

    name, data_dir = order["name"], order["cache"]
    try:
        found = _prepared_elsewhere(tfds, name, order["imports"])
        check_features(Path(data_dir, re.split("[/:]", name)[0]), order["imports"])
        return found or tfds.builder(name, data_dir=data_dir, file_format="array_record")
    except (tfds.core.registered.DatasetNotFoundError, ValueError) as error:
        base, _, config = name.partition("/")
        known = tfds.list_builders(with_community_datasets=False)
        if base in known:
            configs = list(tfds.builder_cls(base).builder_configs)
            raise UsageError(
                f"The data set {base!r} has no config {config!r}: choose "
                f"{', '.join(f'{base}/{c}' for c in configs[:12]) or base}."
            ) from error
        close = difflib.get_close_matches(base, [*DRAWN, *known], n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise UsageError(
            f"The data set {name!r} is unknown{hint}: choose shapes, fashion_mnist, folder:PATH or a "
            f"name of TensorFlow Datasets (see tensorflow.org/datasets/catalog)."
        ) from error


def _prepared_elsewhere(tfds: Any, name: str, imports: Sequence[str] = ()) -> Any:
    """The builder of data that the user's own folders hold, in whatever format; else None."""
    for place in (os.environ.get("TFDS_DATA_DIR"), USUAL):
        folder = Path(place).expanduser() if place else None
        if folder is None or not folder.is_dir():
            continue
        check_features(folder / re.split("[/:]", name)[0], imports)
        with contextlib.suppress(Exception):  # of many types, where the folder does not hold it
            builder = tfds.builder(name, data_dir=folder)
            if builder.is_prepared():
                return builder
        with contextlib.suppress(Exception):  # a version that the code of today does not make
            base, arguments = tfds.core.naming.parse_builder_name_kwargs(name, data_dir=folder)
            return tfds.core.read_only_builder.builder_from_files(str(base), **arguments)
    return None


def check_features(folder: Path, imports: Sequence[str] = ()) -> None:
    """Refuses prepared data that would have modules loaded, whose code runs then.

    TensorFlow Datasets loads whatever module a feature's class is said to be in.

    Args:
        folder: of a data set; it may be missing.
        imports: modules that are loaded anyway.

    Raises:
        UsageError: a description is damaged, or names a class that is not TensorFlow Datasets' own.
    """
    for file in sorted(folder.rglob("features.json")):
        try:
            waiting = [parsed_json(file_bytes(file))]
        except (OSError, ValueError) as error:
            raise UsageError(
                f"The description {file} of a data set cannot be read ({error}): prepare it again."
            ) from error
        while waiting:
            value = waiting.pop()
            if isinstance(value, list):
                waiting += value
            elif isinstance(value, dict):
                waiting += value.values()
                for key in ("pythonClassName", "python_class_name", "type"):
                    _check_class(file, value.get(key), imports)


def _check_class(file: Path, name: Any, imports: Sequence[str]) -> None:
    if not isinstance(name, str) or "." not in name:
        return
    if not any(name.startswith(f"{module}.") for module in ("tensorflow_datasets", *imports)):
        raise UsageError(
            f"The description {file} of a data set asks for {name}, whose code would run: if you trust "
            f"it, give its module with --import {name.rpartition('.')[0]}, else remove the data set."
        )


def _import(modules: Sequence[str]) -> None:
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:  # whatever its code does
            raise UsageError(
                f"The module {module!r} of --import cannot be loaded ({_told(error)}): mend it, or "
                f"leave it out."
            ) from error


def _told(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:300]}"


def _failed(name: str, error: Exception) -> UsageError:
    return UsageError(
        f"The data set {name} could not be downloaded and prepared ({_told(error)}): check the "
        f"network and the free space and try again, or choose shapes or folder:PATH."
    )


def _check_network(order: dict[str, Any], builder: Any) -> None:
    """Refuses at once, without a network, what would else be tried again for minutes."""
    hosts = {urlsplit(url).hostname for url in builder.url_infos or ()} - {None}
    downloads = Path(order["cache"], "downloads", builder.name)
    if not hosts or getproxies() or any(downloads.glob("*.INFO")):
        return  # nothing to look up here, or already there
    try:
        socket.getaddrinfo(min(hosts), 443)
    except OSError as error:
        raise _failed(order["name"], error) from error


def _download(order: dict[str, Any]) -> dict[str, Any]:
    import tensorflow_datasets as tfds

    builder = tfds.builder(order["name"], data_dir=order["cache"])
    manager = tfds.download.DownloadManager(
        download_dir=Path(order["cache"]) / "downloads",
        url_infos=builder.url_infos,
        dataset_name=order["name"],
        force_checksums_validation=order["url"] is None,
    )
    address = order["url"] or builder.URL
    if order["url"] is None:
        _check_network(order, builder)
    try:
        with lock_of(Path(order["cache"])):
            paths = manager.download({file: address + file for file in order["files"]})
            _note_use(order)
    except Exception as error:
        raise _failed(order["name"], error) from error
    return {"paths": {file: str(path) for file, path in paths.items()}}


def _note_use(order: dict[str, Any]) -> None:
    """Notes that what lies in the cache is used now (see `cache.Entry`)."""
    with contextlib.suppress(OSError):  # of another user, say
        os.utime(order["cache"])


def _prepared_here(order: dict[str, Any]) -> Any:
    """The builder of a data set that is downloaded and prepared in the cache, by one process at a time.

    TensorFlow Datasets does not see to that. Whoever waits holds the lock of the folder that the images come
    to, for which nobody waits who holds this one.
    """
    import tensorflow_datasets as tfds

    with lock_of(Path(order["cache"])):
        builder = _builder(order)  # anew: another process may have prepared it meanwhile
        if not builder.is_prepared():
            _check_network(order, builder)
        try:
            builder.download_and_prepare(
                download_config=tfds.download.DownloadConfig(try_download_gcs=False)
            )
        except Exception as error:
            raise _failed(order["name"], error) from error
    return builder


def _write(order: dict[str, Any], say: Say) -> dict[str, Any]:
    """Writes a data set; with "prepared" only one that is prepared in the user's own folders."""
    import tensorflow_datasets as tfds

    _import(order["imports"])
    name, imports = order["name"], order["imports"]
    builder = _prepared_elsewhere(tfds, name, imports) if order["prepared"] else _builder(order)
    if builder is None:
        return {"info": None}
    size = tuple(order["size"]) if order["size"] else None
    source = TfdsSource(builder, size, order["fit"])  # refuses what is of no use
    if not builder.is_prepared():
        source = TfdsSource(_prepared_here(order), size, order["fit"])

    @contextmanager
    def told(what: str, total: int) -> Iterator[Callable[[int], None]]:
        say({"what": what, "total": total})
        yield lambda number: say({"done": number})

    if Path(order["cache"]) in Path(builder.data_dir).parents:
        _note_use(order)
    source.open()
    return {"info": build(Path(order["folder"]), source, told)}


if __name__ == "__main__":
    main()
