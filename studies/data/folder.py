"""``folder:PATH``: one's own images, one folder a class, with or without folders for the splits.

::

    PATH/cats/1.jpg                 PATH/train/cats/1.jpg    (or training)
    PATH/cats/more/2.png    or      PATH/val/cats/7.jpg      (or validation, valid, dev; may be missing)
    PATH/dogs/3.webp                PATH/test/dogs/9.jpg     (or testing; may be missing)

Classes are the folders' names in alphabetical order. Hidden files and files of other kinds than
images are left alone; folders with images beside those of the splits are refused.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np

from studies.data.images import ImageSize, decode, dimensions, parallel
from studies.data.splits import split_called
from studies.errors import UsageError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")


class ImageFolder:
    """The source of the images, all of them RGB.

    Args:
        name: "folder:PATH".
        size: (H, W) in pixels; None keeps the images' own size, which all must share.

    Raises:
        UsageError: the path is no readable folder, has no images or less than two classes, a
            class is empty, a split holds classes that are not trained, or it is not clear which
            folders are splits.
    """

    def __init__(self, name: str, size: ImageSize | None = None) -> None:
        path = name.removeprefix("folder:")
        self.name = name
        self.root = Path(path).expanduser().absolute()
        if not path or not self.root.is_dir():
            raise UsageError(
                f"The image folder {path!r} does not exist or is no folder: give folder:PATH, "
                f"where PATH holds one folder a class."
            )
        found = self._scan()
        self.class_names = list(found["train"])
        self.files = {s: [file for files in c.values() for file in files] for s, c in found.items()}
        self.labels = {
            split: np.repeat(
                [self.class_names.index(c) for c in classes], [len(f) for f in classes.values()]
            ).astype(np.int64)
            for split, classes in found.items()
        }
        self._size = size
        self._given = size is not None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        if self._size is None:
            first = self.files["train"][0]
            self._size = dimensions(first, str(first))
        return (*self._size, 3)

    def images(self, split: str, indices: np.ndarray) -> np.ndarray:
        files = self.files[split]
        size = self.image_shape[:2]

        def read(index: int) -> np.ndarray:
            image = decode(files[index], str(files[index]), size if self._given else None)
            if image.shape[:2] != size:
                raise UsageError(
                    f"The images of {self.name} differ in size ({_pixels(files[index], image)}, "
                    f"{size[1]}x{size[0]} elsewhere): give an image size (--image-size 32)."
                )
            return image

        return parallel(read, [int(index) for index in indices])

    def state(self) -> str:
        """Hash of all files' names, sizes and times: another one means that something changed."""
        digest = hashlib.sha256(str(self.root).encode())
        for split, files in self.files.items():
            for file in files:
                status = _status(file)
                line = (
                    f"{split}|{file.relative_to(self.root)}|{status.st_size}|{status.st_mtime_ns}"
                )
                digest.update(line.encode(errors="surrogateescape") + b"\n")
        return digest.hexdigest()

    def _scan(self) -> dict[str, dict[str, list[Path]]]:
        """split -> class -> files."""
        try:
            where = self._splits() or {"train": self.root}
            found = {s: {c.name: _files(c) for c in _folders(f)} for s, f in where.items()}
        except OSError as error:
            raise UsageError(
                f"The image folder {self.root} cannot be read ({error.strerror}: "
                f"{error.filename}): check its permissions."
            ) from error
        self._check(found, where)
        return found

    def _splits(self) -> dict[str, Path]:
        """split -> its folder; nothing where the folders are those of the classes."""
        given: dict[str, list[Path]] = {}
        flat, others = [], []
        for folder in _folders(self.root):
            # A class may be called "train" or "test"; a split is a folder of folders.
            split = split_called(folder.name)
            if split is None:
                others.append(folder)
            elif _folders(folder):
                given.setdefault(split, []).append(folder)
            else:
                flat.append(folder)
        if flat and (given or (len(flat) > 1 and not others)):
            # Else they would be taken for classes, and a study would learn to tell them apart.
            raise UsageError(
                f"The image folder {self.root} has {_names(flat)} without folders for the classes: "
                f"put the images into one folder a class in each split, or remove the split."
            )
        left = [folder for folder in others if given and _files(folder)]
        if left:
            splits = _names([folder for folders in given.values() for folder in folders])
            raise UsageError(
                f"The image folder {self.root} has images in {_names(left)} beside what look like "
                f"splits ({splits}): move {_names(left)} into train or elsewhere or, if all of them "
                f"are classes, rename {splits}."
            )
        for split, folders in given.items():
            if len(folders) > 1 or "train" not in given:
                raise UsageError(
                    f"The image folder {self.root} has {_names(folders)} for the split {split}"
                    f"{', but no train' if 'train' not in given else ''}: name the folders "
                    f"train, val and test, each with one folder a class."
                )
        return {split: folders[0] for split, folders in given.items()}

    def _check(self, found: dict[str, dict[str, list[Path]]], where: dict[str, Path]) -> None:
        train = found["train"]
        kinds = " ".join(SUFFIXES)
        if not any(train.values()):
            raise UsageError(
                f"The image folder {self.root} has no images in folders: put the images "
                f"({kinds}) into one folder a class."
            )
        if len(train) < 2:
            raise UsageError(
                f"The image folder {self.root} has only one class ({', '.join(train)}): put the "
                f"images into one folder a class, at least two."
            )
        for split, classes in found.items():
            for name, files in classes.items():
                if not files and split == "train":
                    raise UsageError(
                        f"The class {name!r} of the image folder {self.root} has no images: add "
                        f"some ({kinds}) or remove its folder."
                    )
                if name not in train:
                    raise UsageError(
                        f"The class {name!r} of {where[split]} is not among those in train: "
                        f"add it there or remove it."
                    )


def _names(folders: list[Path]) -> str:
    names = [folder.name for folder in folders]
    return " and ".join(names if len(names) < 5 else [*names[:3], f"{len(names) - 3} more"])


def _folders(path: Path) -> list[Path]:
    """The folders in a folder, but hidden ones, in an order that no file system decides."""
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))


def _files(path: Path) -> list[Path]:
    """The image files in a folder and all folders below it, in alphabetical order."""
    result = []

    def refuse(error: OSError) -> None:
        raise error

    for folder, folders, names in os.walk(path, onerror=refuse, followlinks=False):
        folders[:] = [f for f in folders if not f.startswith(".")]
        result += [
            Path(folder, n) for n in names if n.lower().endswith(SUFFIXES) and not n.startswith(".")
        ]
    return sorted(result)


def _status(file: Path) -> os.stat_result:
    try:
        return file.stat()
    except OSError as error:  # a link that leads nowhere
        raise UsageError(
            f"The image {file} cannot be read ({error.strerror}): repair or remove it."
        ) from error


def _pixels(file: Path, image: np.ndarray) -> str:
    return f"{file} has {image.shape[1]}x{image.shape[0]} pixels"
