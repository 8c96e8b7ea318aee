"""Image data sets of any number of images for a bench, as files: a folder, or TensorFlow Datasets' own form.

``python -m studies.bench.made_data KIND FOLDER NUMBER SIDE`` makes one in a process of its own. Images are
of random pixels, so that no two are alike, in Netpbm's format: a head and the pixels as they are, so that
nothing needs to be encoded. Besides the images to train on there are some to validate and to test.

Reference:
    Preparing files for TensorFlow Datasets without its own code:
    https://www.tensorflow.org/datasets/external_tfrecord
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from studies.machine.processes import die_with_parent

CLASSES, VALIDATION, TEST = 10, 500, 500
TFDS_NAME = "made_images"
_VERSION, _SHARD = "1.0.0", 2**28  # bytes of pixels a file


def image_folder(folder: Path, number: int, side: int) -> None:
    """Makes one file an image, in folders of splits and classes.

    Args:
        folder: that does not exist yet.
        number: of images to train on.
        side: in pixels.
    """
    for split, images in _splits(number).items():
        places = [folder / split / f"class{label}" for label in range(CLASSES)]
        for place in places:
            place.mkdir(parents=True)
        for index, image in enumerate(_images(split, images, side)):
            (places[index % CLASSES] / f"{index:08}.ppm").write_bytes(image)


def tfds_files(folder: Path, number: int, side: int) -> None:
    """Makes the files of a prepared data set `TFDS_NAME`, for `TFDS_DATA_DIR`, in the format array_record.

    Args:
        folder, number, side: as of `image_folder`.
    """
    import tensorflow_datasets as tfds
    from array_record.python.array_record_module import ArrayRecordWriter

    place = folder / TFDS_NAME / _VERSION
    place.mkdir(parents=True)
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(side, side, 3)),
            "label": tfds.features.ClassLabel(num_classes=CLASSES),
        }
    )
    splits = []
    for split, images in _splits(number).items():
        template = tfds.core.ShardedFileTemplate(
            place, dataset_name=TFDS_NAME, split=split, filetype_suffix="array_record"
        )
        shards = 1 + images * 3 * side * side // _SHARD
        ends = np.linspace(0, images, shards + 1).astype(int).tolist()
        source = enumerate(_images(split, images, side))
        for shard, (start, end) in enumerate(pairwise(ends)):
            path = template.sharded_filepath(shard_index=shard, num_shards=shards)
            writer = ArrayRecordWriter(str(path), "group_size:1")
            for _ in range(start, end):
                index, image = next(source)
                example: dict[str, Any] = {"image": image, "label": index % CLASSES}
                writer.write(features.serialize_example(example))
            writer.close()
        splits.append(
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=[end - start for start, end in pairwise(ends)],
                num_bytes=images * 3 * side * side,
                filename_template=template,
            )
        )
    tfds.folder_dataset.write_metadata(
        data_dir=place, features=features, split_infos=splits, version=_VERSION, check_data=False
    )


MAKERS = {"folder": image_folder, "tfds": tfds_files}


def _splits(number: int) -> dict[str, int]:
    return {"train": number, "validation": VALIDATION, "test": TEST}


def _images(split: str, number: int, side: int) -> Iterator[bytes]:
    head = f"P6 {side} {side} 255\n".encode()
    rng = np.random.default_rng([number, list(_splits(number)).index(split)])
    return (head + rng.bytes(3 * side * side) for _ in range(number))


def main() -> None:
    """Make what the arguments say; ends with the process that has started it."""
    die_with_parent()
    kind, folder, number, side = sys.argv[1:]
    MAKERS[kind](Path(folder), int(number), int(side))


if __name__ == "__main__":
    main()
