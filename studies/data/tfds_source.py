"""The source of a prepared builder of TensorFlow Datasets; belongs to the process of `tfds_worker`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from studies.data.decoded import DecodedSource
from studies.data.images import Decoded, ImageSize, decode
from studies.data.splits import NAMES
from studies.errors import UsageError

_AT_ONCE = 256  # records that are held while they are decoded


class TfdsSource(DecodedSource):
    """The images of a prepared builder, read record by record from its files.

    Images are decoded as those of a folder are (`images.decode`), not by TensorFlow.

    Args:
        builder: may be prepared after this, before `open`.
        size: (H, W) in pixels; None keeps the native size, which all images must share.
        fit: see `images.decode`.

    Raises:
        UsageError: its records have no image, no label or no common size.
    """

    def __init__(self, builder: Any, size: ImageSize | None, fit: str) -> None:
        super().__init__()
        self._builder = builder
        features = builder.info.features
        self._image, self._label = image, label = _features(builder)
        self.name = builder.info.full_name.rsplit("/", 1)[0]  # without the version
        self.class_names = [str(name) for name in features[label].names]
        height, width, channels = features[image].shape
        if size is None and (height is None or width is None):
            raise UsageError(
                f"The images of {self.name} differ in size: give an image size (--image-size 32)."
            )
        self._size, self._fit = size, fit
        self._channels = 1 if channels == 1 else 3
        self._shape = (*(size or (height, width)), self._channels)
        self._records: dict[str, Any] = {}
        self._held: dict[int, bytes] = {}
        self.labels = {}

    def open(self) -> None:
        """Opens the files and reads the labels."""
        for split, origin in _origins(self.name, list(self._builder.info.splits)).items():
            records = _records(self._builder, origin, self._image, self._label)
            labels = records.labels()
            if split != "train" and labels.size and labels.min() < 0:
                continue  # published without labels, as ImageNet's test images are
            self._records[split], self.labels[split] = records, labels

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self._shape

    def images(self, split: str, indices: np.ndarray) -> np.ndarray:
        parts = []
        for start in range(0, len(indices), _AT_ONCE):
            part = indices[start : start + _AT_ONCE]
            self._held = dict(zip(part.tolist(), self._records[split].images(part), strict=True))
            parts.append(super().images(split, part))
        return np.concatenate(parts)

    def read(self, split: str, index: int) -> Decoded:
        name = f"{index} of the split {split} of {self.name}"
        return decode(self._held[index], name, self._size, self._channels, self._fit)


class _Records:
    """One split of files that can be read anywhere (array_record); TensorFlow is not needed."""

    def __init__(self, builder: Any, origin: str, image: str, label: str) -> None:
        import tensorflow_datasets as tfds

        self._image, self._label = image, label
        self._source = builder.as_data_source(
            split=origin, decoders={image: tfds.decode.SkipDecoding()}
        )

    def labels(self) -> np.ndarray:
        found = np.empty(len(self._source), np.int64)
        for start in range(0, len(found), _AT_ONCE):
            places = range(start, min(start + _AT_ONCE, len(found)))
            found[start : places.stop] = [r[self._label] for r in self._of(places)]
        return found

    def images(self, indices: np.ndarray) -> list[bytes]:
        """The encoded images at increasing indices."""
        return [record[self._image] for record in self._of(indices.tolist())]

    def _of(self, places: Sequence[int]) -> list[dict[str, Any]]:
        """Records by their places; those that are asked for together are read on several threads."""
        found: list[dict[str, Any]] = self._source.__getitems__(list(places))
        return found


class _StreamedRecords:
    """One split of files that can be read from their beginning alone (tfrecord), by TensorFlow."""

    def __init__(self, builder: Any, origin: str, image: str, label: str) -> None:
        import tensorflow_datasets as tfds

        self._image, self._label = image, label
        in_order = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)

        def stream(names: Any, decoders: Any) -> Iterator[dict[str, Any]]:
            partial = tfds.decode.PartialDecoding(names, decoders=decoders)
            data = builder.as_dataset(split=origin, decoders=partial, read_config=in_order)
            return iter(tfds.as_numpy(data))

        skip = {image: tfds.decode.SkipDecoding()}
        self._labels = lambda: stream({label: True}, {})
        self._images = lambda: stream({image: True}, skip)
        self._place = 0
        self._stream: Iterator[dict[str, Any]] = iter(())

    def labels(self) -> np.ndarray:
        return np.fromiter((record[self._label] for record in self._labels()), np.int64)

    def images(self, indices: np.ndarray) -> list[bytes]:
        """The encoded images at increasing indices; to go back begins anew."""
        found = []
        for index in indices.tolist():
            if index < self._place or self._place == 0:
                self._stream, self._place = self._images(), 0
            while self._place <= index:
                record = next(self._stream)
                self._place += 1
            found.append(record[self._image])
        return found


def _records(builder: Any, origin: str, image: str, label: str) -> Any:
    from tensorflow_datasets.core import file_adapters

    if builder.info.file_format in file_adapters.FileFormat.with_random_access():
        return _Records(builder, origin, image, label)
    try:
        import tensorflow  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"The data set {builder.info.name} lies in {builder.data_dir} in the format "
            f"{builder.info.file_format.value}, which needs TensorFlow to be read: run pip install "
            f"'keras-vit[tensorflow]', or prepare it as array_record."
        ) from error
    return _StreamedRecords(builder, origin, image, label)


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


def _features(builder: Any) -> tuple[str, str]:
    """The names of the image and of the label, those for supervised learning before others."""
    import tensorflow_datasets as tfds

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
