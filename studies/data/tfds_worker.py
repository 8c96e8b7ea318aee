"""The process that prepares a data set of TensorFlow Datasets: ``python -m studies.data.tfds_worker``."""

from __future__ import annotations

import difflib
import json
import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import numpy as np

from studies.data.images import ImageSize, decode, parallel
from studies.data.prepare import write
from studies.data.splits import NAMES
from studies.errors import UsageError


def main() -> None:
    """Carries out the order in the first argument and prints one JSON object as the answer."""
    answer_to = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed must not get into the answer
    threading.Thread(target=_end_with_parent, daemon=True).start()
    order = json.loads(sys.argv[1])
    try:
        answer = _write(order) if order["do"] == "write" else _download(order)
    except UsageError as error:
        answer = {"error": str(error)}
    json.dump(answer, answer_to)
    answer_to.flush()
    os._exit(0)  # TensorFlow's threads need not be waited for


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


def _builder(order: dict[str, Any]) -> Any:
    import tensorflow_datasets as tfds

    name, data_dir = order["name"], order["cache"]
    try:
        return tfds.builder(name, data_dir=data_dir, file_format="array_record")
    except (tfds.core.registered.DatasetNotFoundError, ValueError) as error:
        base, _, config = name.partition("/")
        known = tfds.list_builders(with_community_datasets=False)
        if base in known:
            configs = list(tfds.builder_cls(base).builder_configs)
            raise UsageError(
                f"The data set {base!r} has no config {config!r}: choose "
                f"{', '.join(f'{base}/{c}' for c in configs[:12]) or base}."
            ) from error
        close = difflib.get_close_matches(base, ["shapes", *known], n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise UsageError(
            f"The data set {name!r} is unknown{hint}: choose shapes, fashion_mnist, folder:PATH or a "
            f"name of TensorFlow Datasets (see tensorflow.org/datasets/catalog)."
        ) from error


def _failed(name: str, error: Exception) -> UsageError:
    lines = str(error).strip().splitlines() or [""]
    return UsageError(
        f"The data set {name} could not be downloaded and prepared ({type(error).__name__}: "
        f"{lines[0][:300]}): check the network and the free space and try again, or choose shapes "
        f"or folder:PATH."
    )


def _check_network(order: dict[str, Any], builder: Any) -> None:
    """Refuses at once, without a network, what would else be tried again for minutes."""
    hosts = {urlsplit(url).hostname for url in builder.url_infos} - {None}
    downloads = Path(order["cache"], "downloads", builder.name)
    if not hosts or getproxies() or any(downloads.glob("*.INFO")):
        return  # nothing to look up here, or already there
    try:
        socket.getaddrinfo(min(hosts), 443)
    except OSError as error:
        raise _failed(order["name"], error) from error


def _download(order: dict[str, Any]) -> dict[str, Any]:
    import tensorflow_datasets as tfds

    builder = _builder(order)
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
        paths = manager.download({file: address + file for file in order["files"]})
    except Exception as error:
        raise _failed(order["name"], error) from error
    return {"paths": {file: str(path) for file, path in paths.items()}}


def _write(order: dict[str, Any]) -> dict[str, Any]:
    import tensorflow_datasets as tfds

    builder = _builder(order)
    size = tuple(order["size"]) if order["size"] else None
    image, label = _features(tfds, builder)
    if not builder.is_prepared():
        _check_network(order, builder)
    try:
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(try_download_gcs=False)
        )
    except Exception as error:
        raise _failed(order["name"], error) from error
    return {"info": write(Path(order["folder"]), TfdsSource(builder, image, label, size))}


def _features(tfds: Any, builder: Any) -> tuple[str, str]:
    """The names of the image and of the label, those for supervised learning before others."""
    features = builder.info.features
    names = [*(builder.info.supervised_keys or ()), "image", "label", *features]
    names = [name for name in names if isinstance(name, str) and name in features]
    images = [name for name in names if isinstance(features[name], tfds.features.Image)]
    labels = [name for name in names if isinstance(features[name], tfds.features.ClassLabel)]
    if not images or not labels:
        raise UsageError(
            f"The data set {builder.name} has no {'image' if not images else 'class label'}: choose "
            f"one for image classification (see tensorflow.org/datasets/catalog)."
        )
    return images[0], labels[0]


class TfdsSource:
    """The images of a prepared builder, read record by record from its array_record files.

    Images are decoded as those of a folder are (`images.decode`), not by TensorFlow.
    """

    def __init__(self, builder: Any, image: str, label: str, size: ImageSize | None) -> None:
        import tensorflow_datasets as tfds

        features = builder.info.features
        self.name = builder.info.full_name.rsplit("/", 1)[0]  # without the version
        self.class_names = [str(name) for name in features[label].names]
        height, width, channels = features[image].shape
        if size is None and (height is None or width is None):
            raise UsageError(
                f"The images of {self.name} differ in size: give an image size (--image-size 32)."
            )
        self._size = size
        self._channels = 1 if channels == 1 else 3
        self.image_shape = (*(size or (height, width)), self._channels)
        self._image = image
        self._sources: dict[str, Any] = {}
        self.labels: dict[str, np.ndarray] = {}
        for split, origin in _origins(self.name, list(builder.info.splits)).items():
            source = builder.as_data_source(
                split=origin, decoders={image: tfds.decode.SkipDecoding()}
            )
            labels = np.array([source[i][label] for i in range(len(source))], np.int64)
            if split != "train" and labels.size and labels.min() < 0:
                continue  # published without labels, as ImageNet's test images are
            self._sources[split], self.labels[split] = source, labels

    def images(self, split: str, indices: np.ndarray) -> np.ndarray:
        source = self._sources[split]

        def read(index: int) -> np.ndarray:
            name = f"{index} of the split {split} of {self.name}"
            return decode(source[index][self._image], name, self._size, self._channels)

        return parallel(read, [int(index) for index in indices])


def _origins(name: str, offered: list[str]) -> dict[str, str]:
    """Which of the offered splits train, validate and test."""
    written = {n.lower(): n for n in offered}
    found = {
        split: next(written[n] for n in names if n in written)
        for split, names in NAMES.items()
        if any(n in written for n in names)
    }
    if "train" not in found:
        if len(offered) != 1:
            raise UsageError(
                f"The data set {name} has no split for training (it has {', '.join(offered)}): "
                f"choose another one."
            )
        found = {"train": offered[0]}
    return found


if __name__ == "__main__":
    main()
