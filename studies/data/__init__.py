"""Data sets as NumPy arrays: prepared once, split, nested subsets, batches; knows no Keras.

Names: "shapes" and "relations" (drawn here), "digits", "fashion_mnist", "folder:PATH" (one folder a class),
"csv:FILE" (a table of files and labels) and every name of TensorFlow Datasets whose images have one label
each.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from itertools import chain, islice
from pathlib import Path
from statistics import median

from studies.data.augmentation import AUGMENTATIONS, Augmentation
from studies.data.batches import Batches
from studies.data.cache import cache_folder, note_use, prepared, prepared_before
from studies.data.checks import Facts
from studies.data.dataset import Dataset, DatasetInfo, Replicate, Split, check_sizes
from studies.data.options import Options, Reading
from studies.errors import UsageError

__all__ = [
    "AUGMENTATIONS",
    "Augmentation",
    "Batches",
    "Dataset",
    "DatasetInfo",
    "Facts",
    "Options",
    "Replicate",
    "Split",
    "cache_folder",
    "check",
    "check_sizes",
    "default_image_size",
    "describe",
    "load",
    "reopen",
]

SMALL, LARGE = 32, 64  # default sides of images in files, in pixels
LARGEST = 10_000
_BETWEEN = 48  # images whose short side is below it are small
_LOOKED_AT = 200  # files
_NAMED = 3  # broken files in a sentence


def load(
    name: str,
    image_size: int | tuple[int, int] | None = None,
    options: Reading | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> Dataset:
    """Opens a data set; the first call prepares it in the cache.

    Args:
        name: "shapes" or "relations", also with ":N" (N training images), "digits", "fashion_mnist",
            "folder:PATH", "csv:FILE" or a name of TensorFlow Datasets, with a config if need be
            ("imagenet_resized/32x32").
        image_size: side of the square images, or (H, W), in pixels; None keeps the native size.
        options: how images are made to fit, left out and grouped; by default `Options()`.
        cache: the cache's folder; by default $KERAS_VIT_CACHE or ~/.cache/keras_vit.

    Returns:
        the data set; images are uint8 (N, H, W, C), C = 1 for grey ones.

    Raises:
        UsageError: the name is unknown, or the data cannot be read, downloaded or kept.

    Example:
        >>> data = load("fashion_mnist")
        >>> data.pools["train"].images.shape
        (60000, 28, 28, 1)
        >>> data.replicate(seed=0).counts
        {'train': 54000, 'validation': 6000, 'test': 10000}
    """
    from studies.data.prepare import read

    found = _find(name, image_size, options, cache)
    found.refuse_broken()
    try:
        return read(found.folder, found.info)
    except (OSError, ValueError) as error:
        raise _damaged(name, found.folder) from error


def reopen(
    name: str, fingerprint: str, cache: str | os.PathLike[str] | None = None
) -> Dataset | None:
    """Opens data that were prepared before by what they hold, without a look at where they came from.

    A trial knows its data by their fingerprint. To list and hash the files of a folder of a million images
    would take more memory than its training.

    Args:
        name: what they are called; of several that differ in the names of images it tells those meant.
        fingerprint: as of `DatasetInfo`.
        cache: as for `load`.

    Returns:
        the data set; None where the cache does not hold it.

    Example:
        >>> info = describe("digits")
        >>> reopen("digits", info.fingerprint).info == info
        True
    """
    from studies.data.prepare import read

    found = prepared_before(cache_folder(cache), fingerprint, name)
    if found is None:
        return None
    folder, info = found
    note_use(folder, name)  # a run may last longer than what is unused is kept
    try:
        return read(folder, DatasetInfo.from_dict({**info, "name": name}))
    except (OSError, ValueError, KeyError, TypeError):  # damaged: `load` says so, or prepares anew
        return None


def describe(
    name: str,
    image_size: int | tuple[int, int] | None = None,
    options: Reading | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> DatasetInfo:
    """Describes a data set without opening its images; the first call prepares it.

    Args:
        name, image_size, options, cache: as for `load`.

    Raises:
        UsageError: as for `load`.

    Example:
        >>> describe("fashion_mnist").num_classes
        10
    """
    found = _find(name, image_size, options, cache)
    found.refuse_broken()
    return found.info


def check(
    name: str,
    image_size: int | tuple[int, int] | None = None,
    options: Reading | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> Facts:
    """Finds out what should be known of a data set before anything is trained; prepares it.

    Args:
        name, image_size, options, cache: as for `load`.

    Raises:
        UsageError: as for `load`, but not for images that cannot be read: those are in the facts.

    Example:
        >>> check("folder:photos", 32).left_out
        {'.svg': 248, 'linked folder': 1}
    """
    return _find(name, image_size, options, cache).facts


def default_image_size(name: str, options: Reading | None = None) -> int | None:
    """32 for files of small images and 64 for others, by the median of their short sides.

    Args:
        name, options: as for `load`.

    Returns:
        the side of the square images in pixels; None for data that have a size of their own.

    Raises:
        UsageError: as for `load`, where the name is that of a folder or a table.

    Example:
        >>> default_image_size("folder:photos")
        64
    """
    from studies.data.images import UnreadableImage, dimensions
    from studies.data.sources import listing

    listed = listing(name, options or Options())
    if listed is None:
        return None
    number = sum(map(len, listed.files.values()))
    files = chain.from_iterable(listed.files.values())
    sides = []
    for file in islice(files, 0, None, -(-number // _LOOKED_AT)):
        with suppress(UnreadableImage):  # it is told where the images are prepared
            sides.append(min(dimensions(file, file)))
    return SMALL if sides and median(sides) < _BETWEEN else LARGE


@dataclass(frozen=True)
class _Found:
    """A prepared data set: its folder, its description, and what is known of it."""

    folder: Path
    info: DatasetInfo
    facts: Facts
    options: Reading

    def refuse_broken(self) -> None:
        broken = self.facts.broken
        if not broken.count or self.options.skip_broken:
            return
        named = ", ".join(f"{name} ({reason})" for name, reason in broken.first[:_NAMED])
        more = (
            f" and {broken.count - _NAMED:,} more (check lists all)"
            if broken.count > _NAMED
            else ""
        )
        one = broken.count == 1
        raise UsageError(
            f"The data set {self.info.name} has {broken.count:,} image{'' if one else 's'} that cannot "
            f"be read: {named}{more}; repair or remove {'it' if one else 'them'}, or leave "
            f"{'it' if one else 'them'} out with --skip-broken."
        )


def _find(
    name: str,
    image_size: int | tuple[int, int] | None,
    options: Reading | None,
    cache: str | os.PathLike[str] | None,
) -> _Found:
    from studies.data.building import facts_of
    from studies.data.sources import find

    options, size, place = options or Options(), _size(image_size), cache_folder(cache)
    source = find(name, size, options, place)
    # With other findings to tell, data are prepared again.
    key = [source.key, size, [field.name for field in fields(Facts)]]
    folder, info = prepared(place, name, key, source.build, source.label, source.current)
    try:
        facts = replace(facts_of(info), left_out=source.left_out, notes=source.notes)
        described = DatasetInfo.from_dict({**info, "name": name})
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(name, folder) from error
    return _Found(folder, described, facts, options)


def _damaged(name: str, folder: Path) -> UsageError:
    return UsageError(
        f"The prepared data of {name} in {folder} are damaged: remove them with cache --remove "
        f"{folder.name}, and they are prepared again."
    )


def _size(image_size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    if image_size is None:
        return None
    pair = tuple(image_size) if isinstance(image_size, list | tuple) else (image_size,) * 2
    if len(pair) != 2 or not all(isinstance(side, int) and 0 < side <= LARGEST for side in pair):
        raise UsageError(
            f"The image size {image_size!r} is wrong: give a number of pixels from 1 to {LARGEST:,}, such "
            f"as 32."
        )
    return pair
